/* SPDX-License-Identifier: MIT */
/*
 * tests/support/names.h - for tests of what has a name: one for each test, and what stands there.
 */
#ifndef TESTS_NAMES_H
#define TESTS_NAMES_H

#include "tests/support/support.h"

#include <fcntl.h>
#include <mp/block.h>

/* Of the test that runs: others run at the same time. */
static char name[64];
static char path[128];

static inline void pick_name(const char *what)
{
	snprintf(name, sizeof(name), "test-%d-%s", getpid(), what);
	snprintf(path, sizeof(path), "/dev/shm/mp.%s", name);
}

static inline bool exists(void)
{
	return access(path, F_OK) == 0;
}

/* Write a word into the file. */
static inline void spoil(size_t at, uint32_t value)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	cr_assert(fd >= 0);
	cr_assert_eq(pwrite(fd, &value, sizeof(value), (off_t)at), 4);
	close(fd);
}

/* What mp_shm_gc() says of this name. */
struct found {
	int n;
	pid_t creator;
	uint64_t bytes;
	int result;
	char kind[32];
};

static inline void note_leftover(const mp_shm_leftover *leftover, void *data)
{
	struct found *found = (struct found *)data;

	/* Other tests, at the same time, leave things too. */
	if (strcmp(leftover->name, name) != 0)
		return;
	found->n++;
	found->creator = leftover->creator;
	found->bytes = leftover->bytes;
	found->result = leftover->result;
	snprintf(found->kind, sizeof(found->kind), "%s", leftover->kind);
	cr_assert_geq(leftover->age_ms, 0);
	cr_assert(leftover->program[0] != '\0');
}

static inline struct found look_for_leftovers(uint64_t flags)
{
	struct found found = {0};

	cr_assert_geq(mp_shm_gc(flags, note_leftover, &found), found.n);
	return found;
}

#endif
