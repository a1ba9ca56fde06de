/* SPDX-License-Identifier: MIT */
/* Limits of whole workers: control groups where there are some, found in made-up trees; else rlimits. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/pool.h"

#include "pool/group.h"
#include "pool/pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

T_SUITE(pool_group);

/* --- finding a place ------------------------------------------------------------------------------ */

static char root[T_PLACE_SIZE];

/* Below the root, or "none". */
static const char *find(const char *membership, bool memory, bool cpu)
{
	static char found[PATH_MAX];
	char path[PATH_MAX];

	t_place_put(root, "membership", membership);
	snprintf(path, sizeof(path), "%s/membership", root);
	int r = mp__group_find(path, root, memory, cpu, found);
	cr_assert(r == 0 || r == -ENOTSUP, "%d", r);
	return r == 0 ? found + strlen(root) : "none";
}

Test(pool_group, nearest_directory_that_has_the_limits)
{
	t_place_make(root);
	t_place_put(root, "a/cgroup.subtree_control", "cpu memory pids\n");
	t_place_put(root, "a/b/cgroup.subtree_control", "memory\n");
	t_place_put(root, "a/b/c/cgroup.subtree_control", "\n");
	cr_assert_str_eq(find("0::/a/b/c\n", true, false), "/a/b");
	cr_assert_str_eq(find("0::/a/b/c\n", true, true), "/a");
	cr_assert_str_eq(find("0::/a/b/c\n", false, true), "/a");
	cr_assert_str_eq(find("5:memory:/x\n0::/a\n", true, true), "/a");
	cr_assert_str_eq(find("0::/elsewhere/d\n", true, true), "none");
	cr_assert_str_eq(find("5:memory:/a\n", true, true), "none");
	cr_assert_str_eq(find("0::/../..\n", true, true), "none");
	cr_assert_str_eq(find("", true, true), "none");
	t_place_put(root, "unified/u/cgroup.subtree_control", "cpuset memory");
	cr_assert_str_eq(find("0::/u\n", true, false), "/unified/u");
	cr_assert_str_eq(find("0::/u\n", true, true), "none"); /* cpuset is not cpu */
	t_place_remove(root);
}

Test(pool_group, what_cannot_be_made_leaves_nothing)
{
	struct mp__group group = {0};
	struct stat st;

	/* A directory of a plain file system has no limits. */
	t_place_make(root);
	T_RESULT(mp__group_make(root, 1, 1, 1 << 20, 50, &group), -ENOENT);
	cr_assert(group.path[0] == '\0' && !mp__group_has_killed(&group));
	mp__group_remove(&group);
	T_OK(stat(root, &st));
	cr_assert_eq(st.st_nlink, 2);
	T_RESULT(mp__group_make("/proc/none", 1, 1, 1 << 20, 0, &group), -ENOENT);
	t_place_remove(root);
}

Test(pool_group, groups_of_dead_owners_are_removed)
{
	struct stat st;
	char path[PATH_MAX];
	char mine[PATH_MAX];

	t_place_make(root);
	T_OK(stat("/proc/self/ns/pid", &st));
	snprintf(mine, sizeof(mine), "%s/libmp-%llu-%d-1-1", root, (unsigned long long)st.st_ino,
		getpid());
	snprintf(path, sizeof(path), "%s/libmp-%llu-%d-1-1", root, (unsigned long long)st.st_ino,
		INT_MAX);
	T_OK(mkdir(mine, 0700));
	T_OK(mkdir(path, 0700));
	mp__group_sweep(root);
	T_OK(access(mine, F_OK));
	cr_assert(access(path, F_OK) < 0 && errno == ENOENT);
	t_place_remove(root);
}

/* --- pools ---------------------------------------------------------------------------------------- */

#define MIB (UINT64_C(1) << 20)

