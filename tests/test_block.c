/* SPDX-License-Identifier: MIT */
/* Blocks of shared memory: without a name and with one. */
#include <config.h>

#include "tests/support/names.h"
#include "tests/support/starts.h"

#include "base/cleanup.h"

#include <mp.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(block);

static mp_block *make(size_t size, const mp_block_options *options)
{
	mp_block *block = NULL;

	T_OK(mp_block_create(name, size, options, &block));
	return block;
}

/* --- without a name ------------------------------------------------------------------------------ */

Test(block, a_new_block_is_zeroed_and_whole)
{
	mp_block *block;

	T_OK(mp_block_new(10000, NULL, &block));
	cr_assert_eq(mp_block_size(block), 10000);
	cr_assert_null(mp_block_name(block));
	unsigned char *data = mp_block_data(block);
	cr_assert_eq((uintptr_t)data % 4096, 0);
	for (size_t i = 0; i < 10000; i++)
		cr_assert_eq(data[i], 0);
	memset(data, 7, 10000);
	cr_assert_eq(mp_block_ref(block), block);
	mp_block_close(block);
	cr_assert_eq(data[9999], 7);
	mp_block_close(block);
	mp_block_close(NULL);
	cr_assert_null(mp_block_ref(NULL));
	cr_assert_null(mp_block_data(NULL));
	cr_assert_null(mp_block_name(NULL));
	cr_assert_eq(mp_block_size(NULL), 0);
}

static int add_one(int argc, const mp_obj *argv)
{
	mp_block *block = mp_obj_block(&argv[0]);

	T_CHECK(argc == 1 && block && mp_block_size(block) == 100);
	((_Atomic int *)mp_block_data(block))[0]++;
	T_CHECK(mp_block_ref(block) == block);
	mp_block_close(block);
	return 0;
}

EACH_METHOD_AND_THREAD(block, travels_as_an_argument)
{
	mp_block *block;

	T_OK(mp_block_new(100, NULL, &block));
	finish(start(add_one, MP_ARGS(mp_handle(block)), BY(method)), 0);
	cr_assert_eq(*(int *)mp_block_data(block), 1);
	mp_block_close(block);
}

EACH_METHOD(block, test_shared_memory_across_processes)
{
	pick_name(mp_start_method_name(method));
	mp_block *block = make(100, NULL);

	finish(start(add_one, MP_ARGS(mp_handle(block)), BY(method)), 0);
	cr_assert_eq(*(int *)mp_block_data(block), 1);
	cr_assert(exists(), "a child that used it took the name along");
	mp_block_close(block);
	cr_assert_not(exists());
}

Test(block, test_invalid_shared_memory_creation)
{
	mp_block *block = NULL;

	pick_name("bad");
	T_RESULT(mp_block_new(0, NULL, &block), -EINVAL);
	T_RESULT(mp_block_new((size_t)-1, NULL, &block), -EINVAL);
	T_RESULT(mp_block_new(SIZE_MAX / 2 + 1, NULL, &block), -EINVAL);
	T_RESULT(mp_block_new(SIZE_MAX - 4000, NULL, &block), -EINVAL);
	T_RESULT(mp_block_new((size_t)1 << 45, NULL, &block), -ENOSPC);
	T_RESULT(mp_block_new(1, NULL, NULL), -EINVAL);
	T_RESULT(mp_block_new(2, MP_BLOCK_OPTIONS(.max_size = 1), &block), -EINVAL);
	T_RESULT(mp_block_new(2, MP_BLOCK_OPTIONS(.max_size = SIZE_MAX), &block), -EINVAL);
	T_RESULT(mp_block_new(2, MP_BLOCK_OPTIONS(.mode = 0600), &block), -EINVAL);
	T_RESULT(mp_block_new(2, MP_BLOCK_OPTIONS(.persist = true), &block), -EINVAL);
	T_RESULT(mp_block_new(2, MP_BLOCK_OPTIONS(.readonly = true), &block), -EINVAL);
	T_RESULT(mp_block_new(2, MP_BLOCK_OPTIONS(.plain = true), &block), -EINVAL);
	T_RESULT(mp_block_new(2, MP_BLOCK_OPTIONS(.flags = 1), &block), -EINVAL);
	struct {
		mp_block_options known;
		uint64_t unknown;
	} newer = {.known = {.size = sizeof(newer)}, .unknown = 1};
	T_RESULT(mp_block_new(2, &newer.known, &block), -E2BIG);
	T_RESULT(mp_block_create(name, 0, NULL, &block), -EINVAL);
	T_RESULT(mp_block_create(name, 1, MP_BLOCK_OPTIONS(.mode = 0400), &block), -EINVAL);
	T_RESULT(mp_block_create(name, 1, MP_BLOCK_OPTIONS(.mode = 010600), &block), -EINVAL);
	T_RESULT(mp_block_create(name, (size_t)1 << 45, NULL, &block), -ENOSPC);
	T_RESULT(mp_block_open(name, MP_BLOCK_OPTIONS(.mode = 0600), &block), -EINVAL);
	T_RESULT(mp_block_open(name, MP_BLOCK_OPTIONS(.max_size = 1), &block), -EINVAL);
	T_RESULT(mp_block_open(NULL, NULL, &block), -EINVAL);
	cr_assert_null(block);
	cr_assert_not(exists());
}

