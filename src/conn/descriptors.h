/* SPDX-License-Identifier: MIT */
/*
 * conn/descriptors.h - descriptors beside the packets of a Unix socket.
 *
 * What comes is owned and close-on-exec from the first moment, and either all of it is kept or
 * nothing is: a packet whose descriptors the kernel had to leave out is an error.
 */
#ifndef MP_CONN_DESCRIPTORS_H
#define MP_CONN_DESCRIPTORS_H

#include "base/fds.h"
#include "obj/codec.h"

#include <sys/socket.h>

/* Room for descriptors, and for what options of the socket may add that we do not want. */
struct mp__control {
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int) * MP__FDS_MAX) + 512];
};

/* Let the message carry 1 to MP__FDS_MAX descriptors. */
void mp__control_fill(
	struct mp__control *control, const int *fds, size_t n_fds, struct msghdr *message);

/* Let it receive as many. */
void mp__control_room(struct mp__control *control, struct msghdr *message);

/*
 * The descriptors of a message that came, appended to a cargo of malloc'ed descriptors. -EMFILE the
 * kernel had to leave some out, -ENOMEM: then none of the message's is kept.
 */
int mp__control_take(struct msghdr *message, struct mp__cargo *cargo);

/*
 * A socket in which any number of descriptors are queued, to travel in their place. -EMSGSIZE they
 * are too many for that too, -ETOOMANYREFS, -EMFILE, -EBADF.
 */
int mp__envelope_new(const int *fds, size_t n_fds);
/* Take exactly as many out. The descriptor may be anything. -EBADMSG, -EMFILE, -ENOMEM. */
int mp__envelope_open(int envelope, size_t n_fds, struct mp__cargo *cargo);

#endif
