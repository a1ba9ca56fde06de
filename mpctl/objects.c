/* SPDX-License-Identifier: MIT */
/* mpctl get, set, del, append, add, call, make: what stands in the objects of a managerd. */
#include <config.h>

#include "mpctl/objects.h"

#include "mpctl/daemon.h"
#include "mpctl/value.h"

#include <errno.h>
#include <mp/error.h>
#include <mp/list.h>
#include <mp/served.h>
#include <stdlib.h>
#include <string.h>

int object_open(struct line *line, const char *name, const char *type, mp_proxy **ret)
{
	int r = mp_manager_open(line->manager, line->type, name, mp_nil(), ret);

	if (r == -ENOENT && type)
		r = mp_manager_open(line->manager, type, name, mp_nil(), ret);
	return r < 0 ? line_fail(line, r, name) : MPCTL_OK;
}

int object_usage(struct line *line, const mp_proxy *object, const char *why)
{
	return mpctl_usage(
		line->command, "%s is a %s, which %s", line->argv[0], mp_proxy_type(object), why);
}

/* Say how it went, the exit code. */
static int done(struct line *line, int r)
{
	if (r < 0)
		return line_fail(line, r, line->argv[0]);
	if (line->json)
		puts("{\"ok\": true}");
	return MPCTL_OK;
}

/* --- keys --------------------------------------------------------------------------------------- */

/* What a class has under its keys, and as a whole. */
struct shape {
	const char *class_name;
	enum { NO_KEY, ANY_KEY, INDEX, ATTRIBUTE } key;
	const char *whole; /* the method that gives it without a key */
	const char *get;   /* with one */
	const char *set;   /* NULL: it has none */
	const char *remove;
	const char *add;
};

static const struct shape shapes[] = {
	{"dict", ANY_KEY, NULL, NULL, NULL, NULL, NULL}, /* has functions of its own */
	{"list", INDEX, "items", "get", "set", "delete", "add"},
	{"array", INDEX, "items", "get", "set", NULL, "add"},
	{"namespace", ATTRIBUTE, "items", "get", "set", "delete", NULL},
	{"value", NO_KEY, "get", NULL, "set", NULL, NULL},
	{"counter", NO_KEY, "get", NULL, "set", NULL, "add"},
	{"event", NO_KEY, "is_set", NULL, NULL, NULL, NULL},
	{"lock", NO_KEY, "locked", NULL, NULL, NULL, NULL},
	{"rlock", NO_KEY, "locked", NULL, NULL, NULL, NULL},
	{"condition", NO_KEY, "locked", NULL, NULL, NULL, NULL},
	{"semaphore", NO_KEY, "value", NULL, NULL, NULL, NULL},
	{"bounded_semaphore", NO_KEY, "value", NULL, NULL, NULL, NULL},
	{"barrier", NO_KEY, "waiting", NULL, NULL, NULL, NULL},
	{"queue", NO_KEY, "len", NULL, NULL, NULL, NULL},
};

/* NULL: that has been said. */
static const struct shape *shape_of(struct line *line, const mp_proxy *object, int *ret_code)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (strcmp(shapes[i].class_name, mp_proxy_type(object)) == 0)
			return &shapes[i];
	}
	*ret_code = object_usage(line, object, "only `mpctl call` knows to use");
	return NULL;
}

static int read_key(struct line *line, const struct shape *shape, const mp_proxy *object,
	const char *text, mp_obj *ret)
{
	int64_t index;

	if (shape->key == NO_KEY)
		return object_usage(line, object, "has no keys");
	if (shape->key == ATTRIBUTE)
		*ret = mp_str(text);
	else if (shape->key == ANY_KEY)
		return value_read_key(line, text, ret);
	else if (line_number(text, &index))
		*ret = mp_i64(index);
	else
		return object_usage(line, object, "is counted by whole numbers");
	return MPCTL_OK;
}

/* --- get ---------------------------------------------------------------------------------------- */

static int get_from_dict(mp_proxy *object, const mp_obj *key, mp_obj *ret)
{
	mp_dict *dict = mp_proxy_dict(object);
	int r = key ? mp_dict_get(dict, *key, ret) : mp_dict_items(dict, ret);

	mp_dict_close(dict);
	return r;
}

int object_get(struct line *line, mp_proxy *object, const char *key_text, int *ret_r, mp_obj *ret)
{
	int code = MPCTL_OK;
	const struct shape *shape = shape_of(line, object, &code);
	mp_obj key = mp_nil();

	if (!shape)
		return code;
	if (key_text)
		code = read_key(line, shape, object, key_text, &key);
	if (code != MPCTL_OK)
		return code;
	if (shape->key == ANY_KEY)
		*ret_r = get_from_dict(object, key_text ? &key : NULL, ret);
	else
		*ret_r = mp_proxy_call(object, key_text ? shape->get : shape->whole,
			key_text ? mp_list_of(&key, 1) : mp_nil(), MP_NOWAIT, ret);
	mp_obj_free(&key);
	return MPCTL_OK;
}

