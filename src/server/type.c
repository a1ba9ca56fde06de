/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "server/type.h"

#include "base/error.h"
#include "obj/block.h"
#include "serve/call.h"
#include "serve/refer.h"
#include "server/served.h"

#include <stdlib.h>
#include <string.h>

struct own {
	struct serve_class class; /* first: the class is this */
	const mp_served_type *type;
	struct serve_method *methods; /* by name; how the server sees those that follow */
	mp_method of_program[];       /* by name */
};

/* What this thread does for a server. */
static _Thread_local struct {
	struct mp__served_list *list; /* NULL: it runs none */
	struct serve_call *call;      /* NULL: no function of a type is at work */
} here;

static const struct own *own_of(const struct serve_call *call)
{
	return (const struct own *)call->object->class;
}

/* --- values ------------------------------------------------------------------------------------- */

struct arguments {
	mp_obj values[SERVE_ARGS_MAX];
	int n;
};

static void free_arguments(struct arguments *arguments)
{
	while (arguments->n > 0)
		mp_obj_free(&arguments->values[--arguments->n]);
}

/* False: answered, and nothing is to be freed. */
static bool read_arguments(struct serve_call *call, struct arguments *ret)
{
	struct mp__served_referrer referrer;
	struct mp__cargo cargo = {.referrer = &referrer.base};
	struct serve_bytes bytes;

	mp__served_referrer_init(&referrer, call, here.list);
	ret->n = 0;
	for (size_t i = 0; i < serve_args(call); i++) {
		int r = -EINVAL;
		if (serve_arg_value(call, i, &bytes)) {
			r = mp__obj_decode(bytes.data, bytes.size, &cargo, &ret->values[i]);
			if (r < 0)
				serve_fail_result(call, r);
		}
		if (r < 0) {
			free_arguments(ret);
			return false;
		}
		ret->n++;
	}
	return true;
}

static int answer(struct serve_call *call, const mp_obj *result)
{
	struct mp__served_referrer referrer;
	struct mp__cargo cargo = {.referrer = &referrer.base};
	void *data;
	size_t size;

	mp__served_referrer_init(&referrer, call, here.list);
	int r = mp__obj_encode(result, 0, &cargo, &data, &size);
	if (r < 0)
		return serve_fail_result(call, r);
	const struct serve_bytes value = {data, size};
	r = referrer.referred > 0 ? serve_answer_objects(call, value)
				  : serve_answer_value(call, value);
	free(data);
	return r;
}

/* --- calls -------------------------------------------------------------------------------------- */

static mp_method_function *function_of(const struct serve_call *call)
{
	const struct own *own = own_of(call);

	return own->of_program[call->method - own->methods].function;
}

static int run(struct serve_call *call)
{
	struct arguments arguments;
	mp_obj result = mp_nil();

	if (!read_arguments(call, &arguments))
		return call->failed;
	(void)mp_error_set(0, "%s failed", call->method->name);
	struct serve_call *outer = here.call;
	here.call = call;
	int r = function_of(call)(call->object->state, arguments.n, arguments.values, &result);
	here.call = outer;
	free_arguments(&arguments);
	if (r < 0)
		return serve_fail_errno(call, r);
	serve_changed(call->object);
	r = answer(call, &result);
	mp_obj_free(&result);
	return r;
}

static bool make(struct serve_call *call)
{
	struct arguments arguments;
	void *object = NULL;

	if (!read_arguments(call, &arguments))
		return false;
	(void)mp_error_set(0, "a new %s failed", own_of(call)->type->name);
	struct serve_call *outer = here.call;
	here.call = call;
	int r = own_of(call)->type->make(arguments.n, arguments.values, &object);
	here.call = outer;
	free_arguments(&arguments);
	if (r < 0)
		serve_fail_errno(call, r);
	else
		call->object->state = object;
	return r >= 0;
}

static void drop(struct serve_object *object)
{
	const mp_served_type *type = ((const struct own *)object->class)->type;

	if (type->free && object->state)
		type->free(object->state);
}

/* --- objects in values --------------------------------------------------------------------------- */

void mp__type_enter(struct mp__served_list *list)
{
	list->outer = here.list;
	here.list = list;
}

void mp__type_leave(struct mp__served_list *list)
{
	mp__served_let_go(list);
	here.list = list->outer;
}

void *mp_obj_served(const mp_obj *value, const mp_served_type *type)
{
	struct serve_object *object = mp__served_object(mp__obj_handle(value, MP__HANDLE_SERVED));

	/* All classes of a server of one's own are such. */
	if (!object || ((const struct own *)object->class)->type != type)
		return NULL;
	return object->state;
}

