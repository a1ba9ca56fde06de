/* SPDX-License-Identifier: MIT */
/*
 * serve/class.h - what a served type is: a name, and a table of methods.
 *
 * A type is one file with one struct serve_class. A method gets a call (serve/call.h), looks at its
 * arguments, does its work, and ends with `return serve_answer_...(call, ...)`, with
 * `return serve_fail(call, code, "sentence")`, or, if it has to wait for others, with
 * `return serve_park(call, queue, ...)` (serve/waiter.h). There is one thread: what a method does, is
 * atomic. How to add a type step by step is written in managerd/README.
 */
#ifndef SERVE_CLASS_H
#define SERVE_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct serve_call;
struct serve_hold;
struct serve_object;

/* How many arguments a call may have; methods that take many things take one list of them. */
#define SERVE_ARGS_MAX 8
#define SERVE_CLASS_NAME_MAX 63

struct serve_method {
	const char *name;
	/* What the functions of serve/call.h return. */
	int (*run)(struct serve_call *call);
	unsigned int min_args;
	unsigned int max_args; /* at most SERVE_ARGS_MAX */
};

struct serve_class {
	const char *name;      /* 1 to SERVE_CLASS_NAME_MAX bytes of ASCII */
	unsigned int min_args; /* of the opening, when it makes the object */
	unsigned int max_args;
	/*
	 * Make call->object->state from the arguments. False: it cannot be, and serve_fail() has been
	 * called; what was made until then is for `drop`.
	 */
	bool (*make)(struct serve_call *call);
	/* Free the state, which may be NULL. Nobody waits for it or holds it any more. */
	void (*drop)(struct serve_object *object);
	/*
	 * About how many bytes the contents take, found at once; NULL: not worth counting. It is asked
	 * after serve_changed(). Methods that store something ask serve_may_grow() before.
	 */
	uint64_t (*bytes)(const struct serve_object *object);
	/*
	 * Before each call: what time has changed meanwhile is to be seen. False: that is more than this
	 * turn of the loop has room for; the call is made in a later one. NULL: nothing changes.
	 */
	bool (*refresh)(struct serve_object *object);
	/* Somebody died who held something of it (serve/hold.h): the hold is dissolved already. */
	void (*abandoned)(struct serve_object *object, struct serve_hold *hold);
	const struct serve_method *methods; /* by name, ascending */
	size_t n_methods;
};

/* What a server serves. Ended by NULL. */
typedef const struct serve_class *const serve_classes[];

const struct serve_class *serve_class_find(
	const struct serve_class *const *classes, const char *name, size_t size);
const struct serve_method *serve_class_method(const struct serve_class *class, const char *name);
/* The same in a table, which is by name, ascending. */
const struct serve_method *serve_method_find(
	const struct serve_method *methods, size_t n, const char *name);
/* For tests: the table is in order, and every number within its limits. */
bool serve_class_is_sound(const struct serve_class *class);

#endif
