/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/class.h"

#include <string.h>

const struct serve_class *serve_class_find(
	const struct serve_class *const *classes, const char *name, size_t size)
{
	for (; *classes; classes++) {
		if (strlen((*classes)->name) == size && memcmp((*classes)->name, name, size) == 0)
			return *classes;
	}
	return NULL;
}

const struct serve_method *serve_method_find(
	const struct serve_method *methods, size_t n, const char *name)
{
	size_t begin = 0;
	size_t end = n;

	while (begin < end) {
		size_t middle = begin + (end - begin) / 2;
		int order = strcmp(name, methods[middle].name);
		if (order == 0)
			return &methods[middle];
		if (order < 0)
			end = middle;
		else
			begin = middle + 1;
	}
	return NULL;
}

static bool is_name(const char *name)
{
	size_t size = strlen(name);

	return size > 0 && size <= SERVE_CLASS_NAME_MAX;
}

const struct serve_method *serve_class_method(const struct serve_class *class, const char *name)
{
	return serve_method_find(class->methods, class->n_methods, name);
}

bool serve_class_is_sound(const struct serve_class *class)
{
	if (!is_name(class->name) || class->min_args > class->max_args ||
		class->max_args > SERVE_ARGS_MAX)
		return false;
	for (size_t i = 0; i < class->n_methods; i++) {
		const struct serve_method *m = &class->methods[i];
		if (!is_name(m->name) || !m->run || m->min_args > m->max_args ||
			m->max_args > SERVE_ARGS_MAX)
			return false;
		if (i > 0 && strcmp(class->methods[i - 1].name, m->name) >= 0)
			return false;
	}
	return true;
}
