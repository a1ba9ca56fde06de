/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "manager/call.h"

#include <stdio.h>
#include <stdlib.h>

/* So many are under way at a time: enough that a trip costs nothing, few enough for their memory. */
#define WINDOW_MAX 64

struct slot {
	mp_call *call;
	struct mp__method method;
};

/* Calls that go over one connection together. */
struct window {
	struct mp__connection *connection; /* a reference, if n > 0 */
	struct slot *slots;
	Mp__Request **requests;
	struct mp__call *pending;
	size_t n;
	int first_failure; /* of all that were, and its sentence */
	char why[MP__DETAIL_SIZE];
};

static void set_result(struct window *w, mp_call *call, int r)
{
	call->result = r;
	if (r >= 0 || w->first_failure < 0)
		return;
	w->first_failure = r;
	snprintf(w->why, sizeof(w->why), "%s", mp_error_detail());
}

static void finish_slot(struct window *w, struct slot *slot, int r)
{
	set_result(w, slot->call, mp__method_finish(&slot->method, r, &slot->call->value));
	mp__method_cleanup(&slot->method);
}

/* n calls from `first` on. One alone that is too large holds up no other. */
static void run(struct window *w, size_t first, size_t n)
{
	mp__deadline deadline = w->slots[first].method.deadline;
	int r = mp__connection_send(
		w->connection, &w->requests[first], &w->pending[first], n, deadline);

	if ((r == -EMSGSIZE || r == -ENOMEM) && n > 1) {
		for (size_t i = 0; i < n; i++)
			run(w, first + i, 1);
		return;
	}
	for (size_t i = first; i < first + n; i++) {
		struct mp__method *m = &w->slots[i].method;
		finish_slot(w, &w->slots[i],
			r < 0 ? r
			      : mp__connection_await(
					w->connection, &m->request, &w->pending[i], m->deadline));
	}
}

static void run_window(struct window *w)
{
	if (w->n == 0)
		return;
	for (size_t i = 0; i < w->n; i++) {
		w->requests[i] = &w->slots[i].method.request;
		w->pending[i].reply = &w->slots[i].method.reply;
	}
	run(w, 0, w->n);
	mp__connection_unref(w->connection);
	w->n = 0;
}

static void add(struct window *w, mp_call *call, int timeout_ms)
{
	struct mp__connection *connection = NULL;
	struct slot *slot = &w->slots[w->n];

	call->value = mp_nil();
	slot->call = call;
	int r = mp__method_prepare(
		&slot->method, mp_obj_proxy(&call->object), call->method, call->args, timeout_ms);
	if (r == 0)
		r = mp__method_connect(&slot->method, &connection);
	if (r < 0) {
		set_result(w, call, r);
		mp__method_cleanup(&slot->method);
		return;
	}
	/* Of another daemon, or the connection is a new one: those before it go first. */
	if (w->n > 0 && connection != w->connection) {
		mp__method_cleanup(&slot->method);
		mp__connection_unref(connection);
		run_window(w);
		add(w, call, timeout_ms);
		return;
	}
	if (w->n > 0)
		mp__connection_unref(connection);
	w->connection = connection;
	w->n++;
	if (w->n == WINDOW_MAX)
		run_window(w);
}

int mp_call_many(mp_call *calls, size_t n, int timeout_ms)
{
	struct window w = {0};
	size_t room = n < WINDOW_MAX ? n : WINDOW_MAX;

	if (!calls && n > 0)
		return mp_error_set(-EINVAL, "%zu calls that are nowhere", n);
	if (n == 0)
		return 0;
	w.slots = calloc(room, sizeof(*w.slots));
	w.requests = calloc(room, sizeof(Mp__Request *));
	w.pending = calloc(room, sizeof(*w.pending));
	if (w.slots && w.requests && w.pending) {
		for (size_t i = 0; i < n; i++)
			add(&w, &calls[i], timeout_ms);
		run_window(&w);
	} else {
		w.first_failure = -ENOMEM;
		snprintf(w.why, sizeof(w.why), "no memory for %zu calls", n);
		for (size_t i = 0; i < n; i++) {
			calls[i].value = mp_nil();
			calls[i].result = -ENOMEM;
		}
	}
	free(w.pending);
	free(w.requests);
	free(w.slots);
	return w.first_failure < 0 ? mp_error_set(w.first_failure, "%s", w.why) : 0;
}
