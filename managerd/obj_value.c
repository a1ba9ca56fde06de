/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_value.h"

#include "base/testpoint.h"
#include "obj/wireformat.h"
#include "serve/refer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- value ------------------------------------------------------------------------------------ */

struct value {
	size_t size;
	uint8_t data[]; /* encoded */
};

static struct serve_bytes bytes_of(const struct value *value)
{
	static const uint8_t nil[] = {MP__TAG_NIL, 0};

	return value ? (struct serve_bytes){value->data, value->size}
		     : (struct serve_bytes){nil, sizeof(nil)};
}

/* What the argument is, kept for the object; NULL: the failure is answered. */
static struct value *take(struct serve_call *call)
{
	struct serve_bytes bytes;

	if (!serve_arg_value(call, 0, &bytes) || !serve_may_grow(call, bytes.size))
		return NULL;
	struct value *value = malloc(sizeof(*value) + bytes.size);
	if (!value) {
		serve_fail_no_memory(call);
		return NULL;
	}
	if (!serve_refer(call, bytes)) {
		free(value);
		return NULL;
	}
	value->size = bytes.size;
	memcpy(value->data, bytes.data, bytes.size);
	return value;
}

static void let_go(struct serve_object *object, struct value *value)
{
	if (value)
		serve_unrefer(object, bytes_of(value));
	free(value);
}

static bool make_value(struct serve_call *call)
{
	return serve_args(call) == 0 || (call->object->state = take(call));
}

static void drop_value(struct serve_object *object)
{
	let_go(object, object->state);
}

static int get(struct serve_call *call)
{
	return serve_answer_stored(call, bytes_of(call->object->state));
}

static int set(struct serve_call *call)
{
	struct value *old = call->object->state;
	struct value *value = take(call);

	if (!value)
		return call->failed;
	call->object->state = value;
	serve_changed(call->object);
	let_go(call->object, old);
	return serve_answer_nil(call);
}

static int exchange(struct serve_call *call)
{
	struct value *old = call->object->state;
	struct value *value = take(call);

	if (!value)
		return call->failed;
	int r = serve_answer_stored(call, bytes_of(old));
	if (call->refused) {
		let_go(call->object, value);
		return r;
	}
	call->object->state = value;
	serve_changed(call->object);
	let_go(call->object, old);
	return r;
}

static const struct serve_method value_methods[] = {
	{"exchange", exchange, 1, 1},
	{"get", get, 0, 0},
	{"set", set, 1, 1},
};

static uint64_t bytes(const struct serve_object *object)
{
	const struct value *value = object->state;

	return value ? sizeof(*value) + value->size : 0;
}

const struct serve_class md_value_class = {
	.bytes = bytes,
	.name = "value",
	.max_args = 1,
	.make = make_value,
	.drop = drop_value,
	.methods = value_methods,
	.n_methods = 3,
};

/* --- counter ---------------------------------------------------------------------------------- */

static bool make_counter(struct serve_call *call)
{
	int64_t initial = 0;

	if (serve_args(call) > 0 && !serve_arg_i64(call, 0, &initial))
		return false;
	int64_t *counter = malloc(sizeof(*counter));
	if (!counter) {
		serve_fail_no_memory(call);
		return false;
	}
	*counter = initial;
	call->object->state = counter;
	return true;
}

static void drop_counter(struct serve_object *object)
{
	free(object->state);
}

static int counter_get(struct serve_call *call)
{
	const int64_t *counter = call->object->state;

	return serve_answer_i64(call, *counter);
}

static int counter_set(struct serve_call *call)
{
	int64_t *counter = call->object->state;
	int64_t n;

	if (!serve_arg_i64(call, 0, &n))
		return call->failed;
	*counter = n;
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int counter_add(struct serve_call *call)
{
	int64_t *counter = call->object->state;
	int64_t n;

	if (!serve_arg_i64(call, 0, &n))
		return call->failed;
	MP__TEST_POINT("managerd.counter.add");
	if (__builtin_add_overflow(*counter, n, &n))
		return serve_fail(call, MP__CODE__OVERFLOW,
			"the counter is %" PRId64 ": the sum is more than 64 bits hold", *counter);
	*counter = n;
	serve_changed(call->object);
	return serve_answer_i64(call, n);
}

static int compare_and_swap(struct serve_call *call)
{
	int64_t *counter = call->object->state;
	int64_t before = *counter;
	int64_t expected;
	int64_t n;

	if (!serve_arg_i64(call, 0, &expected) || !serve_arg_i64(call, 1, &n))
		return call->failed;
	if (before == expected) {
		*counter = n;
		serve_changed(call->object);
	}
	return serve_answer_i64(call, before);
}

static const struct serve_method counter_methods[] = {
	{"add", counter_add, 1, 1},
	{"compare_and_swap", compare_and_swap, 2, 2},
	{"get", counter_get, 0, 0},
	{"set", counter_set, 1, 1},
};

const struct serve_class md_counter_class = {
	.name = "counter",
	.max_args = 1,
	.make = make_counter,
	.drop = drop_counter,
	.methods = counter_methods,
	.n_methods = 4,
};
