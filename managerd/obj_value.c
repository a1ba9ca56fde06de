/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_value.h"

#include "base/testpoint.h"
#include "managerd/values.h"
#include "obj/wireformat.h"
#include "serve/refer.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- value ------------------------------------------------------------------------------------ */

/* The state is an item, or NULL: nil. */
static struct serve_bytes bytes_of(const struct md_item *item)
{
	static const uint8_t nil[] = {MP__TAG_NIL, 0};

	return item ? md_item_bytes(item) : (struct serve_bytes){nil, sizeof(nil)};
}

struct serve_bytes md_value_now(const struct serve_object *value)
{
	return bytes_of(value->state);
}

void md_value_become(struct serve_object *value, struct md_item *item)
{
	struct md_item *old = value->state;

	value->state = item;
	md_item_drop(value, old);
}

static bool make_value(struct serve_call *call)
{
	struct md_item *item = NULL;

	if (serve_args(call) > 0 && !md_arg_item(call, 0, &item))
		return false;
	call->object->state = item;
	return true;
}

static void drop_value(struct serve_object *object)
{
	md_item_drop(object, object->state);
}

static int get(struct serve_call *call)
{
	return serve_answer_stored(call, bytes_of(call->object->state));
}

static int set(struct serve_call *call)
{
	struct md_item *old = call->object->state;
	struct md_item *item;

	if (!md_arg_item(call, 0, &item))
		return call->failed;
	call->object->state = item;
	serve_changed(call->object);
	md_item_drop(call->object, old);
	return serve_answer_nil(call);
}

static int exchange(struct serve_call *call)
{
	struct md_item *old = call->object->state;
	struct md_item *item;

	if (!md_arg_item(call, 0, &item))
		return call->failed;
	int r = serve_answer_stored(call, bytes_of(old));
	if (call->refused) {
		md_item_drop(call->object, item);
		return r;
	}
	call->object->state = item;
	serve_changed(call->object);
	md_item_drop(call->object, old);
	return r;
}

static const struct serve_method value_methods[] = {
	{"exchange", exchange, 1, 1},
	{"get", get, 0, 0},
	{"set", set, 1, 1},
};

const struct serve_class md_value_class = {
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

int64_t *md_counter_of(const struct serve_object *counter)
{
	return counter->state;
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
