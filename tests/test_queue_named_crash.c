/* SPDX-License-Identifier: MIT */
/* Named queues whose makers and users are killed at every step, and how what they leave goes. */
#include <config.h>

#include "tests/support/kinds.h"
#include "tests/support/stores.h"

T_SUITE_OF_LEFTOVERS(queue_named_crash);

static int create_and_close(void *argument)
{
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_create(name, KINDS_OPTIONS(), &q) == 0);
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
	T_CHECK(mp_queue_create(name, KINDS_OPTIONS(), &q) == 0);
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

/* The name can be had, and nothing that could not be removed is left. */
static void check_free(void)
{
	struct t_child next = t_spawn(create_and_close, NULL);

	t_expect_exit(&next, 0);
	cr_assert_not(exists());
}

static const char *const actions[] = {"kill", "exit"};

static void kill_creators(const char *const *points, size_t n, bool visible)
{
	for (size_t i = 0; i < n; i++) {
		for (int a = 0; a < 2; a++) {
			pick_kinds_name(points[i]);
			t_die_at(points[i], actions[a], create_and_close, NULL);
			cr_assert(visible || !exists(), "nothing is visible before it is whole");
			check_free();
		}
	}
}

#define CREATORS(...)                       \
	(const char *const[]){__VA_ARGS__}, \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)

Test(queue_named_crash, creators_killed)
{
	for_each_kind()
	{
		kill_creators(CREATORS("queue.file", "queue.filled", "queue.stored",
				      "queue.published", "block.link"),
			false);
		kill_creators(
			CREATORS("block.linked", "block.closed", "block.reap", "block.reaped"),
			true);
		if (this_kind == kinds)
			kill_creators(CREATORS("queue.put.copied"), true);
		else
			kill_creators(CREATORS("store.put.copied", "store.put.committed"), true);
	}
}

Test(queue_named_crash, openers_killed_while_others_use_it)
{
	const char *points[] = {
		"block.opened", "block.door", "block.use", "queue.attach", "block.closed"};

	for_each_kind()
	{
		for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
			pick_kinds_name(points[i]);
			mp_queue *q = create(KINDS_OPTIONS());
			t_die_at(points[i], "kill", open_and_close, NULL);
			struct t_child other = t_spawn(put_three, NULL);
			t_expect_exit(&other, 0);
			cr_assert_eq(mp_queue_size(q), 3);
			mp_queue_close(q);
			cr_assert_not(exists());
		}
	}
}

Test(queue_named_crash, users_killed_in_the_middle_of_a_put)
{
	const char *points[] = {"queue.put.placed", "queue.put.copied", "queue.put.committed"};

	this_kind = &kinds[0];
	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		pick_kinds_name(points[i]);
		mp_queue *q = create(KINDS_OPTIONS());
		t_die_at(points[i], "kill", put_three, NULL);
		cr_assert_eq(mp_queue_size(q), i == 2);
		struct t_child other = t_spawn(put_three, NULL);
		t_expect_exit(&other, 0);
		for (int n = i == 2 ? 0 : 1; n <= 3; n++)
			cr_assert_eq(get_i64(q), n == 0 ? 1 : n);
		cr_assert(mp_queue_empty(q));
		mp_queue_close(q);
	}
}

/* --- in the middle of a change of the table ---------------------------------------------------------- */

#define N_LARGE 70 /* more than the first piece of the table has entries */
#define LARGE 6000 /* more than the heap has at first */

/* By name: everything that changes the table and the memory behind it. */
static int use_it(void *argument)
{
	static char large[LARGE];
	mp_lease lease;
	void *data;
	size_t size;
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_open(name, &q) == 0);
	for (int i = 1; i <= N_LARGE; i++) {
		memset(large, i, sizeof(large));
		T_CHECK(mp_queue_put_bytes(q, large, sizeof(large), MP_NOWAIT) == 0);
	}
	for (int i = 0; this_kind->leases && i < 3; i++) {
		T_CHECK(mp_queue_lease_bytes(q, MP_NOWAIT, &data, &size, &lease) == 0);
		T_CHECK((i == 0 ? mp_queue_nack(q, lease) : mp_queue_ack(q, lease)) == 0);
		free(data);
	}
	T_CHECK(mp_queue_get_bytes(q, MP_NOWAIT, &data, &size) == 0);
	free(data);
	mp_queue_close(q);
	return 0;
}

