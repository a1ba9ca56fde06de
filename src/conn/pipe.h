/* SPDX-License-Identifier: MIT */
/*
 * conn/pipe.h - connections over shared memory, between processes of one tree.
 *
 * The story of what is shared stands in pipe_layout.h. While both sides run, a message costs no
 * system call: it is copied into a ring and out of it. Everything else is left to a Unix socket
 * and the back end for those (packet.c).
 */
#ifndef MP_CONN_PIPE_H
#define MP_CONN_PIPE_H

#include "conn/connection.h"

/* First byte of the data of a handle on its way; see MP__TRAVEL_SOCKET. */
#define MP__TRAVEL_PIPE 2
int mp__pipe_import(struct mp__handle_wire *wire, struct mp_connection **ret_connection);

#endif