static int serve_get(struct line *line)
{
	mp_proxy *object = NULL;
	mp_obj value = mp_nil();
	int r = 0;

	int code = object_open(line, line->argv[0], NULL, &object);
	if (code != MPCTL_OK)
		return code;
	const char *key = line->argc > 1 ? line->argv[1] : NULL;
	code = object_get(line, object, key, &r, &value);
	if (code == MPCTL_OK && r < 0) {
		code = line_fail(line, r, key ? key : line->argv[0]);
	} else if (code == MPCTL_OK) {
		value_print(line, &value);
		mp_obj_free(&value);
	}
	mp_proxy_close(object);
	return code;
}

/* --- set ---------------------------------------------------------------------------------------- */

static int set_event(struct line *line, mp_proxy *object, const mp_obj *value)
{
	bool on;

	if (mp_obj_to_bool(value, &on) < 0)
		return object_usage(line, object, "is set to true or false");
	return done(line, on ? mp_served_event_set(object) : mp_served_event_clear(object));
}

static int set_in_dict(struct line *line, mp_proxy *object, mp_obj key, mp_obj value)
{
	mp_dict *dict = mp_proxy_dict(object);
	int r = line->for_ms ? mp_dict_set_for(dict, key, value, line->for_ms)
			     : mp_dict_set(dict, key, value);

	mp_dict_close(dict);
	return done(line, r);
}

static int set_value(
	struct line *line, const struct shape *shape, mp_proxy *object, mp_obj key, mp_obj value)
{
	if (strcmp(shape->class_name, "event") == 0 && !line->for_ms)
		return set_event(line, object, &value);
	if (shape->key == ANY_KEY)
		return set_in_dict(line, object, key, value);
	if (line->for_ms)
		return object_usage(line, object, "keeps what it has");
	if (!shape->set)
		return object_usage(line, object, "cannot be set");
	mp_obj args = shape->key == NO_KEY ? MP_LIST(value) : MP_LIST(key, value);
	return done(line, mp_proxy_call(object, shape->set, args, MP_NOWAIT, NULL));
}

/* The object is open, the value is read. */
static int set_under(struct line *line, mp_proxy *object, const char *key_text, mp_obj value)
{
	int code = MPCTL_OK;
	const struct shape *shape = shape_of(line, object, &code);
	mp_obj key = mp_nil();

	if (!shape)
		return code;
	if (key_text)
		code = read_key(line, shape, object, key_text, &key);
	else if (shape->key != NO_KEY)
		code = object_usage(line, object, "wants a key");
	if (code == MPCTL_OK)
		code = set_value(line, shape, object, key, value);
	mp_obj_free(&key);
	return code;
}

static int serve_set(struct line *line)
{
	const char *key = line->argc > 2 ? line->argv[1] : NULL;
	mp_proxy *object;
	mp_obj value;

	int code = value_read(line, line->argv[line->argc - 1], &value);
	if (code != MPCTL_OK)
		return code;
	code = object_open(line, line->argv[0], key ? "dict" : "value", &object);
	if (code == MPCTL_OK) {
		code = set_under(line, object, key, value);
		mp_proxy_close(object);
	}
	mp_obj_free(&value);
	return code;
}

/* --- del ---------------------------------------------------------------------------------------- */

static int delete_key(
	struct line *line, const struct shape *shape, mp_proxy *object, const char *text)
{
	mp_obj key;
	int r;

	int code = read_key(line, shape, object, text, &key);
	if (code != MPCTL_OK)
		return code;
	if (shape->key == ANY_KEY) {
		mp_dict *dict = mp_proxy_dict(object);
		r = mp_dict_pop(dict, key, NULL);
		mp_dict_close(dict);
	} else if (!shape->remove) {
		return object_usage(line, object, "keeps its length");
	} else {
		r = mp_proxy_call(object, shape->remove, MP_LIST(key), MP_NOWAIT, NULL);
	}
	mp_obj_free(&key);
	return r < 0 ? line_fail(line, r, text) : MPCTL_OK;
}

static int delete_keys(struct line *line, int *ret_deleted)
{
	mp_proxy *object;
	int worst = MPCTL_OK;

	int code = object_open(line, line->argv[0], NULL, &object);
	if (code != MPCTL_OK)
		return code;
	const struct shape *shape = shape_of(line, object, &worst);
	for (int i = 1; shape && i < line->argc; i++) {
		code = delete_key(line, shape, object, line->argv[i]);
		*ret_deleted += code == MPCTL_OK;
		worst = code > worst ? code : worst;
	}
	mp_proxy_close(object);
	return worst;
}

