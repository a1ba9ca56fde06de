/* SPDX-License-Identifier: MIT */
/*
 * serve/clients.h - who is connected: taken in or turned away, watched, and let go.
 *
 * A client is a session (serve/session.h) on the loop, and what the server knows about its process:
 * whoever holds or waits for something is watched by a pidfd, so that its end is seen even if others
 * have its socket; whoever stands still half-way through a message is dropped after a time.
 */
#ifndef SERVE_CLIENTS_H
#define SERVE_CLIENTS_H

#include "serve/loop.h"
#include "serve/server.h"
#include "serve/session.h"

struct client;

struct serve_clients {
	struct serve_loop *loop;
	struct serve_context *context;
	const struct serve_hooks *hooks;
	struct client *first;
	struct client *ended; /* in this turn */
};

/* The context learns of it. All three are lent. */
void serve_clients_init(struct serve_clients *clients, struct serve_loop *loop,
	struct serve_context *context, const struct serve_hooks *hooks);
void serve_clients_deinit(struct serve_clients *clients);

/* Takes the descriptor. A connection that cannot be served is closed, and that is all. */
void serve_clients_admit(struct serve_clients *clients, int fd);
/* There was a connection, but no descriptor for it. */
void serve_clients_turned_away_unseen(struct serve_clients *clients);

/* Send what others have caused to be sent. -errno: the loop cannot go on. */
int serve_clients_flush(struct serve_clients *clients);
/* At the end of a turn: no event can be about them any more. */
void serve_clients_free_ended(struct serve_clients *clients);

/* Who waits is told that the server ends. */
void serve_clients_end_waits(struct serve_clients *clients);
/* Has anybody replies to come? */
bool serve_clients_have_output(const struct serve_clients *clients);

/* The session behind `previous`, which is NULL at first; NULL at the end. */
struct serve_session *serve_clients_next(
	const struct serve_clients *clients, const struct serve_session *previous);

#endif
