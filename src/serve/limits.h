/* SPDX-License-Identifier: MIT */
/* serve/limits.h - what clients may ask of the daemon; each has an option, see managerd(8). */
#ifndef SERVE_LIMITS_H
#define SERVE_LIMITS_H

#include <stdint.h>

struct serve_limits {
	uint32_t max_frame;       /* bytes of one message */
	uint32_t max_connections; /* sessions at once */
	uint32_t max_objects;     /* in the whole daemon */
	uint32_t max_references;  /* open objects of one session */
	uint32_t max_waiters;     /* calls of one session that wait */
	uint32_t max_output; /* bytes of unread replies at which a session is read no further */
	uint32_t stall_ms;   /* until a session that owes us something is ended */
	uint32_t drain_ms;   /* for replies to go out before an end */
};

/*
 * 1024 connections fit the usual limit of descriptors; 1 MiB of replies is more than pipelining
 * needs; who reads nothing for half a minute is stopped, not slow.
 */
#define SERVE_LIMITS_DEFAULT                                                            \
	{                                                                               \
		.max_frame = (64u << 20) + (64u << 10), .max_connections = 1000,        \
		.max_objects = 1000000, .max_references = 100000, .max_waiters = 10000, \
		.max_output = 1u << 20, .stall_ms = 30000, .drain_ms = 1000,            \
	}

#endif