/* 0 there was so much memory, 1 the allocation failed. */
static int use_memory(int argc, const mp_obj *argv, mp_obj *ret)
{
	size_t size = (size_t)mp_obj_i64(&argv[0]);

	(void)argc;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*ret = mp_i64(p == MAP_FAILED);
	if (p == MAP_FAILED)
		return 0;
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	munmap(p, size);
	return 0;
}

static bool has_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#else
	return false;
#endif
}

Test(pool_group, memory_of_a_worker_is_limited)
{
	mp_pool *pool;

	if (has_sanitizer())
		cr_skip_test("a sanitizer needs the address space");
	for (int i = 0; i < 2; i++) {
		static const int methods[] = {MP_START_FORK, MP_START_SPAWN};
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .start_method = methods[i],
					 .worker_memory = 64 * MIB),
			&pool));
		int by = mp_pool_limited_by(pool);
		cr_assert(by == MP_LIMITED_BY_RLIMIT || by == MP_LIMITED_BY_CGROUP, "%d", by);
		t_expect_i64(t_submit(pool, use_memory, MP_ARGS(mp_i64(8 * (int64_t)MIB))), 0);
		mp_future *f = t_submit(pool, use_memory, MP_ARGS(mp_i64(200 * (int64_t)MIB)));
		if (by == MP_LIMITED_BY_CGROUP)
			t_expect_error(f, -EOWNERDEAD, MP_FUTURE_CRASHED, "used more than its");
		else
			t_expect_i64(f, 1);
		/* That or the next worker goes on. */
		t_expect_i64(t_submit(pool, use_memory, MP_ARGS(mp_i64(8 * (int64_t)MIB))), 0);
		t_pool_end(pool);
	}
}

Test(pool_group, each_worker_has_a_control_group)
{
	char path[PATH_MAX];
	mp_pool *pool;

	if (mp__group_find("/proc/self/cgroup", "/sys/fs/cgroup", true, true, path) < 0)
		cr_skip_test("no control groups with limits of memory and CPU can be made here");
	T_OK(mp_pool_new(
		MP_POOL_OPTIONS(.workers = 2, .worker_memory = 256 * MIB, .worker_cpu = 50),
		&pool));
	T_RESULT(mp_pool_limited_by(pool), MP_LIMITED_BY_CGROUP);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	snprintf(path, sizeof(path), "%s", pool->places[0].group->path);
	T_OK(access(path, F_OK));
	t_pool_end(pool);
	cr_assert(access(path, F_OK) < 0);
}

Test(pool_group, unlimited_pools_and_cpu_alone)
{
	mp_pool *pool = t_pool(1);

	T_RESULT(mp_pool_limited_by(pool), MP_LIMITED_BY_NOTHING);
	t_pool_end(pool);
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .worker_cpu = 100), &pool));
	int by = mp_pool_limited_by(pool);
	cr_assert(by == MP_LIMITED_BY_NOTHING || by == MP_LIMITED_BY_CGROUP, "%d", by);
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

static int ask_in_child(void *pool)
{
	T_CHECK(mp_pool_limited_by(pool) == -ECHILD);
	return 0;
}

Test(pool_group, misuse_is_an_error)
{
	mp_pool *pool;

	T_RESULT(mp_pool_new(MP_POOL_OPTIONS(.worker_cpu = -1), &pool), -EINVAL);
	T_RESULT(mp_pool_new(
			 MP_POOL_OPTIONS(.start_method = MP_START_THREAD, .worker_cpu = 50), &pool),
		-ENOTSUP);
	T_RESULT(mp_pool_new(
			 MP_POOL_OPTIONS(.start_method = MP_START_THREAD, .worker_memory = 1 << 30),
			 &pool),
		-ENOTSUP);
	T_RESULT(mp_pool_limited_by(NULL), -EINVAL);
	pool = t_pool(1);
	struct t_child child = t_spawn(ask_in_child, pool);
	t_expect_exit(&child, 0);
	t_pool_end(pool);
}
