/* SPDX-License-Identifier: MIT */
/*
 * manager/manager.h - the handle of a managerd in this process.
 *
 * The handle says where the daemon is; a connection is made when one is needed and there is none:
 * at first, after one broke, and in a forked child, which leaves its parent's stream alone. What a
 * proxy knows about its object in the daemon is bound to one connection, and found out anew on
 * another. All proxies and copies of a handle in one process share it, and so one connection.
 */
#ifndef MP_MANAGER_MANAGER_H
#define MP_MANAGER_MANAGER_H

#include "base/origin.h"
#include "manager/address.h"
#include "manager/connection.h"
#include "base/fork_lock.h"
#include "obj/handle.h"

#include <mp/manager.h>
#include <stdatomic.h>

#define MP__MANAGER_ID_SIZE 16
/* Of start and connect, without one in the options. */
#define MP__MANAGER_TIMEOUT_MS 10000

/* A private managerd that this process has started. */
struct mp__daemon {
	pid_t pid;
	int pidfd; /* -1: none */
	mp__origin origin;
};

struct mp_manager {
	struct mp__handle handle;
	_Atomic unsigned int references;
	uint8_t id[MP__MANAGER_ID_SIZE]; /* the same in all processes that the handle travels to */
	struct mp__address address;
	int key_fd; /* a sealed memfd with the key of the address, for who the handle travels to; or -1 */
	int timeout_ms;   /* MP_FOREVER, or of each request */
	int reconnect_ms; /* as in the options */
	struct mp__daemon daemon;
	struct mp__fork_lock lock; /* guards the connection, and the references of the proxies */
	struct mp__connection *connection; /* or NULL */
	struct mp_manager *next_shared;    /* share.c */
	mp__origin shared_origin;
};

extern const struct mp__handle_class mp__manager_class;
extern const struct mp__handle_class mp__dict_class;

/* With one reference. Takes the connector. The id is random unless one is given. */
int mp__manager_new(const struct mp__address *address, int timeout_ms, int reconnect_ms,
	const uint8_t *id, struct mp_manager **ret_manager);
/* What is left of one that nobody refers to any more. */
void mp__manager_free(struct mp_manager *manager);

mp__deadline mp__manager_deadline(const struct mp_manager *manager);

/*
 * Take the lock with a connection that works, making one if need be. On success the lock is held
 * and the connection has one more reference.
 */
int mp__manager_lock(
	struct mp_manager *manager, mp__deadline deadline, struct mp__connection **ret_connection);
void mp__manager_unlock(struct mp_manager *manager);
/* The connection there is, or NULL, without making one. */
int mp__manager_lock_as_is(
	struct mp_manager *manager, mp__deadline deadline, struct mp__connection **ret_connection);

/*
 * One request that is not about an object: ping, and those for who looks after a daemon. ret_value
 * NULL: no value is expected in the answer.
 */
int mp__manager_ask(
	struct mp_manager *manager, Mp__Request *request, mp__deadline deadline, mp_obj *ret_value);

#endif