static void drain(mp_queue *q)
{
	static char got[LARGE];
	size_t size;
	int n = 0;
	int r;

	/* Who waits in vain frees what the dead have left; leases are looked after every 50 ms. */
	int timeout_ms = this_kind->leases ? 100 : 1;
	while ((r = mp_queue_get_bytes_into(q, got, sizeof(got), timeout_ms, &size)) == 0) {
		for (size_t b = 1; b < size; b++)
			cr_assert_eq(got[b], got[0]);
		n++;
	}
	T_RESULT(r, -ETIMEDOUT);
	cr_assert_geq(n, N_LARGE - 3, "%d of what the second one has put", n);
}

static void kill_user_at(const char *point)
{
	pick_kinds_name(point);
	mp_queue *q = create(KINDS_OPTIONS());
	t_die_at(point, "kill", use_it, NULL);
	/* An unrelated one comes along, and has no trouble. */
	struct t_child next = t_spawn(use_it, NULL);
	t_expect_exit(&next, 0);
	drain(q);
	cr_assert_eq(mp_queue_bytes(q), 0);
	T_OK(mp_heap_check(q->store->heap));
	cr_assert(store_has_no_messages(q), "%s: %s", point, describe_blocks(q));
	mp_queue_close(q);
	cr_assert_not(exists());
}

static void kill_users(const struct kind *of)
{
	const char *points[] = {"store.put.allocated", "store.put.copied", "store.put.written",
		"store.put.committed", "store.put.counted", "store.put.rung",
		"store.chunk.allocated", "store.chunk.named", "store.chunk.added",
		"store.get.found", "store.get.copied", "store.get.adopted", "queue.cell.counted",
		"store.get.committed", "store.get.counted", "store.get.rung", "store.get.freed",
		"segment.grown", "heap.allocated", "heap.new_end", "heap.grown"};
	const char *of_leases[] = {"lease.written", "lease.committed", "lease.counted",
		"lease.ack.rung", "lease.back.committed", "lease.back.counted", "lease.back.rung"};

	this_kind = of;
	for (size_t i = 0; i < MP__COUNT_OF(points); i++)
		kill_user_at(points[i]);
	for (size_t i = 0; this_kind->leases && i < MP__COUNT_OF(of_leases); i++)
		kill_user_at(of_leases[i]);
}

Test(queue_named_crash, users_of_a_stack_killed_at_every_step)
{
	kill_users(&kinds[1]);
}

Test(queue_named_crash, users_of_priorities_killed_at_every_step)
{
	kill_users(&kinds[2]);
}

Test(queue_named_crash, users_of_leases_killed_at_every_step)
{
	kill_users(&kinds[3]);
}

Test(queue_named_crash, users_of_a_stack_with_leases_killed_at_every_step)
{
	kill_users(&kinds[4]);
}

/* Nobody is left; what persists is made whole by whoever comes next. */
Test(queue_named_crash, who_comes_later_repairs_what_the_last_one_left)
{
	const char *points[] = {"store.put.written", "store.put.committed", "store.chunk.named",
		"store.get.adopted", "store.get.committed", "heap.new_end"};

	t_need_points();
	for_each_kind()
	{
		for (size_t i = 0; this_kind != kinds && i < MP__COUNT_OF(points); i++) {
			mp_queue *q;
			pick_kinds_name(points[i]);
			q = create(KINDS_OPTIONS(.persist = true));
			mp_queue_close(q);
			t_die_at(points[i], "kill", use_it, NULL);
			cr_assert_eq(look_for_leftovers(MP_SHM_REMOVE).n, 0);
			T_OK(mp_queue_open(name, &q));
			struct t_child next = t_spawn(use_it, NULL);
			t_expect_exit(&next, 0);
			drain(q);
			cr_assert(store_has_no_messages(q), "%s", describe_blocks(q));
			mp_queue_close(q);
			T_OK(mp_queue_unlink(name));
		}
	}
}

