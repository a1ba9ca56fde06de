/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/transaction.h"

#include "base/cleanup.h"
#include "base/testpoint.h"
#include "managerd/compare.h"
#include "managerd/dict_methods.h"
#include "managerd/obj_dict.h"
#include "serve/refer.h"
#include "wire/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* They are looked through for each step. */
#define STEPS_MAX 1024

/* A key that some step changes, as it is to be. */
struct entry {
	struct mp__key key;
	struct serve_bytes value;
	uint8_t number[MD_NUMBER_MAX]; /* `value`, if it is a sum */
	bool is_there;
	bool is_kept;     /* a sum: if the key is to expire, it still is */
	bool is_referred; /* what the value refers to is kept for it */
};

struct transaction {
	struct serve_call *call;
	struct serve_store *dict;
	struct entry *entries;
	size_t n;
	size_t step; /* at work, from 1 */
};

/* One step, taken apart. */
struct step {
	struct serve_bytes word;
	struct mp__key key;
	struct serve_bytes value; /* of size 0: none */
};

/* --- looking ------------------------------------------------------------------------------------ */

static struct entry *changed(const struct transaction *t, const struct mp__key *key)
{
	for (size_t i = 0; i < t->n; i++) {
		struct entry *e = &t->entries[i];
		if (e->key.size == key->size && memcmp(e->key.data, key->data, key->size) == 0)
			return e;
	}
	return NULL;
}