/* The class of the type in this server; NULL: it has none. */
static const struct serve_class *class_of(const mp_served_type *type)
{
	const struct serve_class *const *classes = here.call->session->context->service->classes;

	for (; *classes; classes++) {
		if (((const struct own *)*classes)->type == type)
			return *classes;
	}
	return NULL;
}

static int new_object(const struct serve_class *class, struct serve_object **ret_object)
{
	struct serve_session *session = here.call->session;

	if (!serve_account_may(session->account, SERVE_OBJECTS, 1))
		return mp_error_set(-ENOSPC, "this user has as many objects as he may");
	int r = serve_registry_add(&session->context->registry, class, NULL, 0, ret_object);
	if (r == SERVE_REGISTRY_E_LIMIT)
		return mp_error_set(-ENOSPC, "the server holds as many objects as it may");
	if (r != 0)
		return mp_error_set(r < 0 ? r : -ENOMEM, "no memory for a new %s", class->name);
	serve_object_charge(*ret_object, session->account);
	return 0;
}

/* A value that has the handle, which may be NULL: no memory. Then it has not. */
static int own_value(struct mp__handle *handle, mp_obj *ret_value)
{
	const struct mp__block_plan plan = {.held = 1};
	struct mp__builder builder;

	int r = handle ? mp__block_new(&plan, &builder)
		       : mp_error_set(-ENOMEM, "no memory for a new object");
	if (r < 0) {
		mp__served_forget(handle);
		return r;
	}
	*ret_value = mp__block_handle(&builder, handle);
	ret_value->block = builder.block;
	return 0;
}

int mp_served_new(const mp_served_type *type, void *object, mp_obj *ret_value)
{
	struct serve_object *served;

	if (!type || !ret_value)
		return mp_error_set(-EINVAL, "a new served object: no type, or no place for it");
	if (!here.call)
		return mp_error_set(-EINVAL,
			"a new served %s outside of a method: no server would have it", type->name);
	const struct serve_class *class = class_of(type);
	if (!class)
		return mp_error_set(
			-EINVAL, "a new served %s, of which this server knows nothing", type->name);
	int r = new_object(class, &served);
	if (r < 0)
		return r;
	r = own_value(mp__served_new(here.list, served), ret_value);
	if (r < 0)
		serve_object_unref(served);
	else
		served->state = object;
	return r;
}

/* --- the class ---------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
	static const char *const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789_.-";

	size_t length = name ? strlen(name) : 0;
	return length > 0 && length <= SERVE_CLASS_NAME_MAX && strspn(name, allowed) == length;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const mp_method *)a)->name, ((const mp_method *)b)->name);
}

static int check(const mp_served_type *type, size_t *ret_n)
{
	size_t n = 0;

	if (!type || !is_name(type->name) || !type->make || !type->methods)
		return mp_error_set(-EINVAL, "a type needs a name, a way to make it, and methods");
	for (; type->methods[n].name; n++) {
		if (!is_name(type->methods[n].name) || !type->methods[n].function)
			return mp_error_set(-EINVAL,
				"method %zu of type %s has no proper name, or no function", n,
				type->name);
	}
	*ret_n = n;
	return 0;
}

/* Both rows of methods, in order. -EINVAL: two have one name. */
static int fill(struct own *own, size_t n)
{
	memcpy(own->of_program, own->type->methods, n * sizeof(own->of_program[0]));
	qsort(own->of_program, n, sizeof(own->of_program[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		const char *name = own->of_program[i].name;
		if (i > 0 && strcmp(own->of_program[i - 1].name, name) == 0)
			return mp_error_set(-EINVAL, "type %s has two methods of name %s",
				own->type->name, name);
		own->methods[i] = (struct serve_method){name, run, 0, SERVE_ARGS_MAX};
	}
	return 0;
}

int mp__type_new(const mp_served_type *type, struct serve_class **ret_class)
{
	size_t n;

	int r = check(type, &n);
	if (r < 0)
		return r;
	struct own *own = calloc(1, sizeof(*own) + n * sizeof(own->of_program[0]));
	struct serve_method *methods = calloc(n ? n : 1, sizeof(*methods));
	if (!own || !methods) {
		free(methods);
		free(own);
		return mp_error_set(-ENOMEM, "no memory for type %s", type->name);
	}
	own->type = type;
	own->methods = methods;
	own->class = (struct serve_class){.name = type->name,
		.max_args = SERVE_ARGS_MAX,
		.make = make,
		.drop = drop,
		.methods = methods,
		.n_methods = n};
	r = fill(own, n);
	if (r < 0)
		mp__type_free(&own->class);
	else
		*ret_class = &own->class;
	return r;
}

void mp__type_free(struct serve_class *class)
{
	if (class)
		free(((struct own *)class)->methods);
	free(class);
}
