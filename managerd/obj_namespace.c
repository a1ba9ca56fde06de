/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/obj_namespace.h"

#include "managerd/dict_methods.h"
#include "managerd/obj_dict.h"

/* It is kept as a dict is, with keys that are strings. */
static bool has_name(struct serve_call *call)
{
	struct serve_bytes text;

	return serve_arg_str(call, 0, &text);
}

static int get(struct serve_call *call)
{
	return has_name(call) ? md_dict_call_get(call) : call->failed;
}

static int set(struct serve_call *call)
{
	return has_name(call) ? md_dict_call_set(call) : call->failed;
}

static int delete (struct serve_call *call)
{
	return has_name(call) ? md_dict_call_delete(call) : call->failed;
}

static int has(struct serve_call *call)
{
	return has_name(call) ? md_dict_call_contains(call) : call->failed;
}

static int items(struct serve_call *call)
{
	return md_dict_answer_all(call, true, true);
}

static const struct serve_method methods[] = {
	{"delete", delete, 1, 1},
	{"get", get, 1, 1},
	{"has", has, 1, 1},
	{"items", items, 0, 0},
	{"set", set, 2, 2},
};

const struct serve_class md_namespace_class = {
	.name = "namespace",
	.make = md_dict_make,
	.drop = md_dict_drop,
	.methods = methods,
	.n_methods = sizeof(methods) / sizeof(methods[0]),
	.bytes = md_dict_bytes,
};
