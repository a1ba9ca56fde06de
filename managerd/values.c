/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/values.h"

#include "base/error.h"
#include "managerd/compare.h"
#include "serve/assemble.h"
#include "serve/refer.h"
#include "wire/value.h"

#include <errno.h>
#include <stdlib.h>

/* What an item takes besides its bytes: itself, its place, and what malloc adds. */
#define ITEM_BYTES (sizeof(struct md_item) + sizeof(struct md_item *) + 16)

void md_item_charge(struct serve_object *object, const struct md_item *item)
{
	serve_object_grow(object, ITEM_BYTES + item->size);
}

static void credit(struct serve_object *object, const struct md_item *item)
{
	serve_object_shrink(object, ITEM_BYTES + item->size);
}

void md_items_charge(struct serve_object *object, const struct md_items *items)
{
	for (size_t i = 0; i < items->n; i++)
		md_item_charge(object, *md_items_at(items, i));
}

/* --- arguments ---------------------------------------------------------------------------------- */

bool md_arg_item(struct serve_call *call, size_t arg, struct md_item **ret)
{
	struct serve_bytes value;

	if (!serve_arg_value(call, arg, &value) || !serve_may_grow(call, value.size))
		return false;
	struct md_item *item = md_item_new(value);
	if (!item) {
		serve_fail_no_memory(call);
		return false;
	}
	if (!serve_refer(call, value)) {
		free(item);
		return false;
	}
	md_item_charge(call->object, item);
	*ret = item;
	return true;
}

static bool copy_all(struct mp__items items, struct md_items *copies)
{
	uint8_t *data;
	size_t size;

	for (size_t i = 0; mp__items_next(&items, &data, &size); i++) {
		struct md_item *item = md_item_new((struct serve_bytes){data, size});
		if (!item) {
			copies->n = i;
			return false;
		}
		*md_items_at(copies, i) = item;
	}
	return true;
}

bool md_arg_list(struct serve_call *call, size_t arg, struct mp__items *ret_items, size_t *ret_n)
{
	struct serve_bytes list;
	uint8_t *data;
	size_t size;
	size_t n = 0;

	if (!serve_arg_value(call, arg, &list))
		return false;
	if (serve_arg_type(call, arg) != MP_TYPE_LIST) {
		serve_fail(call, MP__CODE__INVALID, "argument %zu is no list", arg + 1);
		return false;
	}
	*ret_items = mp__items_of((uint8_t *)list.data, list.size);
	for (struct mp__items counted = *ret_items; mp__items_next(&counted, &data, &size);)
		n++;
	*ret_n = n;
	return true;
}

bool md_arg_items(struct serve_call *call, size_t arg, struct md_items *ret)
{
	struct md_items copies = {0};
	struct serve_bytes list;
	struct mp__items items;
	size_t n;

	if (!md_arg_list(call, arg, &items, &n) || !serve_arg_value(call, arg, &list) ||
		!serve_may_grow(call, list.size))
		return false;
	serve_effort(call, n);
	bool copied = md_items_open(&copies, 0, n) && copy_all(items, &copies);
	if (!copied)
		serve_fail_no_memory(call);
	if (!copied || !serve_refer(call, list)) {
		md_items_clear(&copies);
		return false;
	}
	md_items_charge(call->object, &copies);
	*ret = copies;
	return true;
}

bool md_arg_sum(
	struct serve_call *call, size_t arg, struct serve_bytes stored, struct md_item **ret)
{
	uint8_t room[MD_NUMBER_MAX];
	struct serve_bytes value;
	struct serve_bytes sum;

	if (!serve_arg_value(call, arg, &value))
		return false;
	int r = md_number_add(stored, value, room, &sum);
	if (r == -ERANGE)
		serve_fail(call, MP__CODE__OVERFLOW, "%s", mp_error_detail());
	else if (r < 0)
		serve_fail_result(call, r);
	if (r < 0)
		return false;
	*ret = md_item_new(sum);
	if (*ret)
		md_item_charge(call->object, *ret);
	else
		serve_fail_no_memory(call);
	return *ret;
}

bool md_arg_equals(struct serve_call *call, size_t arg, struct serve_bytes stored, bool *ret)
{
	struct md_needle needle;
	struct serve_bytes value;

	if (!serve_arg_value(call, arg, &value))
		return false;
	if (!md_needle_init(&needle, value)) {
		serve_fail_no_memory(call);
		return false;
	}
	int r = md_needle_equals(&needle, stored);
	md_needle_deinit(&needle);
	if (r < 0)
		serve_fail_no_memory(call);
	*ret = r > 0;
	return r >= 0;
}

/* --- the end ------------------------------------------------------------------------------------ */

void md_item_drop(struct serve_object *object, struct md_item *item)
{
	if (!item)
		return;
	serve_unrefer(object, md_item_bytes(item));
	credit(object, item);
	free(item);
}

void md_items_drop(struct serve_object *object, struct md_items *items)
{
	for (size_t i = 0; i < items->n && object->n_refers > 0; i++)
		serve_unrefer(object, md_item_bytes(*md_items_at(items, i)));
	for (size_t i = 0; i < items->n; i++)
		credit(object, *md_items_at(items, i));
	md_items_clear(items);
}

/* --- answers ------------------------------------------------------------------------------------ */

int md_answer_item(struct serve_call *call, const struct md_item *item)
{
	return serve_answer_stored(call, md_item_bytes(item));
}

int md_answer_slice(
	struct serve_call *call, const struct md_items *items, const struct md_slice *slice)
{
	serve_effort(call, slice->n);
	for (size_t i = 0; i < slice->n; i++) {
		if (!serve_assemble(
			    call, md_item_bytes(*md_items_at(items, md_slice_at(slice, i)))))
			return call->failed;
	}
	return serve_answer_list(call);
}
