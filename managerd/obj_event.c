/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_event.h"

#include "base/testpoint.h"
#include "serve/waiter.h"

#include <stdlib.h>

struct event {
	bool is_set;
	struct serve_queue queue;
};

static bool make(struct serve_call *call)
{
	call->object->state = calloc(1, sizeof(struct event));
	if (!call->object->state)
		serve_fail_no_memory(call);
	return call->object->state;
}

static void drop(struct serve_object *object)
{
	free(object->state);
}

static int set(struct serve_call *call)
{
	struct event *event = call->object->state;
	struct serve_waiter *w;

	event->is_set = true;
	serve_changed(call->object);
	serve_effort(call, event->queue.count);
	while ((w = serve_queue_first(&event->queue))) {
		MP__TEST_POINT("managerd.event.wake");
		serve_answer_nil(&w->call);
		serve_unpark(w);
	}
	return serve_answer_nil(call);
}

static int clear(struct serve_call *call)
{
	struct event *event = call->object->state;

	event->is_set = false;
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int is_set(struct serve_call *call)
{
	const struct event *event = call->object->state;

	return serve_answer_bool(call, event->is_set);
}

static int wait(struct serve_call *call)
{
	struct event *event = call->object->state;

	return event->is_set ? serve_answer_nil(call) : serve_park(call, &event->queue, NULL, NULL);
}

static const struct serve_method methods[] = {
	{"clear", clear, 0, 0},
	{"is_set", is_set, 0, 0},
	{"set", set, 0, 0},
	{"wait", wait, 0, 0},
};

const struct serve_class md_event_class = {
	.name = "event",
	.make = make,
	.drop = drop,
	.methods = methods,
	.n_methods = 4,
};
