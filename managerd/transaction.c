/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/transaction.h"

#include "base/cleanup.h"
#include "base/testpoint.h"
#include "managerd/compare.h"
#include "managerd/dict_methods.h"
#include "managerd/plan.h"
#include "managerd/values.h"
#include "serve/refer.h"
#include "wire/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* They are looked through for each step. */
#define STEPS_MAX 1024
/* A number of the object, a word, a key, a value. */
#define PARTS_MAX 4

struct transaction {
	struct serve_call *call;
	struct md_plan plan;
	struct serve_object *objects[MD_PLAN_OBJECTS];
	size_t n_objects;
	bool is_numbered; /* each step begins with the number of its object */
	size_t step;      /* at work, from 1 */
};

/* One step, taken apart. */
struct step {
	struct serve_object *object;
	struct serve_bytes word;
	struct mp__key key;       /* of size 0: the object is no dict */
	struct serve_bytes value; /* of size 0: none */
	uint8_t room[MD_NUMBER_MAX];
};

/* --- looking ------------------------------------------------------------------------------------ */

/* What is there as far as the steps have come. False: nothing. */
static bool look_up(struct transaction *t, struct step *step, struct serve_bytes *ret_value)
{
	return md_plan_look(&t->plan, step->object, &step->key, step->room, ret_value);
}

static bool holds_not(const struct transaction *t, const char *why)
{
	serve_fail(t->call, MP__CODE__CONFLICT, "step %zu does not hold, nothing was done: %s",
		t->step, why);
	return false;
}

static bool wrong(const struct transaction *t, const char *why)
{
	serve_fail(t->call, MP__CODE__INVALID, "step %zu: %s", t->step, why);
	return false;
}

/* --- conditions --------------------------------------------------------------------------------- */

static bool must_be_present(struct transaction *t, struct step *step)
{
	struct serve_bytes value;

	return look_up(t, step, &value) || holds_not(t, "there is no such key");
}

static bool must_be_absent(struct transaction *t, struct step *step)
{
	struct serve_bytes value;

	return !look_up(t, step, &value) || holds_not(t, "there is such a key");
}

static bool must_equal(struct transaction *t, struct step *step)
{
	struct md_needle needle;
	struct serve_bytes value;

	if (!must_be_present(t, step) || !look_up(t, step, &value))
		return false;
	int r = md_needle_init(&needle, step->value) ? md_needle_equals(&needle, value) : -ENOMEM;
	md_needle_deinit(&needle);
	if (r < 0)
		serve_fail_no_memory(t->call);
	return r == 1 || (r == 0 && holds_not(t, "the value is another one"));
}

static bool must_be_at_least(struct transaction *t, struct step *step)
{
	struct serve_bytes value;
	bool less;

	if (!must_be_present(t, step) || !look_up(t, step, &value))
		return false;
	int r = md_number_less(value, step->value, &less);
	if (r == -EINVAL)
		return wrong(t, "what is compared is no number");
	return !less || holds_not(t, "the number is less");
}

/* An integer needs no memory. False: it is none. */
static bool integer_of(struct serve_bytes value, int64_t *ret)
{
	mp_obj number;

	if (serve_type_of(value) != MP_TYPE_I64 ||
		mp_obj_decode(value.data, value.size, &number) < 0)
		return false;
	*ret = number.as.i64;
	return true;
}

static bool must_be_of_version(struct transaction *t, struct step *step)
{
	int64_t version;

	if (!integer_of(step->value, &version))
		return wrong(t, "a version is an integer");
	return (uint64_t)version == step->object->version ||
	       holds_not(t, "the object has changed since");
}

/* --- changes ------------------------------------------------------------------------------------ */

static bool set(struct transaction *t, struct step *step)
{
	if (md_plan_set(&t->plan, step->object, &step->key, step->value))
		return true;
	return !t->call->refused && wrong(t, "a counter is an integer of 64 bits");
}