static int with_limits(void *argument)
{
	struct rlimit files = {.rlim_cur = 8192, .rlim_max = 8192};
	mp_block *block = NULL;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &files) == 0);
	T_CHECK(mp_block_new(8192, NULL, &block) == -ENOSPC);
	T_CHECK(mp_block_create(name, 8192, NULL, &block) == -ENOSPC && !exists());
	T_CHECK(mp_block_new(4096, MP_BLOCK_OPTIONS(.max_size = 8192), &block) == 0);
	T_CHECK(mp_block_grow(block, 8192) == -ENOSPC && mp_block_size(block) == 4096);
	mp_block_close(block);
	while (dup(0) >= 0)
		;
	T_CHECK(mp_block_new(1, NULL, &block) == -EMFILE);
	T_CHECK(mp_block_create(name, 1, NULL, &block) == -EMFILE);
	T_CHECK(mp_shm_gc(0, NULL, NULL) == -EMFILE);
	return 0;
}

Test(block, limits_are_errors_and_no_signals)
{
	struct rlimit before;

	pick_name("limits");
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, before.rlim_max}), 0);
	struct t_child child = t_spawn(with_limits, NULL);
	t_expect_exit(&child, 0);
}

/* --- growing ------------------------------------------------------------------------------------- */

static int grow_it(void *argument)
{
	mp_block *block = argument;

	T_CHECK(mp_block_grow(block, 100000) == 0);
	memset(mp_block_data(block), 3, 100000);
	return 0;
}

Test(block, grows_where_it_is)
{
	mp_block *block;

	T_OK(mp_block_new(100, MP_BLOCK_OPTIONS(.max_size = 1000000), &block));
	char *data = mp_block_data(block);
	T_OK(mp_block_refresh(block));
	struct t_child child = t_spawn(grow_it, block);
	t_expect_exit(&child, 0);
	cr_assert_eq(mp_block_size(block), 100);
	T_RESULT(mp_block_refresh(block), 1);
	T_OK(mp_block_refresh(block));
	cr_assert_eq(mp_block_size(block), 100000);
	cr_assert_eq(mp_block_data(block), data);
	cr_assert_eq(data[99999], 3);
	T_OK(mp_block_grow(block, 1));
	cr_assert_eq(mp_block_size(block), 100000);
	T_OK(mp_block_grow(block, 1000000));
	cr_assert_eq(data[999999], 0);
	T_RESULT(mp_block_grow(block, 1000001), -ENOSPC);
	cr_assert(strstr(mp_error_detail(), "1000000 bytes, not 1000001"), "%s", mp_error_detail());
	T_RESULT(mp_block_grow(block, SIZE_MAX), -ENOSPC);
	T_RESULT(mp_block_grow(NULL, 1), -EINVAL);
	T_RESULT(mp_block_refresh(NULL), -EINVAL);
	mp_block_close(block);
}

Test(block, does_not_grow_unless_it_was_to)
{
	mp_block *block;

	T_OK(mp_block_new(100, NULL, &block));
	T_OK(mp_block_grow(block, 100));
	T_RESULT(mp_block_grow(block, 101), -ENOSPC);
	mp_block_close(block);
}

Test(block, pages_in_advance)
{
	unsigned char there[4] = {0};
	mp_block *block;

	T_OK(mp_block_new(16384, MP_BLOCK_OPTIONS(.prefault = true, .huge_pages = true), &block));
	cr_assert_eq(mincore(mp_block_data(block), 16384, there), 0);
	for (int i = 0; i < 4; i++)
		cr_assert(there[i] & 1);
	memset(mp_block_data(block), 1, 16384);
	mp_block_close(block);
}

