/* SPDX-License-Identifier: MIT */
/*
 * conn/pipe_end.h - an end of a pipe in one process: pipe.c makes it and lets it travel, pipe_move.c
 * moves messages.
 */
#ifndef MP_CONN_PIPE_END_H
#define MP_CONN_PIPE_END_H

#include "conn/connection.h"
#include "conn/ring.h"
#include "shm/segment.h"

struct mp__pipe_end {
	struct mp_connection connection;
	struct mp__segment segment;
	uint8_t side;                  /* it sends into rings[side] */
	int fd;                        /* of the socket; `packets` owns it */
	struct mp_connection *packets; /* what goes through the socket */
	struct mp__ring out;
	struct mp__ring in;
	/* The head at which the other side was last asked for, and departures seen then. */
	_Atomic uint64_t asked_at;
	_Atomic uint32_t asked_departures;
	/* Of the message that look() shows, for read() and release(): under in's guard. */
	struct mp__record record;
	bool in_socket;
	struct mp__cargo no_cargo;
	/* For who polls: made when asked for; under in's guard. */
	int pollable;
	int first;
};

static inline struct mp__pipe_end *mp__pipe_end_of(struct mp_connection *c)
{
	return (struct mp__pipe_end *)c;
}

/* As in struct mp__conn_ops. */
int mp__pipe_send(
	struct mp_connection *c, const struct mp__outgoing *message, mp__deadline deadline);
int mp__pipe_look(struct mp_connection *c, mp__deadline deadline, struct mp__incoming *ret);
int mp__pipe_read(struct mp_connection *c, void *buffer);
void mp__pipe_release(struct mp_connection *c, bool taken);
int mp__pipe_poll(struct mp_connection *c, mp__deadline deadline);

/* Leave the guard of the receiving side, and wake who waits for room. */
void mp__pipe_leave_receiving(struct mp__pipe_end *end);

#endif
