/* SPDX-License-Identifier: MIT */
/* Named queues whose makers and users are killed at every step, and how what they leave goes. */
#include <config.h>

#include "tests/support/support.h"

#include "base/cleanup.h"

#include <mp.h>

T_SUITE_OF_LEFTOVERS(queue_named_crash);

static char name[64];

static void pick_name(const char *what)
{
	snprintf(name, sizeof(name), "queue-crash-%d-%s", getpid(), what);
}

static bool exists(void)
{
	char path[128];

	snprintf(path, sizeof(path), "/dev/shm/mp.%s", name);
	return access(path, F_OK) == 0;
}

static int create_and_close(void *argument)
{
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_create(name, MP_QUEUE_OPTIONS(.joinable = true), &q) == 0);
	T_CHECK(mp_queue_put(q, mp_i64(1), MP_NOWAIT) == 0);
	mp_queue_close(q);
	return 0;
}

static int open_and_close(void *argument)
{
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_open(name, &q) == 0);
	mp_queue_close(q);
	return 0;
}

static int unlink_it(void *argument)
{
	(void)argument;
	T_CHECK(mp_queue_unlink(name) == 0);
	return 0;
}

static int create_and_hang(void *argument)
{
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_create(name, NULL, &q) == 0);
	t_ready();
	t_hang();
}

static int ask_for_it(void *argument)
{
	mp_queue *q;

	(void)argument;
	return mp_queue_open(name, &q) == -ENOENT ? 0 : 1;
}

static int put_three(void *argument)
{
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_open(name, &q) == 0);
	for (int i = 1; i <= 3; i++)
		T_CHECK(mp_queue_put(q, mp_i64(i), MP_NOWAIT) == 0);
	mp_queue_close(q);
	return 0;
}

static void leave_one(void)
{
	struct t_child child = t_spawn(create_and_hang, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	cr_assert(exists());
}

static void die_at(const char *point, const char *action, int (*function)(void *))
{
	t_arm(point, action);
	struct t_child child = t_spawn(function, NULL);
	if (strcmp(action, "exit") == 0)
		t_expect_exit(&child, 86);
	else
		t_expect_signal(&child, SIGKILL);
	cr_assert(t_fired(), "nobody came to %s", point);
	t_disarm();
}

/* The name can be had, and nothing that could not be removed is left. */
static void check_free(void)
{
	struct t_child next = t_spawn(create_and_close, NULL);

	t_expect_exit(&next, 0);
	cr_assert_not(exists());
}

static const char *const actions[] = {"kill", "exit"};

Test(queue_named_crash, creators_killed)
{
	const char *points[] = {"queue.file", "queue.filled", "queue.published", "block.link",
		"block.linked", "queue.put.copied", "block.closed", "block.reap", "block.reaped"};

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		for (int a = 0; a < 2; a++) {
			pick_name(points[i]);
			die_at(points[i], actions[a], create_and_close);
			if (i < 4)
				cr_assert_not(exists(), "nothing is visible before it is whole");
			check_free();
		}
	}
}

Test(queue_named_crash, openers_killed_while_others_use_it)
{
	const char *points[] = {
		"block.opened", "block.door", "block.use", "queue.attach", "block.closed"};

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		mp_queue *q;
		pick_name(points[i]);
		T_OK(mp_queue_create(name, NULL, &q));
		die_at(points[i], "kill", open_and_close);
		struct t_child other = t_spawn(put_three, NULL);
		t_expect_exit(&other, 0);
		cr_assert_eq(mp_queue_size(q), 3);
		mp_queue_close(q);
		cr_assert_not(exists());
	}
}

Test(queue_named_crash, users_killed_in_the_middle_of_a_put)
{
	const char *points[] = {"queue.put.placed", "queue.put.copied", "queue.put.committed"};

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		mp_queue *q;
		mp_obj value;
		pick_name(points[i]);
		T_OK(mp_queue_create(name, NULL, &q));
		die_at(points[i], "kill", put_three);
		cr_assert_eq(mp_queue_size(q), i == 2);
		struct t_child other = t_spawn(put_three, NULL);
		t_expect_exit(&other, 0);
		for (int n = i == 2 ? 0 : 1; n <= 3; n++) {
			T_OK(mp_queue_get(q, MP_NOWAIT, &value));
			cr_assert_eq(mp_obj_i64(&value), n == 0 ? 1 : n);
			mp_obj_free(&value);
		}
		cr_assert(mp_queue_empty(q));
		mp_queue_close(q);
	}
}

