/* SPDX-License-Identifier: MIT */
/* Named blocks whose makers and users are killed at every step, and how what they leave goes. */
#include <config.h>

#include "tests/support/names.h"
#include "tests/support/starts.h"

#include "base/cleanup.h"

#include <mp.h>
#include <sys/wait.h>

T_SUITE_OF_LEFTOVERS(block_crash);

static int create_and_close(void *argument)
{
	mp_block *block;

	(void)argument;
	T_CHECK(mp_block_create(name, 5000, NULL, &block) == 0);
	memset(mp_block_data(block), 1, 5000);
	mp_block_close(block);
	return 0;
}

static int open_and_close(void *argument)
{
	mp_block *block;

	(void)argument;
	T_CHECK(mp_block_open(name, NULL, &block) == 0);
	mp_block_close(block);
	return 0;
}

static int unlink_it(void *argument)
{
	(void)argument;
	T_CHECK(mp_block_unlink(name) == 0);
	return 0;
}

static int create_and_hang(void *argument)
{
	mp_block *block;

	(void)argument;
	T_CHECK(mp_block_create(name, 5000, NULL, &block) == 0);
	t_ready();
	t_hang();
}

static int ask_for_it(void *argument)
{
	mp_block *block;

	(void)argument;
	return mp_block_open(name, NULL, &block) == -ENOENT ? 0 : 1;
}

static void leave_one(void)
{
	struct t_child child = t_spawn(create_and_hang, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
}

Test(block_crash, gc_finds_and_removes_what_the_dead_left)
{
	pick_name("gc");
	struct t_child child = t_spawn(create_and_hang, NULL);
	t_wait_ready(&child);
	cr_assert_eq(look_for_leftovers(0).n, 0, "it is in use");
	cr_assert_eq(look_for_leftovers(MP_SHM_REMOVE).n, 0, "it is in use");
	t_kill(&child, SIGKILL);
	struct found found = look_for_leftovers(0);
	cr_assert_eq(found.n, 1);
	cr_assert_eq(found.creator, child.pid);
	cr_assert_geq(found.bytes, 5000);
	cr_assert_str_eq(found.kind, "block");
	cr_assert(exists());
	found = look_for_leftovers(MP_SHM_REMOVE);
	cr_assert_eq(found.n, 1);
	T_OK(found.result);
	cr_assert_not(exists());
	cr_assert_eq(look_for_leftovers(0).n, 0);
	T_RESULT(mp_shm_gc(2, NULL, NULL), -EINVAL);
}

Test(block_crash, the_next_to_create_gets_the_name)
{
	pick_name("create");
	leave_one();
	cr_assert(exists());
	struct t_child child = t_spawn(create_and_close, NULL);
	t_expect_exit(&child, 0);
	cr_assert_not(exists());
}

Test(block_crash, the_next_to_open_finds_nothing)
{
	mp_block *block;

	pick_name("open");
	leave_one();
	T_RESULT(mp_block_open(name, NULL, &block), -ENOENT);
	cr_assert_not(exists());
}

static int fork_and_hang(void *argument)
{
	mp_block *block;

	(void)argument;
	T_CHECK(mp_block_create(name, 10, NULL, &block) == 0);
	pid_t pid = fork();
	T_CHECK(pid >= 0);
	if (pid == 0) {
		*(pid_t *)mp_block_data(block) = getpid();
		t_ready();
		t_hang();
	}
	t_hang();
}

Test(block_crash, a_forked_child_is_a_user)
{
	mp_block *block;

	pick_name("forked");
	struct t_child child = t_spawn(fork_and_hang, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	/* Its child lives: the block is in use. */
	cr_assert_eq(look_for_leftovers(0).n, 0);
	T_OK(mp_block_open(name, NULL, &block));
	pid_t orphan = *(pid_t *)mp_block_data(block);
	mp_block_close(block);
	cr_assert(exists());
	cr_assert_eq(kill(orphan, SIGKILL), 0);
	cr_assert_eq(waitpid(orphan, NULL, 0), orphan);
	cr_assert_eq(look_for_leftovers(MP_SHM_REMOVE).n, 1);
	cr_assert_not(exists());
}

static int create_and_return(int argc, const mp_obj *argv)
{
	mp_block *block;

	(void)argc;
	T_CHECK(mp_block_create(mp_obj_str(&argv[0]), 10, NULL, &block) == 0);
	return 0;
}

EACH_METHOD(block_crash, test_shared_memory_cleaned_after_process_termination)
{
	pick_name(mp_start_method_name(method));
	finish(start(create_and_return, MP_ARGS(mp_str(name)), BY(method)), 0);
	cr_assert_not(exists(), "a target that forgot to close it");
}

/*
 * Kill somebody at this point. Afterwards nobody is in the way: the name can be had, and nothing
 * that could not be removed is left.
 */
static void kill_at(const char *point, const char *action, int (*function)(void *))
{
	t_die_at(point, action, function, NULL);
	struct t_child next = t_spawn(create_and_close, NULL);
	t_expect_exit(&next, 0);
	cr_assert_not(exists());
}

static const char *const actions[] = {"kill", "exit"};

Test(block_crash, creators_killed)
{
	const char *points[] = {"block.file", "block.filled", "block.published", "block.link",
		"block.linked", "block.closed", "block.reap", "block.reaped"};

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		for (int a = 0; a < 2; a++) {
			pick_name(points[i]);
			kill_at(points[i], actions[a], create_and_close);
		}
	}
}

Test(block_crash, before_it_has_its_name_nothing_is_visible)
{
	const char *points[] = {"block.file", "block.filled", "block.published", "block.link"};

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		pick_name(points[i]);
		t_die_at(points[i], "kill", create_and_close, NULL);
		cr_assert_not(exists());
	}
}

