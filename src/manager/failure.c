/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/failure.h"

#include "base/error.h"

#include <stdio.h>

/* So much of a name is enough to know it, and leaves room for the reason. */
#define NAME_SHOWN 63

static const char *method_of(const Mp__Request *request)
{
	switch (request->op_case) {
	case MP__REQUEST__OP_OPEN:
		return "opening";
	case MP__REQUEST__OP_CALL:
		return request->call->method;
	case MP__REQUEST__OP_DICT_SET:
		return "set";
	case MP__REQUEST__OP_DICT_GET:
		return "get";
	case MP__REQUEST__OP_DICT_POP:
		return "pop";
	case MP__REQUEST__OP_DICT_CONTAINS:
		return "contains";
	case MP__REQUEST__OP_DICT_SETDEFAULT:
		return "setdefault";
	case MP__REQUEST__OP_DICT_UPDATE:
		return "update";
	case MP__REQUEST__OP_DICT_CLEAR:
		return "clear";
	case MP__REQUEST__OP_DICT_LEN:
		return "len";
	default:
		return "reading";
	}
}

/* While it is being opened a proxy has no class yet. */
static const char *class_of(const struct mp_proxy *proxy, const Mp__Request *request)
{
	if (proxy->object.class_name[0] != '\0')
		return proxy->object.class_name;
	if (request->op_case == MP__REQUEST__OP_OPEN && request->open->class_name &&
		request->open->class_name[0] != '\0')
		return request->open->class_name;
	return "object";
}

int mp__failure_said(const struct mp_proxy *proxy, const Mp__Request *request,
	const struct mp__reply *reply, int result)
{
	char why[256];

	if (result >= 0 || !reply->refused)
		return result;
	snprintf(why, sizeof(why), "%s", mp_error_detail());
	const char *class_name = class_of(proxy, request);
	const char *what = method_of(request);
	const char *of = request->op_case == MP__REQUEST__OP_OPEN ? "" : "of ";
	if (proxy->name_length == 0)
		return mp_error_set(result, "%s %sa %s: %s", what, of, class_name, why);
	int n = proxy->name_length < NAME_SHOWN ? (int)proxy->name_length : NAME_SHOWN;
	return mp_error_set(
		result, "%s %sthe %s '%.*s': %s", what, of, class_name, n, proxy->name, why);
}
