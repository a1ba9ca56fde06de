/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "manager/proxy.h"

#include <mp/list.h>

int mp_manager_namespace(mp_manager *manager, const char *name, mp_proxy **ret_namespace)
{
	if (!manager || !ret_namespace)
		return mp_error_set(
			-EINVAL, "opening a namespace: no manager, or no place for the namespace");
	return mp__proxy_open(manager, "namespace", name, mp_nil(), ret_namespace);
}

static int no_name(const char *method)
{
	return mp_error_set(-EINVAL, "%s of a namespace: an attribute without a name", method);
}

int mp_namespace_get(mp_proxy *space, const char *attribute, mp_obj *ret_value)
{
	if (!attribute || !ret_value)
		return attribute
			       ? mp_error_set(-EINVAL, "get of a namespace: no place for the value")
			       : no_name("get");
	return mp__proxy_call(
		space, "namespace", "get", MP_LIST(mp_str(attribute)), MP_NOWAIT, ret_value);
}

int mp_namespace_set(mp_proxy *space, const char *attribute, mp_obj value)
{
	if (!attribute)
		return no_name("set");
	return mp__proxy_call(
		space, "namespace", "set", MP_LIST(mp_str(attribute), value), MP_NOWAIT, NULL);
}

int mp_namespace_delete(mp_proxy *space, const char *attribute)
{
	if (!attribute)
		return no_name("delete");
	return mp__proxy_call(
		space, "namespace", "delete", MP_LIST(mp_str(attribute)), MP_NOWAIT, NULL);
}

int mp_namespace_has(mp_proxy *space, const char *attribute)
{
	if (!attribute)
		return no_name("has");
	return mp__proxy_call_bool(
		space, "namespace", "has", MP_LIST(mp_str(attribute)), MP_NOWAIT);
}

int mp_namespace_items(mp_proxy *space, mp_obj *ret_dict)
{
	if (!ret_dict)
		return mp_error_set(-EINVAL, "items of a namespace: no place for them");
	return mp__proxy_call(space, "namespace", "items", mp_nil(), MP_NOWAIT, ret_dict);
}
