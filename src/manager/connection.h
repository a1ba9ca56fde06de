/* SPDX-License-Identifier: MIT */
/*
 * manager/connection.h - one connection to managerd, used by many threads at once.
 *
 * Each call sends its request and waits for the reply with its id; requests of several threads are
 * under way together. There is no thread of the library that reads: one of the waiting threads
 * does, hands the others their replies, and when it has its own, passes the reading on.
 *
 * A call that runs out of time just goes; its reply is dropped when it comes. (To close the
 * connection instead would let a later request on a new one overtake the one that is under way.) A
 * connection that broke stays broken: -EPIPE or -EPROTO for all calls under way, and
 * mp__connection_is_broken() tells that a new one is needed.
 */
#ifndef MP_MANAGER_CONNECTION_H
#define MP_MANAGER_CONNECTION_H

#include "base/deadline.h"
#include "manager/address.h"
#include "manager/pending.h"
#include "manager/message.h"

#include <stdbool.h>
#include <stddef.h>

struct mp__connection;

/*
 * Connect, prove the key, exchange hellos. What mp__address_connect() says; -EPIPE, -EPROTO, -EACCES,
 * -ENOSPC, -EKEYREJECTED, -ENOTSUP; of the file in $MP_AUTHKEY_FILE, what mp__authkey_read() says.
 */
int mp__connection_open(
	const struct mp__address *address, mp__deadline deadline, struct mp__connection **ret);

void mp__connection_ref(struct mp__connection *connection);
void mp__connection_unref(struct mp__connection *connection);
/* In a forked child: close the descriptor and free the memory, whatever the parent's threads do. */
void mp__connection_forget(struct mp__connection *connection);

bool mp__connection_is_broken(struct mp__connection *connection);
/* Differs between all connections that this process and its ancestors have had. */
uint64_t mp__connection_serial(const struct mp__connection *connection);

/*
 * Send requests one after the other, in one go; each gets its id here, and its reply in calls[i].reply,
 * which the caller has set. The calls are the connection's until mp__connection_await(). All or none:
 * negative as mp__connection_call(), and none is under way.
 */
int mp__connection_send(struct mp__connection *connection, Mp__Request *const *requests,
	struct mp__call *calls, size_t n, mp__deadline deadline);
/* Wait for the reply to one of them: as mp__connection_call() returns. */
int mp__connection_await(struct mp__connection *connection, const Mp__Request *request,
	struct mp__call *call, mp__deadline deadline);

/*
 * Both: send the request (its id is set here) and wait for the reply: what its code means, with the
 * daemon's sentence; positive only for a Call. -EMSGSIZE nothing was sent; -ETIMEDOUT (also from the
 * daemon, for a Call), -EPIPE: whether it was carried out is not known. The reply is to be freed unless
 * the result is negative. On return the request has its id, if it was sent.
 */
int mp__connection_call(struct mp__connection *connection, Mp__Request *request,
	mp__deadline deadline, struct mp__reply *ret_reply);
/* Send it and go: nobody waits for the reply. What cannot be sent in time is not sent. */
void mp__connection_post(
	struct mp__connection *connection, Mp__Request *request, mp__deadline deadline);

/* Give it up: what the daemon did for it and keeps for it is undone. */
void mp__connection_break(struct mp__connection *connection);

#endif
