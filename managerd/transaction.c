/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/transaction.h"

#include "base/cleanup.h"
#include "base/testpoint.h"
#include "managerd/compare.h"
#include "managerd/dict_expiry.h"
#include "managerd/plan.h"
#include "managerd/slice.h"
#include "managerd/values.h"
#include "serve/refer.h"
#include "wire/value.h"

#include <errno.h>
#include <inttypes.h>
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
	const struct md_shape *shape; /* NULL: the object can only be looked at */
	struct serve_bytes word;
	struct md_place place;
	bool is_outside;          /* the place is an index that is not there */
	struct serve_bytes value; /* of size 0: none */
	uint8_t room[MD_NUMBER_MAX];
};

/* --- looking ------------------------------------------------------------------------------------ */

/* What is there as far as the steps have come. False: nothing. */
static bool look_up(struct transaction *t, struct step *step, struct serve_bytes *ret_value)
{
	return !step->is_outside && md_plan_look(&t->plan, step->object, step->shape, &step->place,
					    step->room, ret_value);
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

static bool not_there(const struct transaction *t, const struct step *step)
{
	return holds_not(t, step->shape->keys == MD_KEYS_INDEXES ? "there is no such index"
								 : "there is no such key");
}

/* --- conditions --------------------------------------------------------------------------------- */

static bool must_be_present(struct transaction *t, struct step *step)
{
	struct serve_bytes value;

	return look_up(t, step, &value) || not_there(t, step);
}

static bool must_be_absent(struct transaction *t, struct step *step)
{
	struct serve_bytes value;

	return !look_up(t, step, &value) || holds_not(t, "it is there");
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

/* Why it cannot be there: a result of `fit` or `sum`. */
static bool fits_not(const struct transaction *t, const struct step *step, int r)
{
	if (r == -ERANGE)
		serve_fail(t->call, MP__CODE__OVERFLOW,
			"step %zu: the sum is more than an i64 holds", t->step);
	else if (r == -EOVERFLOW)
		serve_fail(t->call, MP__CODE__OVERFLOW,
			"step %zu: the number is more, or less, than an item holds", t->step);
	else
		wrong(t, step->shape->takes ? step->shape->takes : "a sum of what is no number");
	return false;
}

static bool put_number(struct transaction *t, struct step *step, struct serve_bytes number)
{
	uint8_t room[MD_NUMBER_MAX];

	int r = step->shape->fit ? step->shape->fit(step->object, number, room, &number) : 0;
	if (r < 0)
		return fits_not(t, step, r);
	md_plan_sum(&t->plan, step->object, &step->place, number);
	return true;
}

static bool set(struct transaction *t, struct step *step)
{
	if (step->is_outside)
		return not_there(t, step);
	if (step->shape->fit)
		return put_number(t, step, step->value);
	return md_plan_put(&t->plan, step->object, &step->place, step->value, false);
}

static bool insert(struct transaction *t, struct step *step)
{
	return md_plan_put(&t->plan, step->object, &step->place, step->value, true);
}

static bool delete (struct transaction *t, struct step *step)
{
	if (!must_be_present(t, step))
		return false;
	md_plan_remove(&t->plan, step->object, &step->place);
	return true;
}

static bool add(struct transaction *t, struct step *step)
{
	uint8_t room[MD_NUMBER_MAX];
	struct serve_bytes old;
	struct serve_bytes sum = step->value;
	int r = 0;

	if (step->is_outside)
		return not_there(t, step);
	if (!look_up(t, step, &old))
		return md_is_number(sum) ? put_number(t, step, sum)
					 : wrong(t, "a sum of what is no number");
	if (step->shape->sum)
		r = step->shape->sum(step->object, old, step->value, room, &sum);
	else
		r = md_number_add(old, step->value, room, &sum);
	return r < 0 ? fits_not(t, step, r) : put_number(t, step, sum);
}

static bool expire(struct transaction *t, struct step *step)
{
	int64_t ms;
	int64_t end;

	if (!must_be_present(t, step))
		return false;
	if (!integer_of(step->value, &ms) || !md_ttl_end(ms, &end))
		return wrong(t, "a key lives for 1 to 10^12 milliseconds");
	return md_plan_end(&t->plan, step->object, &step->place, end);
}

static bool persist(struct transaction *t, struct step *step)
{
	return must_be_present(t, step) && md_plan_end(&t->plan, step->object, &step->place, 0);
}

/* --- steps -------------------------------------------------------------------------------------- */

/* What a step is about. */
enum subject {
	ANY_OBJECT, /* whatever it is; there is no key */
	PLACE,      /* a key, an index, or the inside of a value or counter */
	KEY,        /* one that comes and goes */
	DICT_KEY,   /* one that may expire */
	LIST_GAP,   /* in front of an index */
	LIST_END,   /* behind the last; there is no key */
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
	{"append", insert, LIST_END, true},
	{"insert", insert, LIST_GAP, true},
	{"expire", expire, DICT_KEY, true},
	{"persist", persist, DICT_KEY, false},
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

/* NULL: the object has what a step of that kind is about; else why not. */
static const char *why_not(const struct kind *kind, const struct md_shape *shape)
{
	if (kind->subject == ANY_OBJECT)
		return NULL;
	if (!shape)
		return "of this object only the version can be in a transaction";
	switch (kind->subject) {
	case KEY:
		return shape->is_fixed ? "of this object nothing comes or goes" : NULL;
	case DICT_KEY:
		return shape->can_expire ? NULL : "only keys of a dict expire";
	case LIST_GAP:
	case LIST_END:
		return shape->keys == MD_KEYS_INDEXES && !shape->is_fixed
			       ? NULL
			       : "only a list has an end, and places in between";
	default:
		return NULL;
	}
}

static bool read_index(
	struct transaction *t, const struct kind *kind, struct serve_bytes key, struct step *step)
{
	size_t length = md_plan_length(&t->plan, step->object, step->shape);
	int64_t i;

	if (!integer_of(key, &i))
		return wrong(t, "an index is an integer");
	if (kind->subject == LIST_GAP) {
		step->place.index = md_gap_of(i, length);
		return true;
	}
	step->is_outside = !md_place_of(i, length, &step->place.index);
	if (step->is_outside && step->shape->is_fixed)
		serve_fail(t->call, MP__CODE__OUT_OF_RANGE,
			"step %zu: index %" PRId64 " of %zu items", t->step, i, length);
	return !t->call->refused;
}

/* What stands where the key does. */
static bool read_place(
	struct transaction *t, const struct kind *kind, struct serve_bytes key, struct step *step)
{
	const struct md_shape *shape = step->shape;
	const char *why = why_not(kind, shape);

	if (why)
		return wrong(t, why);
	step->is_outside = false;
	step->place.key.size = 0;
	step->place.index = 0;
	if (kind->subject == LIST_END)
		step->place.index = md_plan_length(&t->plan, step->object, shape);
	if (kind->subject == ANY_OBJECT || kind->subject == LIST_END || shape->keys == MD_KEYS_NONE)
		return serve_type_of(key) == MP_TYPE_NIL || wrong(t, "there is no key here: nil");
	if (shape->keys == MD_KEYS_INDEXES)
		return read_index(t, kind, key, step);
	if (shape->keys == MD_KEYS_NAMES && serve_type_of(key) != MP_TYPE_STR)
		return wrong(t, "the name of an attribute is a string");
	int r = mp__key_canonical((uint8_t *)key.data, key.size, &step->place.key);
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
	step->shape = md_shape_of(step->object);
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
	return read_object(t, parts[0], &step) && read_place(t, kind, parts[first + 1], &step) &&
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
		if (object->class->refresh && !object->class->refresh(object)) {
			t->call->failed = SERVE_SESSION_E_LATER;
			return false;
		}
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