/* --- with a name --------------------------------------------------------------------------------- */

Test(block, test_shared_memory_basics)
{
	mp_block *mine;
	mp_block *other;

	pick_name("basics");
	mine = make(512, NULL);
	cr_assert_str_eq(mp_block_name(mine), name);
	cr_assert_eq(mp_block_size(mine), 512);
	strcpy(mp_block_data(mine), "hello");
	T_RESULT(mp_block_create(name, 512, NULL, &other), -EEXIST);
	T_OK(mp_block_open(name, NULL, &other));
	cr_assert_eq(mp_block_size(other), 512);
	cr_assert_str_eq(mp_block_data(other), "hello");
	strcpy(mp_block_data(other), "howdy");
	cr_assert_str_eq(mp_block_data(mine), "howdy");
	mp_block_close(mine);
	cr_assert(exists(), "one user is left");
	mp_block_close(other);
	cr_assert_not(exists(), "the last user takes the name along");
	T_RESULT(mp_block_open(name, NULL, &other), -ENOENT);
	T_RESULT(mp_block_unlink(name), -ENOENT);
}

Test(block, a_leading_slash_is_allowed)
{
	char with_slash[80];
	mp_block *other;

	pick_name("slash");
	mp_block *mine = make(1, NULL);
	snprintf(with_slash, sizeof(with_slash), "/%s", name);
	T_OK(mp_block_open(with_slash, NULL, &other));
	cr_assert_str_eq(mp_block_name(other), name);
	mp_block_close(other);
	mp_block_close(mine);
}

Test(block, names_that_are_none)
{
	char long_name[MP_BLOCK_NAME_MAX + 2];
	mp_block *block;
	const char *bad[] = {"", "/", "a/b", "//a", "../a"};

	for (size_t i = 0; i < MP__COUNT_OF(bad); i++) {
		T_RESULT(mp_block_create(bad[i], 1, NULL, &block), -EINVAL);
		T_RESULT(mp_block_open(bad[i], NULL, &block), -EINVAL);
		T_RESULT(mp_block_unlink(bad[i]), -EINVAL);
	}
	T_RESULT(mp_block_unlink(NULL), -EINVAL);
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	T_RESULT(mp_block_create(long_name, 1, NULL, &block), -ENAMETOOLONG);
	T_RESULT(mp_block_open(long_name, NULL, &block), -ENAMETOOLONG);
	T_RESULT(mp_block_unlink(long_name), -ENAMETOOLONG);
	long_name[MP_BLOCK_NAME_MAX] = '\0';
	T_OK(mp_block_create(long_name, 1, NULL, &block));
	mp_block_close(block);
}

Test(block, test_shared_memory_recreate)
{
	mp_block *first;
	mp_block *second;

	T_OK(mp_block_create(NULL, 10, NULL, &first));
	T_OK(mp_block_create(NULL, 10, NULL, &second));
	cr_assert_str_neq(mp_block_name(first), mp_block_name(second));
	mp_block_close(first);
	mp_block_close(second);
}

Test(block, unlinked_it_stays_for_who_has_it)
{
	mp_block *other;

	pick_name("unlink");
	mp_block *mine = make(10, NULL);
	T_OK(mp_block_unlink(name));
	T_RESULT(mp_block_unlink(name), -ENOENT);
	T_RESULT(mp_block_open(name, NULL, &other), -ENOENT);
	strcpy(mp_block_data(mine), "still");
	mp_block *second = make(20, NULL);
	mp_block_close(mine);
	cr_assert(exists(), "that is the name of another block now");
	mp_block_close(second);
	cr_assert_not(exists());
}

Test(block, permissions)
{
	struct stat st;
	mp_block *other;

	pick_name("mode");
	mode_t before = umask(077);
	mp_block *mine = make(10, MP_BLOCK_OPTIONS(.mode = 0644));
	umask(before);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0644);
	strcpy(mp_block_data(mine), "look");
	T_OK(mp_block_open(name, MP_BLOCK_OPTIONS(.readonly = true, .prefault = true), &other));
	cr_assert_str_eq(mp_block_data(other), "look");
	T_RESULT(mp_block_grow(other, 11), -EPERM);
	mp_block_close(mine);
	cr_assert(exists(), "who only looks is a user, too");
	mp_block_close(other);
	cr_assert_not(exists());
}