static int serve_del(struct line *line)
{
	int deleted = 0;
	int code = MPCTL_OK;

	if (line->argc > 1) {
		code = delete_keys(line, &deleted);
	} else {
		int r = daemon_unlink(line, line->argv[0]);
		if (r < 0)
			code = line_fail(line, r, line->argv[0]);
		else
			deleted = 1;
	}
	if (line->json)
		printf("{\"deleted\": %d}\n", deleted);
	return code;
}

/* --- append, add, call, make ---------------------------------------------------------------------------- */

static int append_lines(struct line *line, mp_proxy *list)
{
	bool end = false;

	for (;;) {
		mp_obj value = mp_nil();
		int code = value_read_line(line, &end, &value);
		if (code != MPCTL_OK || end)
			return code;
		int r = mp_list_append(list, value);
		mp_obj_free(&value);
		if (r < 0)
			return line_fail(line, r, line->argv[0]);
	}
}

/* All of them or none. */
static int append_values(struct line *line, mp_proxy *list)
{
	int n = line->argc - 1;
	mp_obj *values = calloc((size_t)n, sizeof(*values));
	int code = MPCTL_OK;

	if (!values)
		return line_fail(line, mp_error_set(-ENOMEM, "out of memory"), NULL);
	for (int i = 0; i < n && code == MPCTL_OK; i++)
		code = value_read(line, line->argv[i + 1], &values[i]);
	if (code == MPCTL_OK) {
		int r = mp_list_extend(list, mp_list_of(values, (size_t)n));
		code = r < 0 ? line_fail(line, r, line->argv[0]) : MPCTL_OK;
	}
	for (int i = 0; i < n; i++)
		mp_obj_free(&values[i]);
	free(values);
	return code;
}

static int serve_append(struct line *line)
{
	mp_proxy *list;
	int code = object_open(line, line->argv[0], "list", &list);

	if (code != MPCTL_OK)
		return code;
	code = line->argc == 2 && value_is_stdin(line->argv[1]) ? append_lines(line, list)
								: append_values(line, list);
	mp_proxy_close(list);
	return code == MPCTL_OK ? done(line, 0) : code;
}

static int add_number(struct line *line, const struct shape *shape, mp_proxy *object,
	const char *key_text, mp_obj number, mp_obj *ret)
{
	mp_obj key = mp_nil();
	int r;

	if (key_text) {
		int code = read_key(line, shape, object, key_text, &key);
		if (code != MPCTL_OK)
			return code;
	} else if (shape->key != NO_KEY) {
		return object_usage(line, object, "wants a key");
	}
	if (shape->key == ANY_KEY) {
		mp_dict *dict = mp_proxy_dict(object);
		r = mp_dict_add(dict, key, number, ret);
		mp_dict_close(dict);
	} else if (!shape->add) {
		return object_usage(line, object, "is nothing to add to");
	} else {
		mp_obj args = key_text ? MP_LIST(key, number) : MP_LIST(number);
		r = mp_proxy_call(object, shape->add, args, MP_NOWAIT, ret);
	}
	mp_obj_free(&key);
	return r < 0 ? line_fail(line, r, key_text ? key_text : line->argv[0]) : MPCTL_OK;
}

static int serve_add(struct line *line)
{
	const char *key = line->argc > 2 ? line->argv[1] : NULL;
	const char *text = line->argv[line->argc - 1];
	mp_proxy *object;
	mp_obj number;
	mp_obj sum;

	int code = value_read(line, text, &number);
	if (code != MPCTL_OK)
		return code;
	if (number.type != MP_TYPE_I64 && number.type != MP_TYPE_U64 &&
		number.type != MP_TYPE_F64) {
		mp_obj_free(&number);
		return mpctl_usage(line->command, "%s is no number", text);
	}
	code = object_open(line, line->argv[0], key ? "dict" : "counter", &object);
	if (code != MPCTL_OK)
		return code;
	const struct shape *shape = shape_of(line, object, &code);
	if (shape)
		code = add_number(line, shape, object, key, number, &sum);
	if (code == MPCTL_OK) {
		value_print(line, &sum);
		mp_obj_free(&sum);
	}
	mp_proxy_close(object);
	return code;
}

static int call_with(struct line *line, const mp_obj *args, size_t n)
{
	mp_proxy *object;
	mp_obj result;

	int code = object_open(line, line->argv[0], NULL, &object);
	if (code != MPCTL_OK)
		return code;
	int r = mp_proxy_call(
		object, line->argv[1], mp_list_of(args, n), line->timeout_ms, &result);
	mp_proxy_close(object);
	if (r < 0)
		return line_fail(line, r, line->argv[0]);
	if (line->json || result.type != MP_TYPE_NIL)
		value_print(line, &result);
	mp_obj_free(&result);
	return MPCTL_OK;
}

