/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/lifetime.h"

#include "base/deadline.h"
#include "serve/timer.h"

#include <inttypes.h>
#include <stdlib.h>

#define NS_PER_MS ((int64_t)1000 * 1000)
/* 31 years: more is a mistake. */
#define TTL_MAX_MS ((int64_t)1000 * 1000 * 1000 * 1000)

struct serve_lifetime {
	struct serve_timer timer; /* first */
	struct serve_timers *timers;
	struct serve_object *object;
};

void serve_lifetime_free(struct serve_lifetime *lifetime)
{
	if (lifetime)
		serve_timer_stop(lifetime->timers, &lifetime->timer);
	free(lifetime);
}

/* It stays, if only because it has no name any more. */
static void forget(struct serve_object *object)
{
	serve_lifetime_free(object->lifetime);
	object->lifetime = NULL;
}

static void is_over(struct serve_timer *timer)
{
	struct serve_object *object = ((struct serve_lifetime *)timer)->object;

	forget(object);
	serve_registry_unname(object);
}

struct serve_object *serve_lifetime_look(struct serve_object *object)
{
	if (!object || !object->lifetime || object->lifetime->timer.at_ns > mp__now_ns())
		return object;
	is_over(&object->lifetime->timer);
	return NULL;
}

static bool has_name(struct serve_call *call)
{
	if (call->object->name.size > 0)
		return true;
	serve_fail(call, MP__CODE__INVALID,
		"a %s without a name lives as long as somebody has it open",
		call->object->class->name);
	return false;
}

int serve_object_expire(struct serve_call *call)
{
	struct serve_object *object = call->object;
	int64_t ms;

	if (!has_name(call) || !serve_arg_i64(call, 0, &ms))
		return call->failed;
	if (ms < 1 || ms > TTL_MAX_MS)
		return serve_fail(call, MP__CODE__INVALID,
			"a name that lives for %" PRId64 " ms: 1 to %" PRId64 " may be", ms,
			TTL_MAX_MS);
	if (!object->lifetime) {
		object->lifetime = calloc(1, sizeof(*object->lifetime));
		if (!object->lifetime)
			return serve_fail_no_memory(call);
		*object->lifetime = (struct serve_lifetime){.timer.fire = is_over,
			.timers = &call->session->context->timers,
			.object = object};
	}
	if (!serve_timer_set(object->lifetime->timers, &object->lifetime->timer,
		    mp__now_ns() + ms * NS_PER_MS)) {
		forget(object);
		return serve_fail_no_memory(call);
	}
	return serve_answer_nil(call);
}

int serve_object_persist(struct serve_call *call)
{
	bool had = call->object->lifetime;

	if (!has_name(call))
		return call->failed;
	forget(call->object);
	return serve_answer_bool(call, had);
}

int serve_object_ttl(struct serve_call *call)
{
	const struct serve_lifetime *lifetime = call->object->lifetime;

	if (!has_name(call))
		return call->failed;
	if (!lifetime)
		return serve_answer_nil(call);
	int64_t left = (lifetime->timer.at_ns - mp__now_ns() + NS_PER_MS - 1) / NS_PER_MS;
	return serve_answer_i64(call, left > 0 ? left : 1);
}
