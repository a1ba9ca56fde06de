/* SPDX-License-Identifier: MIT */
/*
 * conn/message.h - the sixteen bytes in front of each message on a socket.
 *
 *	 0        8      9       10         12        16
 *	+--------+------+-------+----------+---------+---------------
 *	| length | kind | flags | tag      | n_fds   | message ...
 *	+--------+------+-------+----------+---------+---------------
 *
 * Numbers are little-endian. `length` is that of the whole message, without these bytes; `n_fds` is
 * how many descriptors of its handles travel beside it; `tag` is 0 but in the socket of a pipe
 * (pipe_layout.h). What is not known is no message.
 */
#ifndef MP_CONN_MESSAGE_H
#define MP_CONN_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP__HEAD_SIZE 16
#define MP__HEAD_KIND 8 /* where the kind stands */

/* The end of the message lies in a memfd, the first of the descriptors. */
#define MP__HEAD_LONG 1
/* n_fds descriptors are too many for one packet: they queue in a socket that travels instead. */
#define MP__HEAD_ENVELOPE 2

struct mp__head {
	uint64_t length;
	uint8_t kind; /* enum mp__message_kind */
	uint8_t flags;
	uint32_t n_fds;
	uint16_t tag;
};

void mp__head_write(uint8_t *at, const struct mp__head *head);

/* 0, or -EBADMSG; a length above `max` is that too, and what is for pipes only. */
int mp__head_read(const uint8_t *at, size_t max, bool beside_pipe, struct mp__head *ret_head);

#endif