static bool delete (struct transaction *t, struct step *step)
{
	if (!must_be_present(t, step))
		return false;
	md_plan_delete(&t->plan, step->object, &step->key);
	return true;
}

static bool add(struct transaction *t, struct step *step)
{
	uint8_t room[MD_NUMBER_MAX];
	struct serve_bytes old;
	struct serve_bytes sum = step->value;

	if (look_up(t, step, &old)) {
		int r = md_number_add(old, step->value, room, &sum);
		if (r == -ERANGE)
			serve_fail(t->call, MP__CODE__OVERFLOW,
				"step %zu: the sum is more than an i64 holds", t->step);
		if (r == -EINVAL)
			wrong(t, "a sum of what is no number");
		if (r < 0)
			return false;
	} else if (!md_is_number(sum)) {
		return wrong(t, "a sum of what is no number");
	}
	return md_plan_sum(&t->plan, step->object, &step->key, sum) ||
	       wrong(t, "a counter is an integer of 64 bits");
}

/* --- steps -------------------------------------------------------------------------------------- */

/* What a step is about. */
enum subject {
	ANY_OBJECT, /* whatever it is; there is no key */
	PLACE,      /* under a key of a dict, or in a value or counter */
	KEY,        /* a key of a dict */
};

static const struct kind {
	const char *word;
	bool (*run)(struct transaction *t, struct step *step);
	enum subject subject;
	bool has_value;
} kinds[] = {
	{"equal", must_equal, PLACE, true},
	{"at_least", must_be_at_least, PLACE, true},
	{"present", must_be_present, KEY, false},
	{"absent", must_be_absent, KEY, false},
	{"set", set, PLACE, true},
	{"add", add, PLACE, true},
	{"delete", delete, KEY, false},
	{"version", must_be_of_version, ANY_OBJECT, true},
};

/* NULL: there is none. */
static const struct kind *kind_of(struct serve_bytes word)
{
	for (size_t i = 0; i < MP__COUNT_OF(kinds); i++) {
		if (strlen(kinds[i].word) == word.size &&
			memcmp(kinds[i].word, word.data, word.size) == 0)
			return &kinds[i];
	}
	return NULL;
}

/* As many items of a list as there may be in a step; how many there are. */
static size_t take_apart(struct serve_bytes list, struct serve_bytes parts[PARTS_MAX])
{
	struct mp__items items = mp__items_of((uint8_t *)list.data, list.size);
	uint8_t *data;
	size_t size;
	size_t n = 0;

	while (mp__items_next(&items, &data, &size)) {
		if (n < PARTS_MAX)
			parts[n] = (struct serve_bytes){data, size};
		n++;
	}
	return n;
}

/* What stands where the key does. */
static bool read_key(
	struct transaction *t, const struct kind *kind, struct serve_bytes key, struct step *step)
{
	bool is_dict = md_plan_is_dict(step->object);

	if (kind->subject == KEY && !is_dict)
		return wrong(t, "only a dict has keys that come and go");
	if (kind->subject == PLACE && !md_plan_has_places(step->object))
		return wrong(t, "of this object only the version can be in a transaction");
	if (kind->subject == ANY_OBJECT || !is_dict) {
		step->key.size = 0;
		return serve_type_of(key) == MP_TYPE_NIL || wrong(t, "there is no key here: nil");
	}
	int r = mp__key_canonical((uint8_t *)key.data, key.size, &step->key);
	if (r < 0)
		serve_fail_result(t->call, r);
	return r == 0;
}

static bool read_object(struct transaction *t, struct serve_bytes number, struct step *step)
{
	int64_t i = 0;

	if (t->is_numbered && (!integer_of(number, &i) || i < 0 || (uint64_t)i >= t->n_objects))
		return wrong(t, "it begins with the number of an object, from 0 on");
	step->object = t->objects[i];
	return true;
}

