/* SPDX-License-Identifier: MIT */
/*
 * tests/support/conns.h - for tests of connections: pairs of each kind.
 *
 * EACH_SOCKET(suite, name) { ... kind ... } makes three tests of one body: packet_name,
 * stream_name and pipe_name; EACH_BARE only the first two. A kind is a type of sockets, or CONN_PIPE.
 */
#ifndef TESTS_CONNS_H
#define TESTS_CONNS_H

#include "tests/support/support.h"

#include "base/fds.h"

#include <mp/connection.h>
#include <sys/socket.h>

#define CONN_PIPE (-1)

#define EACH_BARE(suite, name)               \
	static void each_##name(int kind);   \
	Test(suite, packet_##name)           \
	{                                    \
		each_##name(SOCK_SEQPACKET); \
	}                                    \
	Test(suite, stream_##name)           \
	{                                    \
		each_##name(SOCK_STREAM);    \
	}                                    \
	static void each_##name(int kind)

#define EACH_SOCKET(suite, name)           \
	static void each_##name(int kind); \
	Test(suite, pipe_##name)           \
	{                                  \
		each_##name(CONN_PIPE);    \
	}                                  \
	EACH_BARE(suite, name)

struct conn_pair {
	mp_connection *a;
	mp_connection *b;
};

/* Options are for the first end; the second is its opposite. */
static inline struct conn_pair conn_pair(int kind, const mp_connection_options *options)
{
	mp_connection_options o = options ? *options : *MP_CONNECTION_OPTIONS();
	struct conn_pair p = {NULL, NULL};
	int ends[2];

	if (kind == SOCK_SEQPACKET) {
		T_OK(mp_connection_pair(&o, &p.a, &p.b));
		return p;
	}
	if (kind == CONN_PIPE) {
		T_OK(mp_pipe(&o, &p.a, &p.b));
		return p;
	}
	T_OK(mp__socket_pair(kind, ends));
	T_OK(mp_connection_from_fd(ends[0], &o, &p.a));
	if (o.direction != MP_CONNECTION_DUPLEX)
		o.direction = MP_CONNECTION_READ + MP_CONNECTION_WRITE - o.direction;
	T_OK(mp_connection_from_fd(ends[1], &o, &p.b));
	return p;
}

static inline void conn_close(struct conn_pair *p)
{
	T_OK(mp_connection_close(p->a));
	T_OK(mp_connection_close(p->b));
}

#endif
