/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/watch.h"

#include "base/testpoint.h"
#include "serve/lifetime.h"
#include "serve/waiter.h"

#include <stdlib.h>

static int version(struct serve_call *call)
{
	return serve_answer_i64(call, (int64_t)call->object->version);
}

static int watch(struct serve_call *call)
{
	struct serve_object *object = call->object;
	int64_t known;

	if (!serve_arg_i64(call, 0, &known))
		return call->failed;
	if ((uint64_t)known != object->version)
		return version(call);
	if (!object->watchers)
		object->watchers = calloc(1, sizeof(*object->watchers));
	if (!object->watchers)
		return serve_fail_no_memory(call);
	return serve_park(call, object->watchers, NULL, NULL);
}

void serve_tell_watchers(struct serve_object *object)
{
	struct serve_waiter *w;

	while ((w = serve_queue_first(object->watchers))) {
		MP__TEST_POINT("serve.watch.tell");
		version(&w->call);
		serve_unpark(w);
	}
}

static const struct serve_method methods[] = {
	{"object_expire", serve_object_expire, 1, 1},
	{"object_persist", serve_object_persist, 0, 0},
	{"object_ttl", serve_object_ttl, 0, 0},
	{"version", version, 0, 0},
	{"watch", watch, 1, 1},
};

const struct serve_method *serve_watch_method(const char *name)
{
	return serve_method_find(methods, sizeof(methods) / sizeof(methods[0]), name);
}
