/* SPDX-License-Identifier: MIT */
/* Names of queues: given, taken away, refused. What is done by name stands in test_queue_named_kinds.c. */
#include <config.h>

#include "tests/support/names.h"
#include "tests/support/queues.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <mp.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(queue_named);

static mp_queue *create(const mp_queue_options *options)
{
	mp_queue *q = NULL;

	T_OK(mp_queue_create(name, options, &q));
	return q;
}

/* --- names --------------------------------------------------------------------------------------- */

Test(queue_named, names_with_a_slash_in_front_and_names_that_are_made_up)
{
	char with_slash[80];
	mp_queue *other;
	mp_queue *third;

	pick_name("slash");
	mp_queue *mine = create(NULL);
	snprintf(with_slash, sizeof(with_slash), "/%s", name);
	T_OK(mp_queue_open(with_slash, &other));
	cr_assert_str_eq(mp_queue_name(other), name);
	mp_queue_close(other);
	mp_queue_close(mine);
	T_OK(mp_queue_create(NULL, NULL, &mine));
	T_OK(mp_queue_create(NULL, NULL, &other));
	cr_assert_str_neq(mp_queue_name(mine), mp_queue_name(other));
	T_OK(mp_queue_open(mp_queue_name(mine), &third));
	mp_queue_close(third);
	mp_queue_close(mine);
	mp_queue_close(other);
	T_OK(mp_queue_new(NULL, &mine));
	cr_assert_null(mp_queue_name(mine));
	cr_assert_null(mp_queue_name(NULL));
	mp_queue_close(mine);
}

Test(queue_named, names_that_are_none)
{
	char long_name[MP_BLOCK_NAME_MAX + 2];
	const char *bad[] = {"", "/", "a/b", "//a", "../a"};
	mp_queue *q;

	for (size_t i = 0; i < MP__COUNT_OF(bad); i++) {
		T_RESULT(mp_queue_create(bad[i], NULL, &q), -EINVAL);
		T_RESULT(mp_queue_open(bad[i], &q), -EINVAL);
		T_RESULT(mp_queue_unlink(bad[i]), -EINVAL);
	}
	T_RESULT(mp_queue_open(NULL, &q), -EINVAL);
	T_RESULT(mp_queue_unlink(NULL), -EINVAL);
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	T_RESULT(mp_queue_create(long_name, NULL, &q), -ENAMETOOLONG);
	T_RESULT(mp_queue_open(long_name, &q), -ENAMETOOLONG);
	T_RESULT(mp_queue_unlink(long_name), -ENAMETOOLONG);
	long_name[MP_BLOCK_NAME_MAX] = '\0';
	T_OK(mp_queue_create(long_name, NULL, &q));
	mp_queue_close(q);
}

Test(queue_named, unlinked_it_stays_for_who_has_it)
{
	mp_queue *other;

	pick_name("unlink");
	mp_queue *mine = create(NULL);
	T_OK(mp_queue_put(mine, mp_i64(5), 0));
	T_OK(mp_queue_unlink(name));
	T_RESULT(mp_queue_unlink(name), -ENOENT);
	T_RESULT(mp_queue_open(name, &other), -ENOENT);
	cr_assert_eq(get_i64(mine), 5);
	mp_queue *second = create(NULL);
	mp_queue_close(mine);
	cr_assert(exists(), "that is the name of another queue now");
	mp_queue_close(second);
	cr_assert_not(exists());
}

/* --- errors -------------------------------------------------------------------------------------- */

Test(queue_named, options_that_make_no_sense)
{
	mp_queue *q = NULL;

	pick_name("options");
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.persist = true), &q), -EINVAL);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.mode = 0600), &q), -EINVAL);
	T_RESULT(mp_queue_create(name, MP_QUEUE_OPTIONS(.mode = 0400), &q), -EINVAL);
	T_RESULT(mp_queue_create(name, MP_QUEUE_OPTIONS(.mode = 01600), &q), -EINVAL);
	T_RESULT(mp_queue_create(name, MP_QUEUE_OPTIONS(.flags = 1), &q), -EINVAL);
	T_RESULT(mp_queue_create(name, MP_QUEUE_OPTIONS(.max_bytes = 7), &q), -EINVAL);
	T_RESULT(mp_queue_create(name, NULL, NULL), -EINVAL);
	T_RESULT(mp_queue_open(name, NULL), -EINVAL);
	T_RESULT(mp_queue_open(name, &q), -ENOENT);
	cr_assert_null(q);
	cr_assert_not(exists());
}

static int as_nobody(void *argument)
{
	mp_queue *q;

	(void)argument;
	if (setresuid(65534, 65534, 65534) < 0)
		return 77;
	T_CHECK(mp_queue_open(name, &q) == -EACCES);
	T_CHECK(mp_queue_create(name, NULL, &q) == -EEXIST);
	T_CHECK(mp_queue_unlink(name) == -EACCES);
	return 0;
}

