/* SPDX-License-Identifier: MIT */
/*
 * tests/support/kinds.h - one test for queues of every kind, made by name.
 *
 * for_each_kind() sets `this_kind`; the children that the test makes see it too.
 */
#ifndef TESTS_KINDS_H
#define TESTS_KINDS_H

#include "tests/support/names.h"
#include "tests/support/queues.h"

#include "base/cleanup.h"

struct kind {
	const char *what;
	int order;
	bool leases;
};

static const struct kind kinds[] = {
	{"plain", MP_QUEUE_FIFO, false},
	{"lifo", MP_QUEUE_LIFO, false},
	{"priority", MP_QUEUE_PRIORITY, false},
	{"leases", MP_QUEUE_FIFO, true},
	{"lifo leases", MP_QUEUE_LIFO, true},
};

static const struct kind *this_kind = &kinds[0];

#define for_each_kind() \
	for (this_kind = kinds; this_kind < kinds + MP__COUNT_OF(kinds); this_kind++)

/* With a name of its own for each kind. */
static inline void pick_kinds_name(const char *what)
{
	char text[40];

	snprintf(text, sizeof(text), "%.30s.%d", what, (int)(this_kind - kinds));
	pick_name(text);
}

#define KINDS_OPTIONS(...)                                                                         \
	MP_QUEUE_OPTIONS(.order = this_kind->order, .leases = this_kind->leases, .joinable = true, \
		__VA_ARGS__)

static inline mp_queue *create(const mp_queue_options *options)
{
	mp_queue *q = NULL;

	T_OK(mp_queue_create(name, options, &q));
	return q;
}

/* The i-th of 1 ... n that went in comes out as this one. */
static inline int64_t expected(int64_t i, int64_t n)
{
	return this_kind->order == MP_QUEUE_LIFO ? n + 1 - i : i;
}

#endif