Test(block_crash, openers_killed_while_others_use_it)
{
	const char *points[] = {"block.opened", "block.door", "block.use", "block.attach"};

	pick_name("opener");
	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		mp_block *block;
		T_OK(mp_block_create(name, 10, NULL, &block));
		t_die_at(points[i], "kill", open_and_close, NULL);
		struct t_child other = t_spawn(open_and_close, NULL);
		t_expect_exit(&other, 0);
		mp_block_close(block);
		cr_assert_not(exists());
	}
}

Test(block_crash, killed_while_removing_what_was_left)
{
	pick_name("leftover");
	leave_one();
	kill_at("block.leftover", "kill", ask_for_it);
}

Test(block_crash, killed_while_unlinking)
{
	const char *points[] = {"block.unlink", "block.unlinked"};

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		mp_block *block;
		pick_name(points[i]);
		T_OK(mp_block_create(name, 10, NULL, &block));
		t_die_at(points[i], "kill", unlink_it, NULL);
		cr_assert_eq(exists(), i == 0);
		mp_block_close(block);
		cr_assert_not(exists());
	}
}

static int grow_it(void *argument)
{
	T_CHECK(mp_block_grow(argument, 50000) == 0);
	return 0;
}

Test(block_crash, killed_while_growing)
{
	mp_block *block;

	T_OK(mp_block_new(10, MP_BLOCK_OPTIONS(.max_size = 100000), &block));
	t_die_at("segment.grown", "kill", grow_it, block);
	T_OK(mp_block_refresh(block));
	cr_assert_eq(mp_block_size(block), 10);
	T_OK(mp_block_grow(block, 60000));
	memset(mp_block_data(block), 1, 60000);
	mp_block_close(block);
}

/* --- openers against removers ------------------------------------------------------------------ */

#define ROUNDS 300

static int come_and_go(void *argument)
{
	(void)argument;
	for (int i = 0; i < ROUNDS; i++) {
		mp_block *block;
		int r = mp_block_create(name, 64, NULL, &block);
		if (r == -EEXIST)
			r = mp_block_open(name, NULL, &block);
		if (r == -ENOENT)
			continue;
		T_CHECK(r == 0);
		/* Who has it, has the one that the name leads to: it cannot go meanwhile. */
		T_CHECK(exists());
		mp_block_close(block);
	}
	return 0;
}

Test(block_crash, the_name_does_not_go_while_somebody_has_it)
{
	struct t_child children[3];

	pick_name("race");
	for (int i = 0; i < 3; i++)
		children[i] = t_spawn(come_and_go, NULL);
	for (int i = 0; i < 20; i++)
		mp_shm_gc(MP_SHM_REMOVE, NULL, NULL);
	for (int i = 0; i < 3; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_not(exists());
}
