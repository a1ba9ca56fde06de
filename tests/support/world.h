/* SPDX-License-Identifier: MIT */
/*
 * tests/support/world.h - one body, run by several processes or threads over the same memory.
 *
 * The test file defines `struct world` (what they share) and a table `bodies` of functions on it,
 * ended by NULL; then run_parties(method, body, n, w) runs a body in n - 1 children and in the test
 * itself, as CPython's run_threads() does. Bodies use T_CHECK only.
 */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

#include "tests/support/starts.h"

#include <sys/mman.h>

#define PARTIES_MAX 16

struct world;
typedef int body(struct world *w);
static body *const bodies[];
static int world_fd;

static struct world *map_world(int fd, size_t size)
{
	void *w = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	T_CHECK(w != MAP_FAILED);
	return w;
}

static struct world *new_world(size_t size)
{
	world_fd = memfd_create("world", MFD_CLOEXEC);
	cr_assert(world_fd >= 0 && ftruncate(world_fd, (off_t)size) == 0);
	return map_world(world_fd, size);
}

static void free_world(struct world *w, size_t size)
{
	munmap(w, size);
	close(world_fd);
}

/* (descriptor, size, which body) */
static int run_body(int argc, const mp_obj *argv)
{
	(void)argc;
	size_t size = (size_t)mp_obj_i64(&argv[1]);
	struct world *w = map_world(mp_obj_fd(&argv[0]), size);
	int code = bodies[mp_obj_i64(&argv[2])](w);
	munmap(w, size);
	return code;
}

static mp_process *start_body(int method, body *wanted, size_t size)
{
	int which = 0;

	while (bodies[which] && bodies[which] != wanted)
		which++;
	cr_assert_not_null(bodies[which], "not in the table of bodies");
	return start(run_body, MP_ARGS(mp_fd(world_fd), mp_i64((int64_t)size), mp_i64(which)),
		BY(method));
}

__attribute__((unused)) static void run_parties(
	int method, body *wanted, int n, struct world *w, size_t size)
{
	mp_process *others[PARTIES_MAX];

	for (int i = 0; i < n - 1; i++)
		others[i] = start_body(method, wanted, size);
	T_CHECK(wanted(w) == 0);
	for (int i = 0; i < n - 1; i++)
		finish(others[i], 0);
}

#endif
