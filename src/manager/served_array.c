/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "manager/argument.h"
#include "manager/proxy.h"

#include <mp/served.h>

static int call(mp_proxy *array, const char *method, mp_obj args, mp_obj *ret)
{
	return mp__proxy_call(array, "array", method, args, MP_NOWAIT, ret);
}

static int call_for_value(mp_proxy *array, const char *method, mp_obj args, mp_obj *ret)
{
	if (!ret)
		return mp_error_set(-EINVAL, "%s of an array: no place for the answer", method);
	return call(array, method, args, ret);
}

static mp_obj bound(int64_t i)
{
	return i == MP_SLICE_OPEN ? mp_nil() : mp_i64(i);
}

int mp_manager_array(
	mp_manager *manager, const char *name, int type, mp_obj initial, mp_proxy **ret_array)
{
	char letter = (char)type;

	if (!manager || !ret_array)
		return mp_error_set(
			-EINVAL, "opening an array: no manager, or no place for the array");
	if (type < 1 || type > 127)
		return mp_error_set(-EINVAL, "opening an array: no type is called %d", type);
	return mp__proxy_open(
		manager, "array", name, MP_LIST(mp_strn(&letter, 1), initial), ret_array);
}

int mp_served_array_get(mp_proxy *array, int64_t index, mp_obj *ret_number)
{
	return call_for_value(array, "get", MP_LIST(mp_i64(index)), ret_number);
}

int mp_served_array_set(mp_proxy *array, int64_t index, mp_obj number)
{
	return call(array, "set", MP_LIST(mp_i64(index), number), NULL);
}

int mp_served_array_add(mp_proxy *array, int64_t index, mp_obj number, mp_obj *ret_sum)
{
	return call(array, "add", MP_LIST(mp_i64(index), number), ret_sum);
}

int mp_served_array_compare_and_swap(mp_proxy *array, int64_t index, mp_obj expected, mp_obj number)
{
	return mp__proxy_call_bool(array, "array", "compare_and_swap",
		MP_LIST(mp_i64(index), expected, number), MP_NOWAIT);
}

int mp_served_array_get_slice(mp_proxy *array, mp_slice slice, mp_obj *ret_numbers)
{
	return call_for_value(array, "slice",
		MP_LIST(bound(slice.start), bound(slice.stop), mp_i64(slice.step)), ret_numbers);
}

int mp_served_array_set_slice(mp_proxy *array, mp_slice slice, mp_obj numbers)
{
	return call(array, "set_slice",
		MP_LIST(bound(slice.start), bound(slice.stop), mp_i64(slice.step), numbers), NULL);
}

int mp_served_array_items(mp_proxy *array, mp_obj *ret_numbers)
{
	return call_for_value(array, "items", mp_nil(), ret_numbers);
}

int mp_served_array_len(mp_proxy *array, size_t *ret_len)
{
	int64_t n;

	if (!ret_len)
		return mp_error_set(-EINVAL, "length of an array: no place for the answer");
	int r = mp__proxy_call_i64(array, "array", "len", mp_nil(), MP_NOWAIT, &n);
	if (r == 0)
		*ret_len = (size_t)n;
	return r;
}

int mp_served_array_type(mp_proxy *array)
{
	mp_obj letter = mp_nil();

	int r = call(array, "type", mp_nil(), &letter);
	if (r < 0)
		return r;
	r = letter.type == MP_TYPE_STR && letter.count == 1 ? letter.as.str[0]
							    : mp__argument_unexpected();
	mp_obj_free(&letter);
	return r;
}
