/* SPDX-License-Identifier: MIT */
/*
 * serve/session.h - one connection: bytes in, requests, replies, bytes out.
 *
 * The session itself is a machine of buffers and knows no socket: bytes are fed, replies stand in
 * its output. Around it, serve_session_io() reads once and writes once a turn of the loop. A client
 * that does not read its replies is not read from either; so nothing it does makes the daemon hold
 * more than limits->max_output, one reply and one request. Nor does it keep the others waiting: what
 * one turn does for one session is counted, and at some point the next turn goes on with it.
 * References to objects go with the session.
 */
#ifndef SERVE_SESSION_H
#define SERVE_SESSION_H

#include "base/authkey.h"
#include "obj/arena.h"
#include "serve/account.h"
#include "serve/class.h"
#include "serve/limits.h"
#include "serve/loop.h"
#include "serve/registry.h"
#include "serve/stats.h"
#include "serve/timer.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <sys/types.h>

struct serve_session;
struct serve_actor;
struct serve_hold;
struct serve_monitor;
struct serve_waiter;
struct serve_clients;
struct mp__auth;
struct Mp__Request;
struct mp__quick;

/* What a server serves. */
struct serve_service {
	const char *program; /* name and version, for the hello */
	const struct serve_class *const *classes;
	/* What all objects have, besides serve/watch.h's; by name, ascending. */
	const struct serve_method *methods;
	size_t n_methods;
	/* Operations of its own, or NULL. False: it does not know this one. */
	bool (*run)(struct serve_session *session, const struct Mp__Request *request, int *ret_r);
	int (*run_quick)(struct serve_session *session, const struct mp__quick *quick);
};

/* All actors, by session and thread: see serve/hold.h. */
struct serve_actors {
	struct serve_actor **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t count;
	struct serve_hash_seed seed;
};

/* What all sessions of a server have in common. */
struct serve_context {
	const struct serve_service *service;
	const struct mp__authkey *key; /* that clients prove; of size 0: none */
	struct serve_limits limits;
	struct serve_registry registry;
	struct serve_timers timers;
	struct serve_actors actors;
	struct serve_session *current; /* at work just now */
	struct serve_session *dirty;   /* got an answer while another was at work */
	/* A session begins to hold or to wait for something; NULL: nobody wants to know. */
	void (*bound)(struct serve_session *session);
	struct serve_clients *clients;           /* all sessions; or NULL */
	struct serve_bytes args[SERVE_ARGS_MAX]; /* of the call in hand */
	size_t n_args;
	size_t args_references;         /* how many mp.References stand in them */
	struct mp__arena unpacked;      /* of the request in hand */
	struct mp__buffer assembled;    /* of the reply in hand */
	struct mp__buffer spare_output; /* for who has none, and something to say */
	uint8_t *input;                 /* of the read in hand */
	size_t input_size;
	void *unpack_block;
	/* Keys that may still go in this turn, because their time is over. */
	size_t expiring_left;
	uint64_t effort; /* entries that the requests of one turn of one session went over */
	struct serve_accounts accounts;
	struct serve_stats stats;
	/* May this client open objects of that name? NULL: any. */
	bool (*allows)(
		const struct serve_session *session, const void *name, size_t size, void *data);
	void *allows_data;
	uint32_t n_sessions;
	uint32_t n_waiters;
	struct serve_monitor *monitor; /* NULL: nobody looks at the requests */
	bool draining;                 /* nothing new is begun */
	bool stop;                     /* somebody who may has asked for the end */
};

int serve_context_init(struct serve_context *context, const struct serve_service *service,
	const struct serve_limits *limits);
void serve_context_deinit(struct serve_context *context);
/* A turn of the loop begins: what is bounded by turn may be done again. */
void serve_context_turn(struct serve_context *context);
/* So many keys have gone. */
void serve_context_expired(struct serve_context *context, size_t n);

struct serve_reference {
	struct serve_object *object; /* NULL: free */
	uint32_t generation;         /* so that a number given back is not soon another object */
	uint32_t next_free;
};

struct serve_session {
	struct serve_source source; /* first: the loop gives it back; fd -1 without a socket */
	struct serve_context *context;
	struct serve_loop *loop;
	pid_t pid; /* who connected, for the log */
	uid_t uid;
	gid_t gid;
	struct serve_account *account; /* of the user; NULL: nothing is charged */
	size_t charged_output;
	int64_t begin_ns;
	uint64_t n_requests;
	struct mp__auth *auth; /* while a key is proved */
	bool proved;           /* it was */
	bool greeted;
	bool paused;            /* requests wait until replies are read */
	bool is_late;           /* the next request has been looked at, and put off */
	bool eof;               /* nothing more will come */
	bool ended;             /* to be freed at the end of the turn */
	bool failed;            /* an answer could not be written: to be ended */
	bool is_dirty;          /* in context->dirty */
	bool is_bound;          /* has held or waited for something */
	int64_t stall_begin_ns; /* when it last did what it owes us */
	struct mp__buffer in;   /* a frame that is not whole yet */
	struct mp__buffer out;
	struct serve_reference *references;
	uint32_t n_references; /* of the array */
	uint32_t n_open;
	uint32_t first_free;
	struct serve_waiter *waiters; /* calls that wait */
	uint32_t n_waiters;
	struct serve_hold *holds;
	struct serve_session *next_dirty;
};

#define SERVE_REFERENCE_NONE UINT32_MAX

enum {
	SERVE_SESSION_E_END = 1, /* the session has to end */
	/* Of a request: it was not begun, since there is too much to do before it; in the next turn. */
	SERVE_SESSION_E_LATER = 2,
};

/* Embedded in the caller's memory. Takes the descriptor; -1 for a session without. */
void serve_session_init(struct serve_session *session, struct serve_context *context, int fd);
void serve_session_deinit(struct serve_session *session);
/*
 * The client is gone: its waits vanish, and what it holds passes to others, now. Nothing happens the
 * second time. serve_session_deinit() does it too, if it was not done.
 */
void serve_session_leave(struct serve_session *session);

/* Without a name, there is nothing to allow: it is known by a token, or new. */
bool serve_session_allows(const struct serve_session *session, const void *name, size_t size);

/* Bytes from the client. SERVE_SESSION_E_END: what stands in the output is still to be sent. */
int serve_session_feed(struct serve_session *session, const void *data, size_t size);

/* There are answers in its output from the work of others: it gets into context->dirty. */
void serve_session_make_dirty(struct serve_session *session);
/* It holds or waits for something from now on. */
void serve_session_is_bound(struct serve_session *session);

/* Read, work, write: whatever the events allow. SERVE_SESSION_E_END. */
int serve_session_io(struct serve_session *session, uint32_t events);

/* True while the client owes something: a hello, the rest of a request, or reading its replies. */
bool serve_session_is_owed(const struct serve_session *session);

/*
 * A number for the object, whose reference it takes on success. -ENOSPC: the connection has as many
 * as it may; -ENOMEM.
 */
int serve_session_add_reference(
	struct serve_session *session, struct serve_object *object, uint64_t *ret);
struct serve_object *serve_session_object(struct serve_session *session, uint64_t reference);
bool serve_session_drop_reference(struct serve_session *session, uint64_t reference);

#endif