/* What is under the key as far as the steps have come. False: nothing. */
static bool look_up(
	const struct transaction *t, const struct mp__key *key, struct serve_bytes *ret_value)
{
	const struct entry *e = changed(t, key);

	if (e) {
		*ret_value = e->value;
		return e->is_there;
	}
	return md_dict_get(t->dict, (struct serve_bytes){key->data, key->size}, ret_value) == 0;
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

static bool must_be_present(struct transaction *t, const struct step *step)
{
	struct serve_bytes value;

	return look_up(t, &step->key, &value) || holds_not(t, "there is no such key");
}

static bool must_be_absent(struct transaction *t, const struct step *step)
{
	struct serve_bytes value;

	return !look_up(t, &step->key, &value) || holds_not(t, "there is such a key");
}

static bool must_equal(struct transaction *t, const struct step *step)
{
	struct md_needle needle;
	struct serve_bytes value;

	if (!must_be_present(t, step) || !look_up(t, &step->key, &value))
		return false;
	int r = md_needle_init(&needle, step->value) ? md_needle_equals(&needle, value) : -ENOMEM;
	md_needle_deinit(&needle);
	if (r < 0)
		serve_fail_no_memory(t->call);
	return r == 1 || (r == 0 && holds_not(t, "the value is another one"));
}

static bool must_be_at_least(struct transaction *t, const struct step *step)
{
	struct serve_bytes value;
	bool less;

	if (!must_be_present(t, step) || !look_up(t, &step->key, &value))
		return false;
	int r = md_number_less(value, step->value, &less);
	if (r == -EINVAL)
		return wrong(t, "what is compared is no number");
	return !less || holds_not(t, "the number is less");
}

/* --- changes ------------------------------------------------------------------------------------ */

static void let_go(struct transaction *t, struct entry *e)
{
	if (e->is_referred)
		serve_unrefer(t->call->object, e->value);
	e->is_referred = false;
}

/* The entry of that key, made if there is none yet. There is room for one a step. */
static struct entry *entry_for(struct transaction *t, const struct mp__key *key)
{
	struct entry *e = changed(t, key);

	if (!e) {
		e = &t->entries[t->n++];
		*e = (struct entry){.key = *key, .is_kept = true};
		if (key->data == key->small)
			e->key.data = e->key.small;
	}
	return e;
}

static bool set(struct transaction *t, const struct step *step)
{
	if (!md_dict_refer(t->call, step->value))
		return false;
	struct entry *e = entry_for(t, &step->key);
	let_go(t, e);
	e->value = step->value;
	e->is_there = e->is_referred = true;
	e->is_kept = false;
	return true;
}

static bool delete (struct transaction *t, const struct step *step)
{
	if (!must_be_present(t, step))
		return false;
	struct entry *e = entry_for(t, &step->key);
	let_go(t, e);
	e->is_there = e->is_kept = false;
	return true;
}

static bool add(struct transaction *t, const struct step *step)
{
	uint8_t room[MD_NUMBER_MAX];
	struct serve_bytes old;
	struct serve_bytes sum = step->value;

	if (look_up(t, &step->key, &old)) {
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
	struct entry *e = entry_for(t, &step->key);
	let_go(t, e);
	memcpy(e->number, sum.data, sum.size);
	e->value = (struct serve_bytes){e->number, sum.size};
	e->is_there = true;
	return true;
}

/* --- steps -------------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	bool (*run)(struct transaction *t, const struct step *step);
	bool has_value;
} kinds[] = {
	{"equal", must_equal, true},
	{"at_least", must_be_at_least, true},
	{"present", must_be_present, false},
	{"absent", must_be_absent, false},
	{"set", set, true},
	{"add", add, true},
	{"delete", delete, false},
};

/* Up to three items of a list. */
static size_t take_apart(struct serve_bytes list, struct serve_bytes parts[3])
{
	struct mp__items items = mp__items_of((uint8_t *)list.data, list.size);
	uint8_t *data;
	size_t size;
	size_t n = 0;

	while (mp__items_next(&items, &data, &size)) {
		if (n < 3)
			parts[n] = (struct serve_bytes){data, size};
		n++;
	}
	return n;
}

static bool run_step(struct transaction *t, struct serve_bytes encoded)
{
	struct serve_bytes parts[3];
	struct step step;

	if (serve_type_of(encoded) != MP_TYPE_LIST)
		return wrong(t, "it is no list");
	size_t n = take_apart(encoded, parts);
	if (n < 2 || n > 3 || !serve_text_of(parts[0], &step.word))
		return wrong(t, "it is a list of a word, a key, and sometimes a value");
	int r = mp__key_canonical((uint8_t *)parts[1].data, parts[1].size, &step.key);
	if (r < 0) {
		serve_fail_result(t->call, r);
		return false;
	}
	step.value = n == 3 ? parts[2] : (struct serve_bytes){NULL, 0};
	for (size_t i = 0; i < MP__COUNT_OF(kinds); i++) {
		if (strlen(kinds[i].word) != step.word.size ||
			memcmp(kinds[i].word, step.word.data, step.word.size) != 0)
			continue;
		if (kinds[i].has_value != (n == 3))
			return wrong(t,
				kinds[i].has_value ? "it has no value" : "it has a value too many");
		return kinds[i].run(t, &step);
	}
	return wrong(t, "there is no such word");
}

static bool run_steps(struct transaction *t, struct serve_bytes steps)
{
	struct mp__items items = mp__items_of((uint8_t *)steps.data, steps.size);
	uint8_t *data;
	size_t size;

	for (t->step = 1; mp__items_next(&items, &data, &size); t->step++) {
		if (t->step > STEPS_MAX) {
			serve_fail(t->call, MP__CODE__TOO_LARGE,
				"a transaction of more than %d steps", STEPS_MAX);
			return false;
		}
		serve_effort(t->call, t->n / 8);
		if (!run_step(t, (struct serve_bytes){data, size}))
			return false;
	}
	return true;
}

/* Those that put first: the store makes room for them all. 0 or MD_DICT_E_. */
static int apply(struct transaction *t)
{
	struct serve_change *changes = calloc(t->n ? t->n : 1, sizeof(*changes));
	size_t n = 0;

	if (!changes)
		return MD_DICT_E_NO_MEMORY;
	for (int remove = 0; remove <= 1; remove++) {
		for (size_t i = 0; i < t->n; i++) {
			const struct entry *e = &t->entries[i];
			if (e->is_there == remove)
				continue;
			changes[n++] = (struct serve_change){.key = {e->key.data, e->key.size},
				.value = e->value,
				.remove = remove,
				.expires_ns = e->is_kept ? SERVE_STORE_AS_BEFORE : 0};
		}
	}
	MP__TEST_POINT("managerd.transact");
	int r = n ? t->dict->class->apply(t->dict, changes, n) : 0;
	free(changes);
	return r == 0 ? 0 : MD_DICT_E_NO_MEMORY;
}

static int run(struct transaction *t, struct serve_bytes steps)
{
	int r = 0;

	bool good = run_steps(t, steps);
	if (good) {
		r = apply(t);
		if (r != 0)
			md_dict_fail(t->call, r);
	}
	for (size_t i = 0; i < t->n && (!good || r != 0); i++)
		let_go(t, &t->entries[i]);
	if (!good || r != 0)
		return t->call->failed;
	if (t->n > 0)
		serve_changed(t->call->object);
	return serve_answer_nil(t->call);
}

int md_dict_transact(struct serve_call *call)
{
	struct transaction t = {.call = call, .dict = call->object->state};
	struct serve_bytes steps;
	int64_t version;

	if (serve_arg_given(call, 0)) {
		if (!serve_arg_i64(call, 0, &version))
			return call->failed;
		if ((uint64_t)version != call->object->version)
			return serve_fail(call, MP__CODE__CONFLICT,
				"it has changed since, nothing was done: look at it again");
	}
	if (!serve_arg_value(call, 1, &steps))
		return call->failed;
	if (serve_arg_type(call, 1) != MP_TYPE_LIST)
		return serve_fail(call, MP__CODE__INVALID, "the steps are no list");
	t.entries = calloc(STEPS_MAX, sizeof(*t.entries));
	if (!t.entries)
		return serve_fail_no_memory(call);
	int r = run(&t, steps);
	free(t.entries);
	return r;
}
