/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "manager/proxy.h"

#include <mp/list.h>

/* None of these waits for others. */
static int call(mp_proxy *list, const char *method, mp_obj args, mp_obj *ret)
{
	return mp__proxy_call(list, "list", method, args, MP_NOWAIT, ret);
}

static int call_for_value(mp_proxy *list, const char *method, mp_obj args, mp_obj *ret)
{
	if (!ret)
		return mp_error_set(-EINVAL, "%s of a list: no place for the answer", method);
	return call(list, method, args, ret);
}

static int call_for_size(mp_proxy *list, const char *method, mp_obj args, size_t *ret)
{
	int64_t number;

	if (!ret)
		return mp_error_set(-EINVAL, "%s of a list: no place for the answer", method);
	int r = mp__proxy_call_i64(list, "list", method, args, MP_NOWAIT, &number);
	if (r >= 0)
		*ret = (size_t)number;
	return r;
}

int mp_manager_list(mp_manager *manager, const char *name, mp_proxy **ret_list)
{
	if (!manager || !ret_list)
		return mp_error_set(
			-EINVAL, "opening a list: no manager, or no place for the list");
	return mp__proxy_open(manager, "list", name, mp_nil(), ret_list);
}

/* --- one item ----------------------------------------------------------------------------------- */

int mp_list_get(mp_proxy *list, int64_t index, mp_obj *ret_value)
{
	return call_for_value(list, "get", MP_LIST(mp_i64(index)), ret_value);
}

int mp_list_set(mp_proxy *list, int64_t index, mp_obj value)
{
	return call(list, "set", MP_LIST(mp_i64(index), value), NULL);
}

int mp_list_append(mp_proxy *list, mp_obj value)
{
	return call(list, "append", MP_LIST(value), NULL);
}

int mp_list_insert(mp_proxy *list, int64_t index, mp_obj value)
{
	return call(list, "insert", MP_LIST(mp_i64(index), value), NULL);
}

int mp_list_pop(mp_proxy *list, int64_t index, mp_obj *ret_value)
{
	return call(list, ret_value ? "pop" : "delete", MP_LIST(mp_i64(index)), ret_value);
}

int mp_list_delete(mp_proxy *list, int64_t index)
{
	return call(list, "delete", MP_LIST(mp_i64(index)), NULL);
}

int mp_list_add(mp_proxy *list, int64_t index, mp_obj number, mp_obj *ret_sum)
{
	return call(list, "add", MP_LIST(mp_i64(index), number), ret_sum);
}

int mp_list_compare_and_swap(mp_proxy *list, int64_t index, mp_obj expected, mp_obj value)
{
	return mp__proxy_call_bool(list, "list", "compare_and_swap",
		MP_LIST(mp_i64(index), expected, value), MP_NOWAIT);
}

/* --- by value ----------------------------------------------------------------------------------- */

int mp_list_remove(mp_proxy *list, mp_obj value)
{
	return call(list, "remove", MP_LIST(value), NULL);
}

/* An end that is not given. */
static mp_obj end(int64_t place)
{
	return place == MP_LIST_END ? mp_nil() : mp_i64(place);
}

int mp_list_index_in(mp_proxy *list, mp_obj value, int64_t start, int64_t stop, size_t *ret_index)
{
	return call_for_size(list, "index", MP_LIST(value, end(start), end(stop)), ret_index);
}

int mp_list_index(mp_proxy *list, mp_obj value, size_t *ret_index)
{
	return mp_list_index_in(list, value, MP_LIST_END, MP_LIST_END, ret_index);
}

int mp_list_count(mp_proxy *list, mp_obj value, size_t *ret_count)
{
	return call_for_size(list, "count", MP_LIST(value), ret_count);
}

int mp_list_contains(mp_proxy *list, mp_obj value)
{
	return mp__proxy_call_bool(list, "list", "contains", MP_LIST(value), MP_NOWAIT);
}

/* --- the whole, and slices ---------------------------------------------------------------------- */

int mp_list_len(mp_proxy *list, size_t *ret_len)
{
	return call_for_size(list, "len", mp_nil(), ret_len);
}

int mp_list_items(mp_proxy *list, mp_obj *ret_values)
{
	return call_for_value(list, "items", mp_nil(), ret_values);
}

int mp_list_clear(mp_proxy *list)
{
	return call(list, "clear", mp_nil(), NULL);
}

int mp_list_reverse(mp_proxy *list)
{
	return call(list, "reverse", mp_nil(), NULL);
}

int mp_list_sort(mp_proxy *list, bool descending)
{
	return call(list, "sort", MP_LIST(mp_bool(descending)), NULL);
}

int mp_list_extend(mp_proxy *list, mp_obj values)
{
	return call(list, "extend", MP_LIST(values), NULL);
}

int mp_list_multiply(mp_proxy *list, int64_t n)
{
	return call(list, "multiply", MP_LIST(mp_i64(n)), NULL);
}

int mp_list_slice(mp_proxy *list, int64_t start, int64_t stop, int64_t step, mp_obj *ret_values)
{
	return call_for_value(
		list, "slice", MP_LIST(end(start), end(stop), mp_i64(step)), ret_values);
}

int mp_list_set_slice(mp_proxy *list, int64_t start, int64_t stop, int64_t step, mp_obj values)
{
	return call(list, "set_slice", MP_LIST(end(start), end(stop), mp_i64(step), values), NULL);
}

int mp_list_delete_slice(mp_proxy *list, int64_t start, int64_t stop, int64_t step)
{
	return call(list, "delete_slice", MP_LIST(end(start), end(stop), mp_i64(step)), NULL);
}