Test(queue_named_crash, killed_while_removing_what_was_left)
{
	pick_name("leftover");
	leave_one();
	die_at("block.leftover", "kill", ask_for_it);
	check_free();
}

Test(queue_named_crash, killed_while_unlinking)
{
	const char *points[] = {"block.unlink", "block.unlinked"};

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		mp_queue *q;
		pick_name(points[i]);
		T_OK(mp_queue_create(name, NULL, &q));
		die_at(points[i], "kill", unlink_it);
		cr_assert_eq(exists(), i == 0);
		mp_queue_close(q);
		cr_assert_not(exists());
	}
}

/* --- what the dead left ---------------------------------------------------------------------------- */

Test(queue_named_crash, the_next_to_create_gets_the_name)
{
	pick_name("create");
	leave_one();
	check_free();
}

Test(queue_named_crash, the_next_to_open_finds_nothing)
{
	mp_queue *q;

	pick_name("open");
	leave_one();
	T_RESULT(mp_queue_open(name, &q), -ENOENT);
	cr_assert_not(exists());
}

struct found {
	int n;
	pid_t creator;
	char kind[32];
};

static void note(const mp_shm_leftover *leftover, void *data)
{
	struct found *found = data;

	/* Other tests, at the same time, leave things too. */
	if (strcmp(leftover->name, name) != 0)
		return;
	found->n++;
	found->creator = leftover->creator;
	snprintf(found->kind, sizeof(found->kind), "%s", leftover->kind);
	cr_assert_eq(leftover->result, 0);
	cr_assert_geq(leftover->bytes, 32768);
	cr_assert_leq(leftover->bytes, 65536, "of a sparse file, what it takes");
}

static struct found look(uint64_t flags)
{
	struct found found = {0};

	cr_assert_geq(mp_shm_gc(flags, note, &found), found.n);
	return found;
}

Test(queue_named_crash, gc_finds_and_removes_what_the_dead_left)
{
	pick_name("gc");
	struct t_child child = t_spawn(create_and_hang, NULL);
	t_wait_ready(&child);
	cr_assert_eq(look(MP_SHM_REMOVE).n, 0, "it is in use");
	t_kill(&child, SIGKILL);
	struct found found = look(0);
	cr_assert_eq(found.n, 1);
	cr_assert_eq(found.creator, child.pid);
	cr_assert_str_eq(found.kind, "queue");
	cr_assert(exists());
	cr_assert_eq(look(MP_SHM_REMOVE).n, 1);
	cr_assert_not(exists());
}

static int forget_it(void *argument)
{
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_create(name, MP_QUEUE_OPTIONS(.persist = true), &q) == 0);
	T_CHECK(mp_queue_put(q, mp_i64(7), MP_NOWAIT) == 0);
	raise(SIGKILL);
	return 0;
}

Test(queue_named_crash, what_persists_is_no_leftover)
{
	mp_queue *q;
	mp_obj value;

	pick_name("persist");
	struct t_child child = t_spawn(forget_it, NULL);
	t_expect_signal(&child, SIGKILL);
	cr_assert_eq(look(MP_SHM_REMOVE).n, 0);
	T_OK(mp_queue_open(name, &q));
	T_OK(mp_queue_get(q, MP_NOWAIT, &value));
	cr_assert_eq(mp_obj_i64(&value), 7);
	mp_queue_close(q);
	T_OK(mp_queue_unlink(name));
}

/* --- openers against removers ---------------------------------------------------------------------- */

#define ROUNDS 200

static int come_and_go(void *argument)
{
	(void)argument;
	for (int i = 0; i < ROUNDS; i++) {
		mp_obj value;
		mp_queue *q;
		int r = mp_queue_create(name, NULL, &q);
		if (r == -EEXIST)
			r = mp_queue_open(name, &q);
		if (r == -ENOENT)
			continue;
		T_CHECK(r == 0);
		T_CHECK(exists());
		/* Whoever has it: what goes in comes out. */
		T_CHECK(mp_queue_put(q, mp_i64(i), T_TIMEOUT_MS) == 0);
		T_CHECK(mp_queue_get(q, T_TIMEOUT_MS, &value) == 0);
		mp_obj_free(&value);
		mp_queue_close(q);
	}
	return 0;
}

Test(queue_named_crash, the_name_does_not_go_while_somebody_has_it)
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