static int make_with(struct line *line, const mp_obj *args, size_t n)
{
	mp_proxy *object;
	int r = mp_manager_open(
		line->manager, line->argv[1], line->argv[0], mp_list_of(args, n), &object);

	if (r == 0)
		mp_proxy_close(object);
	return done(line, r);
}

/* The values behind the first two arguments, for one of the above. */
static int with_values(
	struct line *line, int (*use)(struct line *line, const mp_obj *values, size_t n))
{
	size_t n = (size_t)line->argc - 2;
	mp_obj *values = calloc(n + 1, sizeof(*values));
	int code = MPCTL_OK;

	if (!values)
		return line_fail(line, mp_error_set(-ENOMEM, "out of memory"), NULL);
	for (size_t i = 0; i < n && code == MPCTL_OK; i++)
		code = value_read(line, line->argv[i + 2], &values[i]);
	if (code == MPCTL_OK)
		code = use(line, values, n);
	for (size_t i = 0; i < n; i++)
		mp_obj_free(&values[i]);
	free(values);
	return code;
}

static int serve_call(struct line *line)
{
	return with_values(line, call_with);
}

static int serve_make(struct line *line)
{
	return with_values(line, make_with);
}

/* --- the commands ------------------------------------------------------------------------------- */

#define MANY 1000000

const struct command command_get = {
	.name = "get",
	.synopsis = "get [OPTION...] NAME [KEY]",
	.summary = "what stands in an object",
	.help = "KEY is a key of a dict, an index of a list, an attribute of a namespace; without "
		"one all\n"
		"of it is printed. Of others: the value, or the state (locked, set, how many).\n",
	.serve = serve_get,
	.options = OPTION_STRING,
	.min = 1,
	.max = 2,
};

const struct command command_set = {
	.name = "set",
	.synopsis = "set [OPTION...] NAME [KEY] VALUE",
	.summary = "put a value into an object",
	.help = "What is not there is made: with KEY a dict, without a value, or of --type CLASS.\n"
		"VALUE - is all of standard input.\n",
	.serve = serve_set,
	.options = OPTION_STRING | OPTION_BYTES | OPTION_TYPE | OPTION_FOR,
	.min = 2,
	.max = 3,
	.options_first = true,
};

const struct command command_del = {
	.name = "del",
	.synopsis = "del [OPTION...] NAME [KEY...]",
	.summary = "take keys out of an object, or the object away",
	.help = "Without KEY the name is free again; the object goes with the last one who has it "
		"open.\n",
	.serve = serve_del,
	.options = OPTION_STRING,
	.min = 1,
	.max = MANY,
};

const struct command command_append = {
	.name = "append",
	.synopsis = "append [OPTION...] NAME VALUE...",
	.summary = "put values behind the others of a list",
	.help = "The list is made if there is none. Several values come together, or none of them "
		"does.\n"
		"VALUE - alone is standard input, a value each line.\n",
	.serve = serve_append,
	.options = OPTION_STRING | OPTION_BYTES,
	.min = 2,
	.max = MANY,
	.options_first = true,
};

const struct command command_add = {
	.name = "add",
	.synopsis = "add [OPTION...] NAME [KEY] NUMBER",
	.summary = "add to a number, and print the sum",
	.help = "What is not there is made: with KEY a dict, without a counter. A key that a dict "
		"has not\n"
		"is 0 before.\n",
	.serve = serve_add,
	.options = OPTION_STRING | OPTION_TYPE,
	.min = 2,
	.max = 3,
	.options_first = true,
};

const struct command command_call = {
	.name = "call",
	.synopsis = "call [OPTION...] NAME METHOD [VALUE...]",
	.summary = "call any method of an object",
	.help = "managerd-protocol(7) has the methods of each class. --timeout is how long one may "
		"wait.\n"
		"With --type CLASS the object is made if there is none.\n",
	.serve = serve_call,
	.waits = true,
	.options = OPTION_STRING | OPTION_BYTES | OPTION_TYPE,
	.min = 2,
	.max = MANY,
	.options_first = true,
};

const struct command command_make = {
	.name = "make",
	.synopsis = "make [OPTION...] NAME CLASS [VALUE...]",
	.summary = "make an object that takes more than a name",
	.help = "managerd-protocol(7) has what each class takes: semaphore 3, array \"l\" 100, "
		"barrier 2.\n"
		"An object that exists stays as it is.\n",
	.serve = serve_make,
	.options = OPTION_STRING | OPTION_BYTES,
	.min = 2,
	.max = MANY,
	.options_first = true,
};