static bool run_step(struct transaction *t, struct serve_bytes encoded)
{
	size_t first = t->is_numbered ? 1 : 0;
	struct serve_bytes parts[PARTS_MAX];
	struct step step;

	if (serve_type_of(encoded) != MP_TYPE_LIST)
		return wrong(t, "it is no list");
	size_t n = take_apart(encoded, parts);
	if (n < first + 2 || n > first + 3 || !serve_text_of(parts[first], &step.word))
		return wrong(t, "it is a list of a word, a key, and sometimes a value");
	const struct kind *kind = kind_of(step.word);
	if (!kind)
		return wrong(t, "there is no such word");
	if (kind->has_value != (n == first + 3))
		return wrong(t, kind->has_value ? "it has no value" : "it has a value too many");
	step.value = kind->has_value ? parts[first + 2] : (struct serve_bytes){NULL, 0};
	return read_object(t, parts[0], &step) && read_key(t, kind, parts[first + 1], &step) &&
	       kind->run(t, &step);
}

static bool run_steps(struct transaction *t, struct mp__items steps)
{
	uint8_t *data;
	size_t size;

	for (t->step = 1; mp__items_next(&steps, &data, &size); t->step++) {
		serve_effort(t->call, t->plan.n / 8);
		if (!run_step(t, (struct serve_bytes){data, size}))
			return false;
	}
	return true;
}

/* --- the whole ---------------------------------------------------------------------------------- */

/* The list in an argument, which is not longer than that. False: answered. */
static bool arg_list(struct serve_call *call, size_t arg, const char *what, size_t max,
	struct mp__items *ret_list, size_t *ret_n)
{
	if (!md_arg_list(call, arg, ret_list, ret_n))
		return false;
	if (*ret_n <= max)
		return true;
	serve_fail(call, MP__CODE__TOO_LARGE, "a transaction of more than %zu %s", max, what);
	return false;
}

static int run(struct transaction *t)
{
	struct mp__items steps;
	size_t n;

	if (!arg_list(t->call, 1, "steps", STEPS_MAX, &steps, &n))
		return t->call->failed;
	if (!md_plan_init(&t->plan, t->call, n))
		return serve_fail_no_memory(t->call);
	if (run_steps(t, steps)) {
		MP__TEST_POINT("managerd.transact");
		if (!md_plan_carry_out(&t->plan))
			serve_fail_no_memory(t->call);
	}
	md_plan_deinit(&t->plan);
	return t->call->refused ? t->call->failed : serve_answer_nil(t->call);
}

int md_dict_transact(struct serve_call *call)
{
	struct transaction t = {.call = call, .objects = {call->object}, .n_objects = 1};
	int64_t version;

	if (serve_arg_given(call, 0)) {
		if (!serve_arg_i64(call, 0, &version))
			return call->failed;
		if ((uint64_t)version != call->object->version)
			return serve_fail(call, MP__CODE__CONFLICT,
				"it has changed since, nothing was done: look at it again");
	}
	return run(&t);
}

/* The objects in the first argument, referenced. False: answered. */
static bool take_objects(struct transaction *t)
{
	struct mp__items items;
	uint8_t *data;
	size_t size;
	size_t n;

	if (!arg_list(t->call, 0, "objects", MD_PLAN_OBJECTS, &items, &n))
		return false;
	while (mp__items_next(&items, &data, &size)) {
		struct serve_object *object;
		if (!serve_object_in(t->call, (struct serve_bytes){data, size}, &object))
			return false;
		serve_object_ref(object);
		t->objects[t->n_objects++] = object;
		if (object->class->refresh)
			object->class->refresh(object);
	}
	return true;
}

int md_transact_all(struct serve_call *call)
{
	struct transaction t = {.call = call, .is_numbered = true};

	int r = take_objects(&t) ? run(&t) : call->failed;
	for (size_t i = 0; i < t.n_objects; i++)
		serve_object_unref(t.objects[i]);
	return r;
}
