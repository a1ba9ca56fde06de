/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "manager/proxy.h"

#include <mp/served.h>

static int no_place(const char *what)
{
	return mp_error_set(-EINVAL, "%s: no manager, or no place for the result", what);
}

/* --- value ------------------------------------------------------------------------------------ */

int mp_manager_value(mp_manager *manager, const char *name, mp_obj initial, mp_proxy **ret_value)
{
	if (!manager || !ret_value)
		return no_place("opening a value");
	return mp__proxy_open(manager, "value", name, MP_LIST(initial), ret_value);
}

int mp_served_value_get(mp_proxy *value, mp_obj *ret_content)
{
	if (!ret_content)
		return no_place("getting a value");
	return mp__proxy_call(value, "value", "get", mp_nil(), MP_NOWAIT, ret_content);
}

int mp_served_value_set(mp_proxy *value, mp_obj content)
{
	return mp__proxy_call(value, "value", "set", MP_LIST(content), MP_NOWAIT, NULL);
}

int mp_served_value_exchange(mp_proxy *value, mp_obj content, mp_obj *ret_old)
{
	return mp__proxy_call(value, "value", "exchange", MP_LIST(content), MP_NOWAIT, ret_old);
}

/* --- counter ---------------------------------------------------------------------------------- */

int mp_manager_counter(
	mp_manager *manager, const char *name, int64_t initial, mp_proxy **ret_counter)
{
	if (!manager || !ret_counter)
		return no_place("opening a counter");
	return mp__proxy_open(manager, "counter", name, MP_LIST(mp_i64(initial)), ret_counter);
}

int mp_counter_get(mp_proxy *counter, int64_t *ret_number)
{
	if (!ret_number)
		return no_place("getting a counter");
	return mp__proxy_call_i64(counter, "counter", "get", mp_nil(), MP_NOWAIT, ret_number);
}

int mp_counter_set(mp_proxy *counter, int64_t number)
{
	return mp__proxy_call(counter, "counter", "set", MP_LIST(mp_i64(number)), MP_NOWAIT, NULL);
}

int mp_counter_add(mp_proxy *counter, int64_t number, int64_t *ret_number)
{
	int64_t sum;

	int r = mp__proxy_call_i64(
		counter, "counter", "add", MP_LIST(mp_i64(number)), MP_NOWAIT, &sum);
	if (r == 0 && ret_number)
		*ret_number = sum;
	return r;
}

int mp_counter_compare_and_swap(
	mp_proxy *counter, int64_t expected, int64_t number, int64_t *ret_before)
{
	int64_t before;

	int r = mp__proxy_call_i64(counter, "counter", "compare_and_swap",
		MP_LIST(mp_i64(expected), mp_i64(number)), MP_NOWAIT, &before);
	if (r < 0)
		return r;
	if (ret_before)
		*ret_before = before;
	return before == expected;
}
