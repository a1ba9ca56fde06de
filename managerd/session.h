/* SPDX-License-Identifier: MIT */
/*
 * managerd/session.h - one connection: bytes in, requests, replies, bytes out.
 *
 * The session itself is a machine of buffers and knows no socket: bytes are fed, replies stand in
 * its output. Around it, md_session_io() reads once and writes once a turn of the loop. A client
 * that does not read its replies is not read from either; so nothing it does makes the daemon hold
 * more than limits->max_output, one reply and one request. Nor does it keep the others waiting: what
 * one turn does for one session is counted, and at some point the next turn goes on with it.
 * References to objects go with the session.
 */
#ifndef MANAGERD_SESSION_H
#define MANAGERD_SESSION_H

#include "managerd/limits.h"
#include "managerd/loop.h"
#include "managerd/registry.h"
#include "obj/arena.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <sys/types.h>

/* What all sessions of a daemon have in common. */
struct md_context {
	struct md_limits limits;
	struct md_registry registry;
	struct mp__arena unpacked;   /* of the request in hand */
	struct mp__buffer assembled; /* of the reply in hand */
	uint8_t *input;              /* of the read in hand */
	size_t input_size;
	void *unpack_block;
	uint64_t effort; /* entries that the requests of one turn of one session went over */
	bool draining;   /* nothing new is begun */
};

int md_context_init(struct md_context *context, const struct md_limits *limits);
void md_context_deinit(struct md_context *context);

struct md_reference {
	struct md_object *object; /* NULL: free */
	uint32_t generation;      /* so that a number given back is not soon another object */
	uint32_t next_free;
};

struct md_session {
	struct md_source source; /* first: the loop gives it back; fd -1 without a socket */
	struct md_context *context;
	struct md_loop *loop;
	pid_t pid; /* who connected, for the log */
	uid_t uid;
	bool greeted;
	bool paused;            /* requests wait until replies are read */
	bool eof;               /* nothing more will come */
	bool ended;             /* to be freed at the end of the turn */
	int64_t stall_begin_ns; /* when it last did what it owes us */
	struct mp__buffer in;   /* a frame that is not whole yet */
	struct mp__buffer out;
	struct md_reference *references;
	uint32_t n_references; /* of the array */
	uint32_t n_open;
	uint32_t first_free;
};

#define MD_REFERENCE_NONE UINT32_MAX

enum {
	MD_SESSION_E_END = 1, /* the session has to end */
};

/* Embedded in the caller's memory. Takes the descriptor; -1 for a session without. */
void md_session_init(struct md_session *session, struct md_context *context, int fd);
void md_session_deinit(struct md_session *session);

/* Bytes from the client. MD_SESSION_E_END: what stands in the output is still to be sent. */
int md_session_feed(struct md_session *session, const void *data, size_t size);

/* Read, work, write: whatever the events allow. MD_SESSION_E_END. */
int md_session_io(struct md_session *session, uint32_t events);

/* True while the client owes something: a hello, the rest of a request, or reading its replies. */
bool md_session_is_owed(const struct md_session *session);

/* A number for the object, whose reference it takes on success. False: limit or memory. */
bool md_session_add_reference(struct md_session *session, struct md_object *object, uint64_t *ret);
struct md_object *md_session_object(struct md_session *session, uint64_t reference);
bool md_session_drop_reference(struct md_session *session, uint64_t reference);

#endif
