/* SPDX-License-Identifier: MIT */
/*
 * manager/private.h - the life of a managerd that belongs to one process.
 *
 * It gets two descriptors: one end of the connector, and a pidfd of its owner, by which it sees the
 * owner's end however that comes, even while forked children still hold sockets.
 */
#ifndef MP_MANAGER_PRIVATE_H
#define MP_MANAGER_PRIVATE_H

#include "manager/manager.h"

/* Errors of exec, and -EMFILE, -ENOMEM. The program is not yet known to answer. */
int mp__private_start(const char *program, struct mp__daemon *ret_daemon, int *ret_connector);

/* End it, with SIGKILL if it does not go by itself, and reap it. The pidfd stays open. */
void mp__private_stop(struct mp__daemon *daemon);

/* It did not answer: the result again, with a sentence that says how it ended if it has. */
int mp__private_explain(struct mp__daemon *daemon, int result);

#endif