/* --- removing ---------------------------------------------------------------------------------------- */

Test(queue_named_crash, killed_while_removing_what_was_left)
{
	for_each_kind()
	{
		pick_kinds_name("leftover");
		leave_one();
		t_die_at("block.leftover", "kill", ask_for_it, NULL);
		check_free();
	}
}

Test(queue_named_crash, killed_while_unlinking)
{
	const char *points[] = {"block.unlink", "block.unlinked"};

	for_each_kind()
	{
		for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
			pick_kinds_name(points[i]);
			mp_queue *q = create(KINDS_OPTIONS());
			t_die_at(points[i], "kill", unlink_it, NULL);
			cr_assert_eq(exists(), i == 0);
			mp_queue_close(q);
			cr_assert_not(exists());
		}
	}
}

/* --- what the dead left ---------------------------------------------------------------------------- */

Test(queue_named_crash, the_next_to_create_gets_the_name)
{
	for_each_kind()
	{
		pick_kinds_name("create");
		leave_one();
		check_free();
	}
}

Test(queue_named_crash, the_next_to_open_finds_nothing)
{
	for_each_kind()
	{
		mp_queue *q;
		pick_kinds_name("open");
		leave_one();
		T_RESULT(mp_queue_open(name, &q), -ENOENT);
		cr_assert_not(exists());
	}
}

Test(queue_named_crash, gc_finds_and_removes_what_the_dead_left)
{
	for_each_kind()
	{
		pick_kinds_name("gc");
		struct t_child child = t_spawn(create_and_hang, NULL);
		t_wait_ready(&child);
		cr_assert_eq(look_for_leftovers(MP_SHM_REMOVE).n, 0, "it is in use");
		t_kill(&child, SIGKILL);
		struct found found = look_for_leftovers(0);
		cr_assert_eq(found.n, 1);
		cr_assert_eq(found.creator, child.pid);
		cr_assert_str_eq(found.kind, "queue");
		cr_assert_geq(found.bytes, 16384);
		cr_assert_leq(found.bytes, 65536, "of a sparse file, what it takes");
		cr_assert(exists());
		found = look_for_leftovers(MP_SHM_REMOVE);
		cr_assert_eq(found.n, 1);
		T_OK(found.result);
		cr_assert_not(exists());
	}
}

static int forget_it(void *argument)
{
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_create(name, KINDS_OPTIONS(.persist = true), &q) == 0);
	T_CHECK(mp_queue_put(q, mp_i64(7), MP_NOWAIT) == 0);
	raise(SIGKILL);
	return 0;
}

Test(queue_named_crash, what_persists_is_no_leftover)
{
	for_each_kind()
	{
		mp_queue *q;
		pick_kinds_name("persist");
		struct t_child child = t_spawn(forget_it, NULL);
		t_expect_signal(&child, SIGKILL);
		cr_assert_eq(look_for_leftovers(MP_SHM_REMOVE).n, 0);
		T_OK(mp_queue_open(name, &q));
		cr_assert_eq(get_i64(q), 7);
		mp_queue_close(q);
		T_OK(mp_queue_unlink(name));
	}
}

/* --- openers against removers ---------------------------------------------------------------------- */

#define ROUNDS 60

static int come_and_go(void *argument)
{
	(void)argument;
	for (int i = 0; i < ROUNDS; i++) {
		mp_obj value;
		mp_queue *q;
		int r = mp_queue_create(name, KINDS_OPTIONS(), &q);
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

	for_each_kind()
	{
		pick_kinds_name("race");
		for (int i = 0; i < 3; i++)
			children[i] = t_spawn(come_and_go, NULL);
		for (int i = 0; i < 20; i++)
			mp_shm_gc(MP_SHM_REMOVE, NULL, NULL);
		for (int i = 0; i < 3; i++)
			t_expect_exit(&children[i], 0);
		cr_assert_not(exists());
	}
}
