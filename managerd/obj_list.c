/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_list.h"

#include "managerd/compare.h"
#include "managerd/items.h"
#include "managerd/slice.h"
#include "managerd/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct md_items *items_of(const struct serve_call *call)
{
	return md_list_items(call->object);
}

/* --- one item ----------------------------------------------------------------------------------- */

static int get(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	size_t i;

	if (!md_arg_place(call, 0, items->n, &i))
		return call->failed;
	return md_answer_item(call, *md_items_at(items, i));
}

static void replace(struct serve_call *call, size_t i, struct md_item *item)
{
	struct md_item **at = md_items_at(items_of(call), i);

	md_item_drop(call->object, *at);
	*at = item;
	serve_changed(call->object);
}

static int set(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	struct md_item *item;
	size_t i;

	if (!md_arg_place(call, 0, items->n, &i) || !md_arg_item(call, 1, &item))
		return call->failed;
	replace(call, i, item);
	return serve_answer_nil(call);
}

/* The argument, in front of item i. */
static int put_at(struct serve_call *call, size_t i, size_t arg)
{
	struct md_items *items = items_of(call);
	struct md_item *item;

	if (!md_arg_item(call, arg, &item))
		return call->failed;
	if (!md_items_open(items, i, 1)) {
		md_item_drop(call->object, item);
		return serve_fail_no_memory(call);
	}
	*md_items_at(items, i) = item;
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int append(struct serve_call *call)
{
	return put_at(call, items_of(call)->n, 0);
}

static int insert(struct serve_call *call)
{
	size_t i;

	if (!md_arg_gap(call, 0, items_of(call)->n, &i))
		return call->failed;
	return put_at(call, i, 1);
}

static void take_out(struct serve_call *call, size_t i)
{
	struct md_items *items = items_of(call);

	md_item_drop(call->object, *md_items_at(items, i));
	md_items_shut(items, i, 1);
	serve_changed(call->object);
}

static int pop(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	size_t i = items->n - 1;

	if (items->n == 0)
		return serve_fail(call, MP__CODE__OUT_OF_RANGE, "it is empty");
	if (serve_arg_given(call, 0) && !md_arg_place(call, 0, items->n, &i))
		return call->failed;
	int r = md_answer_item(call, *md_items_at(items, i));
	if (!call->refused)
		take_out(call, i);
	return r;
}

static int delete (struct serve_call *call)
{
	size_t i;

	if (!md_arg_place(call, 0, items_of(call)->n, &i))
		return call->failed;
	take_out(call, i);
	return serve_answer_nil(call);
}

static int add(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	struct md_item *sum;
	size_t i;

	if (!md_arg_place(call, 0, items->n, &i) ||
		!md_arg_sum(call, 1, md_item_bytes(*md_items_at(items, i)), &sum))
		return call->failed;
	replace(call, i, sum);
	return serve_answer_value(call, md_item_bytes(sum));
}

static int compare_and_swap(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	bool equal;
	size_t i;

	if (!md_arg_place(call, 0, items->n, &i) ||
		!md_arg_equals(call, 1, md_item_bytes(*md_items_at(items, i)), &equal))
		return call->failed;
	if (equal) {
		struct md_item *item;
		if (!md_arg_item(call, 2, &item))
			return call->failed;
		replace(call, i, item);
	}
	return serve_answer_bool(call, equal);
}

/* --- looking for a value ------------------------------------------------------------------------ */

#define NOWHERE SIZE_MAX

/* The first of the places from begin to before end that equals argument 0. False: answered. */
static bool find(struct serve_call *call, size_t begin, size_t end, size_t *ret)
{
	struct md_items *items = items_of(call);
	struct md_needle needle;
	struct serve_bytes wanted;
	int r = 0;
	size_t i = begin;

	if (!serve_arg_value(call, 0, &wanted))
		return false;
	if (!md_needle_init(&needle, wanted)) {
		serve_fail_no_memory(call);
		return false;
	}
	while (i < end &&
		(r = md_needle_equals(&needle, md_item_bytes(*md_items_at(items, i)))) == 0)
		i++;
	md_needle_deinit(&needle);
	serve_effort(call, i - begin);
	if (r < 0)
		serve_fail_no_memory(call);
	*ret = i < end ? i : NOWHERE;
	return r >= 0;
}

static int contains(struct serve_call *call)
{
	size_t i;

	if (!find(call, 0, items_of(call)->n, &i))
		return call->failed;
	return serve_answer_bool(call, i != NOWHERE);
}

static int not_there(struct serve_call *call)
{
	return serve_fail(call, MP__CODE__NOT_FOUND, "no item of the list has this value");
}

static int index_of(struct serve_call *call)
{
	size_t begin = 0;
	size_t end = items_of(call)->n;
	size_t i;

	if ((serve_arg_given(call, 1) && !md_arg_gap(call, 1, end, &begin)) ||
		(serve_arg_given(call, 2) && !md_arg_gap(call, 2, end, &end)) ||
		!find(call, begin, end, &i))
		return call->failed;
	return i == NOWHERE ? not_there(call) : serve_answer_i64(call, (int64_t)i);
}

static int remove_value(struct serve_call *call)
{
	size_t i;

	if (!find(call, 0, items_of(call)->n, &i))
		return call->failed;
	if (i == NOWHERE)
		return not_there(call);
	take_out(call, i);
	return serve_answer_nil(call);
}

static int count(struct serve_call *call)
{
	size_t n = items_of(call)->n;
	int64_t found = 0;
	size_t i;

	for (size_t begin = 0; begin < n; begin = i + 1) {
		if (!find(call, begin, n, &i))
			return call->failed;
		if (i == NOWHERE)
			break;
		found++;
	}
	return serve_answer_i64(call, found);
}

/* --- the whole ---------------------------------------------------------------------------------- */

static int length(struct serve_call *call)
{
	return serve_answer_i64(call, (int64_t)items_of(call)->n);
}

static int clear(struct serve_call *call)
{
	struct md_items *items = items_of(call);

	if (items->n > 0)
		serve_changed(call->object);
	serve_effort(call, items->n);
	md_items_drop(call->object, items);
	return serve_answer_nil(call);
}

static int reverse(struct serve_call *call)
{
	struct md_items *items = items_of(call);

	for (size_t i = 0, k = items->n; i + 1 < k; i++) {
		struct md_item **a = md_items_at(items, i);
		struct md_item **b = md_items_at(items, --k);
		struct md_item *other = *a;
		*a = *b;
		*b = other;
	}
	serve_effort(call, items->n);
	serve_changed(call->object);
	return serve_answer_nil(call);
}

static int sort(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	bool descending = false;

	if (serve_arg_given(call, 0) && !serve_arg_bool(call, 0, &descending))
		return call->failed;
	serve_effort(call, items->n * 4);
	int r = md_items_sort(items, descending);
	if (r == -ENOMEM)
		return serve_fail_no_memory(call);
	if (r < 0)
		return serve_fail(call, MP__CODE__UNSUPPORTED,
			"a list with other objects in it has no order");
	serve_changed(call->object);
	return serve_answer_nil(call);
}

/* Put them all in front of item i, or behind the last one. */
static bool put_all(struct serve_call *call, size_t i, struct md_items *more)
{
	bool done = md_items_move(items_of(call), i, more);

	if (!done) {
		md_items_drop(call->object, more);
		serve_fail_no_memory(call);
	}
	serve_changed(call->object);
	return done;
}

/* Behind what is there, n - 1 copies of it; none at all when n is 0 or less. */
static int multiply(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	struct md_items copies = {0};
	size_t length = items->n;
	int64_t times;

	if (!serve_arg_i64(call, 0, &times))
		return call->failed;
	if (times <= 0)
		return clear(call);
	if (length == 0)
		return serve_answer_nil(call);
	if (call->object->n_refers > 0)
		return serve_fail(call, MP__CODE__UNSUPPORTED,
			"a list with other objects in it is not multiplied");
	if (length > 0 && times > MD_MANY_MAX / (int64_t)length)
		return serve_fail(call, MP__CODE__TOO_LARGE, "%lld times %zu items are too many",
			(long long)times, length);
	if (!serve_may_grow(call, call->object->charged * (uint64_t)(times - 1)))
		return call->failed;
	if (!md_items_open(&copies, 0, length * (size_t)(times - 1)))
		return serve_fail_no_memory(call);
	for (size_t i = 0; i < copies.n; i++) {
		struct serve_bytes bytes = md_item_bytes(*md_items_at(items, i % length));
		*md_items_at(&copies, i) = md_item_new(bytes);
		if (!*md_items_at(&copies, i)) {
			copies.n = i;
			md_items_clear(&copies);
			return serve_fail_no_memory(call);
		}
	}
	md_items_charge(call->object, &copies);
	serve_effort(call, copies.n);
	return put_all(call, length, &copies) ? serve_answer_nil(call) : call->failed;
}

/* --- slices ------------------------------------------------------------------------------------- */

static int extend(struct serve_call *call)
{
	struct md_items more;

	if (!md_arg_items(call, 0, &more) || !put_all(call, items_of(call)->n, &more))
		return call->failed;
	return serve_answer_nil(call);
}

static int slice(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	struct md_slice s;

	if (!md_arg_slice(call, 0, items->n, &s))
		return call->failed;
	return md_answer_slice(call, items, &s);
}

static int all_items(struct serve_call *call)
{
	struct md_items *items = items_of(call);
	struct md_slice s = {.step = 1, .n = items->n};

	return md_answer_slice(call, items, &s);
}

static void delete_places(struct serve_call *call, const struct md_slice *s)
{
	struct md_items *items = items_of(call);
	bool up = s->step > 0;
	size_t stride = (size_t)(up ? s->step : -s->step);
	size_t kept = 0;

	if (s->n == 0)
		return;
	size_t lowest = md_slice_at(s, up ? 0 : s->n - 1);
	size_t behind = lowest + (s->n - 1) * stride + 1;
	/* What stays moves up to what was behind them all; so the places in front are free. */
	for (size_t i = behind; i-- > lowest;) {
		struct md_item *item = *md_items_at(items, i);
		if ((i - lowest) % stride == 0)
			md_item_drop(call->object, item);
		else
			*md_items_at(items, behind - ++kept) = item;
	}
	serve_effort(call, behind - lowest);
	md_items_shut(items, lowest, s->n);
	serve_changed(call->object);
}

static int delete_slice(struct serve_call *call)
{
	struct md_slice s;

	if (!md_arg_slice(call, 0, items_of(call)->n, &s))
		return call->failed;
	delete_places(call, &s);
	return serve_answer_nil(call);
}

/* One by one, as many as there are. */
static void replace_all(struct serve_call *call, const struct md_slice *s, struct md_items *by)
{
	for (size_t i = 0; i < s->n; i++)
		replace(call, md_slice_at(s, i), *md_items_at(by, i));
	by->n = 0;
	md_items_clear(by);
}

/* A slice of neighbours may be replaced by more or less; any other one by as many. */
static int set_slice(struct serve_call *call)
{
	struct md_items more;
	struct md_slice s;

	if (!md_arg_slice(call, 0, items_of(call)->n, &s) || !md_arg_items(call, 3, &more))
		return call->failed;
	size_t n = more.n;
	if (s.step != 1 && n != s.n) {
		md_items_drop(call->object, &more);
		return serve_fail(
			call, MP__CODE__INVALID, "%zu values for a slice of %zu items", n, s.n);
	}
	if (n == s.n) {
		replace_all(call, &s, &more);
		return serve_answer_nil(call);
	}
	/* The new ones first: after that nothing can fail. */
	if (!put_all(call, (size_t)s.start, &more))
		return call->failed;
	s.start += (int64_t)n;
	delete_places(call, &s);
	return serve_answer_nil(call);
}

/* --- the class ---------------------------------------------------------------------------------- */

static bool make(struct serve_call *call)
{
	struct md_items *items = calloc(1, sizeof(*items));

	call->object->state = items;
	if (!items)
		serve_fail_no_memory(call);
	return items && (serve_args(call) == 0 || md_arg_items(call, 0, items));
}

static void drop(struct serve_object *object)
{
	if (object->state)
		md_items_drop(object, object->state);
	free(object->state);
}

static const struct serve_method methods[] = {
	{"add", add, 2, 2},
	{"append", append, 1, 1},
	{"clear", clear, 0, 0},
	{"compare_and_swap", compare_and_swap, 3, 3},
	{"contains", contains, 1, 1},
	{"count", count, 1, 1},
	{"delete", delete, 1, 1},
	{"delete_slice", delete_slice, 0, 3},
	{"extend", extend, 1, 1},
	{"get", get, 1, 1},
	{"index", index_of, 1, 3},
	{"insert", insert, 2, 2},
	{"items", all_items, 0, 0},
	{"len", length, 0, 0},
	{"multiply", multiply, 1, 1},
	{"pop", pop, 0, 1},
	{"remove", remove_value, 1, 1},
	{"reverse", reverse, 0, 0},
	{"set", set, 2, 2},
	{"set_slice", set_slice, 4, 4},
	{"slice", slice, 0, 3},
	{"sort", sort, 0, 1},
};

const struct serve_class md_list_class = {
	.name = "list",
	.max_args = 1,
	.make = make,
	.drop = drop,
	.methods = methods,
	.n_methods = sizeof(methods) / sizeof(methods[0]),
};
