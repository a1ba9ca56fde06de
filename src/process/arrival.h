/* SPDX-License-Identifier: MIT */
/*
 * process/arrival.h - the child's side of what process/startdata.h describes.
 *
 * In two steps, so that the fork server can take the first one: it has the code and the memory at hand for
 * which each of its children would have to go through page faults. What belongs to the child alone
 * (numbers of descriptors, directory, handles in the arguments, loading of shared objects) is the second.
 */
#ifndef MP_PROCESS_ARRIVAL_H
#define MP_PROCESS_ARRIVAL_H

#include "base/fds.h"
#include "process/child.h"
#include "process/startdata.h"
#include "proto/process.pb-c.h"

struct mp__arrival {
	uint8_t message[MP__START_MESSAGE_MAX];
	int first_fds[MP__FDS_MAX];
	const uint8_t *bytes; /* the message, or mapped */
	size_t size;
	Mp__ProcessStart *start;
	const uint8_t *args;
	size_t args_size;
	int *fds; /* the first, or all in one block */
	size_t n_fds;
	mp_target *target; /* NULL: in a shared object */
	struct mp__kin kin;
};

/*
 * Take all of it out of the socket, and check it. 0, -EBADMSG, -ENOEXEC, -EMFILE, -ENOMEM; to be
 * released in any case.
 */
int mp__arrival_receive(int report, struct mp__arrival *ret_arrival);
void mp__arrival_release(struct mp__arrival *arrival);

/*
 * Turn this process into the child as far as a function can that returns; the socket may become another
 * number. What it takes out of the arrival is no longer released with it, but the strings of the
 * child's kin are.
 */
int mp__arrival_settle(struct mp__arrival *arrival, int *report, struct mp__child *ret_child);

/* Settle and run the target; or start from nothing but the socket. Failures are reported. */
_Noreturn void mp__arrival_run(struct mp__arrival *arrival, int report);
_Noreturn void mp__arrival_start(int report);

#endif