static int as_nobody(void *argument)
{
	mp_block *block;

	(void)argument;
	if (setresuid(65534, 65534, 65534) < 0)
		return 77;
	T_CHECK(mp_block_open(name, NULL, &block) == -EACCES);
	T_CHECK(mp_block_create(name, 1, NULL, &block) == -EEXIST);
	T_CHECK(mp_block_unlink(name) == -EACCES);
	return 0;
}

Test(block, of_another_user)
{
	pick_name("user");
	if (getuid() != 0)
		cr_skip_test("needs root, to become somebody else");
	mp_block *mine = make(10, NULL);
	struct t_child child = t_spawn(as_nobody, NULL);
	t_expect_exit(&child, 0);
	mp_block_close(mine);
}

Test(block, persist_keeps_it)
{
	mp_block *again;

	pick_name("persist");
	mp_block *block = make(10, MP_BLOCK_OPTIONS(.persist = true));
	strcpy(mp_block_data(block), "kept");
	mp_block_close(block);
	cr_assert(exists());
	T_RESULT(mp_block_create(name, 10, NULL, &again), -EEXIST);
	T_OK(mp_block_open(name, NULL, &again));
	cr_assert_str_eq(mp_block_data(again), "kept");
	mp_block_close(again);
	cr_assert(exists());
	T_OK(mp_block_unlink(name));
	cr_assert_not(exists());
}

Test(block, what_is_damaged_or_foreign_is_refused)
{
	const size_t fields[] = {0, 8, 12, 16, 20};
	mp_block *block;

	pick_name("damaged");
	for (size_t i = 0; i < MP__COUNT_OF(fields); i++) {
		mp_block *mine = make(10, NULL);
		spoil(fields[i], 0x1234567);
		T_RESULT(mp_block_open(name, NULL, &block), -EBADMSG);
		T_OK(mp_block_unlink(name));
		mp_block_close(mine);
	}
	mp_block *mine = make(10, NULL);
	cr_assert_eq(truncate(path, 4096), 0);
	T_RESULT(mp_block_open(name, NULL, &block), -EBADMSG);
	T_OK(mp_block_unlink(name));
	mp_block_close(mine);
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	T_RESULT(mp_block_open(name, NULL, &block), -EBADMSG);
	T_RESULT(mp_block_create(name, 1, NULL, &block), -EEXIST);
	close(fd);
	T_OK(mp_block_unlink(name));
	cr_assert_eq(mkfifo(path, 0600), 0);
	T_RESULT(mp_block_open(name, NULL, &block), -EBADMSG);
	T_OK(mp_block_unlink(name));
}

Test(block, plain_ones_of_others)
{
	char shm_name[80];
	mp_block *block;

	pick_name("plain");
	snprintf(shm_name, sizeof(shm_name), "/%s", name);
	int fd = shm_open(shm_name, O_CREAT | O_EXCL | O_RDWR, 0600);
	cr_assert(fd >= 0);
	T_RESULT(mp_block_open(name, MP_BLOCK_OPTIONS(.plain = true), &block), -EBADMSG);
	cr_assert_eq(ftruncate(fd, 5000), 0);
	cr_assert_eq(pwrite(fd, "theirs", 7, 0), 7);
	T_OK(mp_block_open(name, MP_BLOCK_OPTIONS(.plain = true), &block));
	cr_assert_eq(mp_block_size(block), 5000);
	cr_assert_str_eq(mp_block_data(block), "theirs");
	cr_assert_str_eq(mp_block_name(block), name);
	T_RESULT(mp_block_grow(block, 6000), -ENOTSUP);
	T_OK(mp_block_refresh(block));
	mp_obj handle = mp_handle(block);
	mp_process *p;
	T_OK(mp_process_new(add_one, mp_list_of(&handle, 1), BY(MP_START_SPAWN), &p));
	T_RESULT(mp_process_start(p), -ENOTSUP);
	mp_process_close(p);
	mp_block_close(block);
	cr_assert_eq(shm_unlink(shm_name), 0, "closing it must not remove it");
	T_RESULT(mp_block_open(name, MP_BLOCK_OPTIONS(.plain = true), &block), -ENOENT);
	close(fd);
}

Test(block, a_door_that_stays_shut)
{
	mp_block *other;

	pick_name("door");
	mp_block *mine = make(10, NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	T_RESULT(mp_block_open(name, NULL, &other), -EBUSY);
	T_RESULT(mp_block_unlink(name), -EBUSY);
	close(fd);
	T_OK(mp_block_open(name, NULL, &other));
	mp_block_close(other);
	mp_block_close(mine);
}
