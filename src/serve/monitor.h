/* SPDX-License-Identifier: MIT */
/*
 * serve/monitor.h - the operation monitor: what all clients ask for, as it happens.
 *
 * Requests are numbered while somebody looks, and the latest some thousand are kept in a ring. Whoever
 * looks asks for those behind a number, and waits until there are some. So a slow reader holds up
 * nobody and costs nothing more: it finds a gap in the numbers. When nobody has asked for a while the
 * ring goes, and a request costs one comparison as before.
 *
 * It shows names and keys, never values.
 */
#ifndef SERVE_MONITOR_H
#define SERVE_MONITOR_H

#include "serve/session.h"

struct mp__quick;

/* How many requests are kept, and told at a time at most. */
#define SERVE_MONITOR_KEPT 4096
#define SERVE_MONITOR_TOLD 1000
/* How long nobody asks until nothing is noted any more. */
#define SERVE_MONITOR_IDLE_MS 10000

/* A request is about to be carried out. Only while context->monitor is there. */
void serve_monitor_note(struct serve_session *session, const struct Mp__Request *request);
void serve_monitor_note_quick(struct serve_session *session, const struct mp__quick *quick);

/* The operation itself. */
int serve_monitor_run(struct serve_session *session, const struct Mp__Request *request);

/* No session may be left. */
void serve_monitor_end(struct serve_context *context);

#endif