static int as_nobody_with_leave(void *argument)
{
	mp_queue *q;

	(void)argument;
	if (setresuid(65534, 65534, 65534) < 0)
		return 77;
	T_CHECK(mp_queue_open(name, &q) == 0);
	T_CHECK(mp_queue_put(q, mp_i64(65534), 0) == 0);
	T_CHECK(mp_queue_unlink(name) == -EACCES);
	mp_queue_close(q);
	return 0;
}

Test(queue_named, of_another_user)
{
	struct stat st;

	if (getuid() != 0)
		cr_skip_test("needs root, to become somebody else");
	pick_name("user");
	mp_queue *mine = create(NULL);
	struct t_child child = t_spawn(as_nobody, NULL);
	t_expect_exit(&child, 0);
	mp_queue_close(mine);
	pick_name("all");
	mode_t before = umask(077);
	mine = create(MP_QUEUE_OPTIONS(.mode = 0666));
	umask(before);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0666);
	child = t_spawn(as_nobody_with_leave, NULL);
	t_expect_exit(&child, 0);
	cr_assert_eq(get_i64(mine), 65534);
	mp_queue_close(mine);
	/* With a limit on what the others may do: reading alone is not enough to use a queue. */
	pick_name("readable");
	mine = create(MP_QUEUE_OPTIONS(.mode = 0644));
	child = t_spawn(as_nobody, NULL);
	t_expect_exit(&child, 0);
	mp_queue_close(mine);
}

/* Every field that who opens it goes by. */
static const size_t fields[] = {0, 8, 12, 16, 20, offsetof(struct mp__segment_header, max_size),
	offsetof(struct mp__segment_header, size), offsetof(struct mp__queue_control, max_bytes),
	offsetof(struct mp__queue_control, maxsize) + 4, offsetof(struct mp__queue_control, flags)};

Test(queue_named, what_is_damaged_or_foreign_is_refused)
{
	mp_queue *q;

	pick_name("damaged");
	for (size_t i = 0; i < MP__COUNT_OF(fields); i++) {
		mp_queue *mine = create(NULL);
		spoil(fields[i], 0x1234567);
		T_RESULT(mp_queue_open(name, &q), -EBADMSG);
		T_OK(mp_queue_unlink(name));
		mp_queue_close(mine);
	}
	const off_t sizes[] = {0, 50, 64, 200, 4096, 65536};
	for (size_t i = 0; i < MP__COUNT_OF(sizes); i++) {
		mp_queue *mine = create(NULL);
		cr_assert_eq(truncate(path, sizes[i]), 0);
		T_RESULT(mp_queue_open(name, &q), -EBADMSG);
		T_OK(mp_queue_unlink(name));
		mp_queue_close(mine);
	}
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	T_RESULT(mp_queue_open(name, &q), -EBADMSG);
	T_RESULT(mp_queue_create(name, NULL, &q), -EEXIST);
	close(fd);
	T_OK(mp_queue_unlink(name));
	cr_assert_eq(mkfifo(path, 0600), 0);
	T_RESULT(mp_queue_open(name, &q), -EBADMSG);
	T_OK(mp_queue_unlink(name));
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	T_RESULT(mp_queue_open(name, &q), -ELOOP);
	cr_assert_eq(unlink(path), 0);
}

Test(queue_named, of_another_kind)
{
	mp_block *block;
	mp_queue *q;

	pick_name("kind");
	T_OK(mp_block_create(name, 1 << 20, NULL, &block));
	T_RESULT(mp_queue_open(name, &q), -EBADMSG);
	T_RESULT(mp_queue_create(name, NULL, &q), -EEXIST);
	mp_block_close(block);
	q = create(NULL);
	T_RESULT(mp_block_open(name, NULL, &block), -EBADMSG);
	T_RESULT(mp_block_create(name, 1, NULL, &block), -EEXIST);
	mp_queue_close(q);
	cr_assert_not(exists());
}

Test(queue_named, a_door_that_stays_shut)
{
	mp_queue *other;

	pick_name("door");
	mp_queue *mine = create(NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	T_RESULT(mp_queue_open(name, &other), -EBUSY);
	T_RESULT(mp_queue_unlink(name), -EBUSY);
	close(fd);
	T_OK(mp_queue_open(name, &other));
	mp_queue_close(other);
	mp_queue_close(mine);
}

static int create_without(void *argument)
{
	struct rlimit files = {1, 1};
	struct rlimit bytes = {0};
	mp_queue *q;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &bytes) == 0);
	T_CHECK(mp_queue_create(name, NULL, &q) == -ENOSPC);
	T_CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	T_CHECK(mp_queue_open(name, &q) == -EMFILE);
	return 0;
}

Test(queue_named, a_poor_process_gets_errors)
{
	pick_name("poor");
	mp_queue *q = create(NULL);
	struct t_child child = t_spawn(create_without, NULL);
	t_expect_exit(&child, 0);
	mp_queue_close(q);
}
