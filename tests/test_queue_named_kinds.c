/* SPDX-License-Identifier: MIT */
/* Queues with an order or leases by name, between programs that are not related. */
#include <config.h>

#include "tests/support/kinds.h"
#include "tests/support/starts.h"
#include "tests/support/stores.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(queue_named_kinds);

/* --- one queue -------------------------------------------------------------------------------------- */

Test(queue_named_kinds, two_handles_of_one_name_are_one_queue)
{
	for_each_kind()
	{
		mp_queue *other;
		pick_kinds_name("basics");
		mp_queue *mine = create(KINDS_OPTIONS(.maxsize = 3));
		cr_assert_str_eq(mp_queue_name(mine), name);
		T_RESULT(mp_queue_create(name, KINDS_OPTIONS(), &other), -EEXIST);
		T_OK(mp_queue_open(name, &other));
		cr_assert_str_eq(mp_queue_name(other), name);
		for (int i = 1; i <= 3; i++)
			T_OK(mp_queue_put(i % 2 ? mine : other, mp_i64(i), MP_NOWAIT));
		T_RESULT(mp_queue_put(other, mp_i64(4), MP_NOWAIT), -EAGAIN);
		cr_assert(mp_queue_full(other) && mp_queue_full(mine), "%s", this_kind->what);
		for (int i = 1; i <= 3; i++)
			cr_assert_eq(get_i64(i % 2 ? other : mine), expected(i, 3), "%s",
				this_kind->what);
		T_OK(mp_queue_task_done(mine));
		T_OK(mp_queue_task_done(other));
		T_OK(mp_queue_task_done(other));
		T_OK(mp_queue_join(other, MP_NOWAIT));
		mp_queue_close(mine);
		cr_assert(exists(), "one user is left");
		mp_queue_close(other);
		cr_assert_not(exists(), "the last user takes the name along");
		T_RESULT(mp_queue_open(name, &other), -ENOENT);
	}
}

Test(queue_named_kinds, priorities_count_by_name_too)
{
	const int64_t priorities[] = {5, -3, INT64_MAX, -3};
	mp_queue *other;

	pick_name("priorities");
	mp_queue *mine = create(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	T_OK(mp_queue_open(name, &other));
	for (int i = 0; i < 4; i++)
		T_OK(mp_queue_put_priority(
			i % 2 ? mine : other, mp_i64(i), priorities[i], MP_NOWAIT));
	T_OK(mp_queue_put(other, mp_i64(4), MP_NOWAIT));
	const int64_t order[] = {1, 3, 4, 0, 2};
	for (int i = 0; i < 5; i++)
		cr_assert_eq(get_i64(i % 2 ? other : mine), order[i]);
	mp_queue_close(mine);
	mp_queue_close(other);
}

Test(queue_named_kinds, a_made_up_name_and_one_that_is_taken_away)
{
	for_each_kind()
	{
		mp_queue *mine;
		mp_queue *other;
		T_OK(mp_queue_create(NULL, KINDS_OPTIONS(), &mine));
		T_OK(mp_queue_open(mp_queue_name(mine), &other));
		T_OK(mp_queue_unlink(mp_queue_name(mine)));
		T_OK(mp_queue_put(mine, mp_i64(7), MP_NOWAIT));
		cr_assert_eq(get_i64(other), 7, "%s", this_kind->what);
		mp_queue_close(mine);
		mp_queue_close(other);
	}
}

Test(queue_named_kinds, persist_keeps_what_is_in_it_in_order)
{
	for_each_kind()
	{
		mp_queue *q;
		pick_kinds_name("persist");
		q = create(KINDS_OPTIONS(.persist = true));
		for (int i = 1; i <= 200; i++)
			T_OK(mp_queue_put(q, mp_i64(i), MP_NOWAIT));
		mp_queue_close(q);
		cr_assert(exists());
		T_OK(mp_queue_open(name, &q));
		for (int i = 1; i <= 200; i++)
			cr_assert_eq(get_i64(q), expected(i, 200), "%s", this_kind->what);
		mp_queue_close(q);
		T_OK(mp_queue_unlink(name));
	}
}

/* --- memory ----------------------------------------------------------------------------------------- */

static uint64_t memory_of(void)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

Test(queue_named_kinds, an_empty_one_is_small_and_grows_with_its_messages)
{
	static char large[100000];
	char got[100000];
	mp_queue *other;
	size_t size;

	pick_name("memory");
	mp_queue *q = create(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	cr_assert_leq(memory_of(), 65536);
	T_OK(mp_queue_open(name, &other));
	for (int i = 0; i < 100; i++) {
		memset(large, i, sizeof(large));
		T_OK(mp_queue_put_bytes(i % 2 ? q : other, large, sizeof(large), MP_NOWAIT));
	}
	cr_assert_geq(memory_of(), 10000000);
	for (int i = 100; i-- > 0;) {
		memset(large, i, sizeof(large));
		T_OK(mp_queue_get_bytes_into(
			i % 3 ? q : other, got, sizeof(got), MP_NOWAIT, &size));
		cr_assert_eq(memcmp(large, got, sizeof(got)), 0);
	}
	T_OK(mp_heap_check(q->store->heap));
	cr_assert(store_has_no_messages(q), "%s", describe_blocks(q));
	mp_queue_close(q);
	mp_queue_close(other);
}

static int put_too_much(void *argument)
{
	struct rlimit limit = {100000, 100000};
	char large[200000] = "";
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_open(name, &q) == 0);
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp_queue_put_bytes(q, large, sizeof(large), MP_NOWAIT) == -ENOSPC);
	T_CHECK(mp_queue_put(q, mp_i64(1), MP_NOWAIT) == 0);
	mp_queue_close(q);
	return 0;
}

static int create_too_much(void *argument)
{
	struct rlimit limit = {100000, 100000};
	mp_queue *q;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp_queue_create(name, KINDS_OPTIONS(.max_bytes = 1 << 22), &q) == -ENOSPC);
	return 0;
}

Test(queue_named_kinds, who_cannot_grow_it_is_told_and_harms_nobody)
{
	for_each_kind()
	{
		char large[200000] = "";
		if (this_kind == kinds)
			continue;
		pick_kinds_name("limit");
		struct t_child child = t_spawn(create_too_much, NULL);
		t_expect_exit(&child, 0);
		cr_assert_not(exists());
		mp_queue *q = create(KINDS_OPTIONS());
		child = t_spawn(put_too_much, NULL);
		t_expect_exit(&child, 0);
		T_OK(mp_queue_put_bytes(q, large, sizeof(large), MP_NOWAIT));
		cr_assert_eq(mp_queue_size(q), 2);
		T_OK(mp_heap_check(q->store->heap));
		mp_queue_close(q);
	}
}

/* --- what is none ----------------------------------------------------------------------------------- */

static void refuse(const mp_queue *mine)
{
	mp_queue *q;

	T_RESULT(mp_queue_open(name, &q), -EBADMSG);
	T_OK(mp_queue_unlink(name));
	mp_queue_close((mp_queue *)mine);
}

Test(queue_named_kinds, what_is_damaged_is_refused)
{
	/* Every field that who opens it goes by, in the control page and in the head of the heap. */
	const size_t fields[] = {0, 8, 12, 16, 20, offsetof(struct mp__segment_header, max_size),
		offsetof(struct mp__segment_header, size),
		offsetof(struct mp__queue_control, max_bytes),
		offsetof(struct mp__queue_control, maxsize) + 4,
		offsetof(struct mp__queue_control, flags), MP__STORE_AT, MP__STORE_AT + 8,
		MP__STORE_AT + 12, MP__STORE_AT + 16, MP__STORE_AT + 20,
		MP__STORE_AT + offsetof(struct mp__segment_header, max_size),
		MP__STORE_AT + offsetof(struct mp__segment_header, size) + 4};
	const size_t of_root[] = {offsetof(struct mp__store_root, magic),
		offsetof(struct mp__store_root, version), offsetof(struct mp__store_root, order)};
	const off_t sizes[] = {0, 200, 4096, MP__STORE_AT, MP__STORE_AT + 64, MP__STORE_AT + 4096};

	pick_name("damaged");
	for (size_t i = 0; i < MP__COUNT_OF(fields); i++) {
		mp_queue *mine = create(MP_QUEUE_OPTIONS(.leases = true));
		spoil(fields[i], 0x1234567);
		refuse(mine);
	}
	for (size_t i = 0; i < MP__COUNT_OF(of_root); i++) {
		mp_queue *mine = create(MP_QUEUE_OPTIONS(.leases = true));
		spoil((size_t)((char *)mine->store->root - mine->base) + of_root[i], 0x1234567);
		refuse(mine);
	}
	for (size_t i = 0; i < MP__COUNT_OF(sizes); i++) {
		mp_queue *mine = create(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
		cr_assert_eq(truncate(path, sizes[i]), 0);
		refuse(mine);
	}
	/* A plain one that says that it has a table, and the other way round. */
	mp_queue *plain = create(NULL);
	spoil(offsetof(struct mp__queue_control, flags), MP__QUEUE_STORE);
	refuse(plain);
	mp_queue *ordered = create(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	spoil(offsetof(struct mp__queue_control, flags), 0);
	refuse(ordered);
}

Test(queue_named_kinds, bad_options_leave_no_name)
{
	mp_queue *q = NULL;

	pick_name("options");
	T_RESULT(mp_queue_create(name, MP_QUEUE_OPTIONS(.order = 3), &q), -EINVAL);
	T_RESULT(mp_queue_create(name, MP_QUEUE_OPTIONS(.max_deliveries = 3), &q), -EINVAL);
	T_RESULT(mp_queue_create(name, MP_QUEUE_OPTIONS(.leases = true, .max_bytes = 127), &q),
		-EINVAL);
	T_RESULT(
		mp_queue_create(name, MP_QUEUE_OPTIONS(.leases = true, .mode = 0400), &q), -EINVAL);
	cr_assert_null(q);
	cr_assert_not(exists());
}

/* --- other processes -------------------------------------------------------------------------------- */

static int answer(int argc, const mp_obj *argv)
{
	mp_queue *by_handle = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;
	mp_queue *by_name;

	T_CHECK(by_handle && mp_queue_name(by_handle));
	T_CHECK(mp_queue_open(mp_queue_name(by_handle), &by_name) == 0);
	T_CHECK(mp_queue_put(by_handle, mp_i64(1), MP_NOWAIT) == 0);
	T_CHECK(mp_queue_put(by_name, mp_i64(2), MP_NOWAIT) == 0);
	mp_queue_close(by_name);
	return 0;
}

EACH_METHOD_AND_THREAD(queue_named_kinds, travels_with_its_name)
{
	for_each_kind()
	{
		pick_kinds_name(mp_start_method_name(method));
		mp_queue *q = create(KINDS_OPTIONS());
		finish(start(answer, MP_ARGS(mp_handle(q)), BY(method)), 0);
		cr_assert_eq(get_i64(q), expected(1, 2), "%s", this_kind->what);
		cr_assert_eq(get_i64(q), expected(2, 2), "%s", this_kind->what);
		mp_queue_close(q);
		cr_assert_not(exists());
	}
}

/* (name, whether it has leases) */
static int create_and_return(int argc, const mp_obj *argv)
{
	mp_queue *q;

	T_CHECK(argc == 2);
	T_CHECK(mp_queue_create(mp_obj_str(&argv[0]),
			MP_QUEUE_OPTIONS(.leases = mp_obj_i64(&argv[1]) != 0), &q) == 0);
	T_CHECK(mp_queue_put(q, mp_i64(1), 0) == 0);
	return 0;
}

EACH_METHOD(queue_named_kinds, a_target_that_forgot_to_close_it)
{
	pick_name(mp_start_method_name(method));
	for (int leases = 0; leases < 2; leases++) {
		finish(start(create_and_return, MP_ARGS(mp_str(name), mp_i64(leases)), BY(method)),
			0);
		cr_assert_not(exists());
	}
}

static int run_peer(void *argument)
{
	char program[4096];

	(void)argument;
	snprintf(program, sizeof(program), "%s/tests/queue_peer", getenv("top_builddir"));
	execl(program, program, name, (char *)NULL);
	return 98;
}

/* The other one is a program of its own, and knows the name alone. */
static void exchange(int n)
{
	char reply_name[80];
	mp_queue *replies;
	bool seen[500] = {false};
	static char large[100000];
	mp_obj value;

	pick_kinds_name("peer");
	snprintf(reply_name, sizeof(reply_name), "%s.replies", name);
	mp_queue *requests = create(KINDS_OPTIONS(.maxsize = 8));
	T_OK(mp_queue_create(reply_name, KINDS_OPTIONS(), &replies));
	struct t_child child = t_spawn(run_peer, NULL);
	memset(large, 'x', sizeof(large) - 1);
	for (int i = 0; i < n; i++)
		T_OK(mp_queue_put(
			requests, MP_LIST(mp_i64(i), mp_str(i % 100 ? "" : large)), T_TIMEOUT_MS));
	T_OK(mp_queue_shutdown(requests, MP_QUEUE_DRAIN));
	for (int i = 0; i < n; i++) {
		T_OK(mp_queue_get(replies, T_TIMEOUT_MS, &value));
		int64_t number = mp_obj_i64(mp_obj_at(&value, 0));
		cr_assert(number >= 0 && number < n && !seen[number], "%s", this_kind->what);
		seen[number] = true;
		cr_assert_str_eq(mp_obj_str(mp_obj_at(&value, 1)), number % 100 ? "" : large);
		mp_obj_free(&value);
	}
	T_RESULT(mp_queue_get(replies, T_TIMEOUT_MS, &value), -EPIPE);
	t_expect_exit(&child, 0);
	mp_queue_close(requests);
	mp_queue_close(replies);
	cr_assert_not(exists());
}

Test(queue_named_kinds, two_programs_that_are_not_related)
{
	if (!getenv("top_builddir"))
		cr_skip_test("top_builddir says where tests/queue_peer is");
	for_each_kind() exchange(500);
}

/* --- leases ----------------------------------------------------------------------------------------- */

static int lease_two_and_hang(void *argument)
{
	mp_lease lease;
	mp_obj value;
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_open(name, &q) == 0);
	for (int i = 0; i < 2; i++)
		T_CHECK(mp_queue_lease(q, MP_NOWAIT, &value, &lease) == 0);
	t_ready();
	t_hang();
}

Test(queue_named_kinds, what_a_killed_program_had_leased_comes_back)
{
	for_each_kind()
	{
		mp_lease lease;
		mp_obj value;
		if (!this_kind->leases)
			continue;
		pick_kinds_name("leases");
		mp_queue *q = create(KINDS_OPTIONS());
		for (int i = 1; i <= 3; i++)
			T_OK(mp_queue_put(q, mp_i64(i), MP_NOWAIT));
		struct t_child child = t_spawn(lease_two_and_hang, NULL);
		t_wait_ready(&child);
		cr_assert_eq(mp_queue_leased(q), 2);
		t_kill(&child, SIGKILL);
		bool redelivered[4] = {false};
		for (int i = 0; i < 3; i++) {
			T_OK(mp_queue_lease(q, T_TIMEOUT_MS, &value, &lease));
			redelivered[mp_obj_i64(&value)] = lease.redelivered;
			T_OK(mp_queue_ack(q, lease));
		}
		cr_assert(redelivered[2]);
		cr_assert_eq(redelivered[1], this_kind->order == MP_QUEUE_FIFO);
		cr_assert_eq(redelivered[3], this_kind->order == MP_QUEUE_LIFO);
		T_RESULT(mp_queue_get(q, 200, &value), -ETIMEDOUT);
		cr_assert(store_has_no_messages(q), "%s", describe_blocks(q));
		mp_queue_close(q);
	}
}

static int make_poison_and_leave(void *argument)
{
	mp_lease lease;
	mp_obj value;
	mp_queue *q;

	(void)argument;
	T_CHECK(mp_queue_create(name,
			MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 1, .persist = true),
			&q) == 0);
	for (int i = 1; i <= 3; i++)
		T_CHECK(mp_queue_put(q, mp_i64(i), MP_NOWAIT) == 0);
	T_CHECK(mp_queue_lease(q, MP_NOWAIT, &value, &lease) == 0);
	T_CHECK(mp_queue_nack(q, lease) == 0);
	T_CHECK(mp_queue_lease(q, MP_NOWAIT, &value, &lease) == 0);
	return 0;
}

/* One is set aside, one leased, one ready; then there is nobody for a while. */
Test(queue_named_kinds, persist_keeps_leases_and_poison_too)
{
	mp_lease lease;
	mp_obj value;
	mp_queue *q;

	pick_name("poison");
	struct t_child child = t_spawn(make_poison_and_leave, NULL);
	t_expect_exit(&child, 0);
	T_OK(mp_queue_open(name, &q));
	T_OK(mp_queue_lease(q, MP_NOWAIT, &value, &lease));
	cr_assert_eq(mp_obj_i64(&value), 3);
	T_OK(mp_queue_ack(q, lease));
	T_RESULT(mp_queue_lease(q, MP_NOWAIT, &value, &lease), -EAGAIN);
	cr_assert_eq(mp_queue_poison_count(q), 2);
	for (int i = 0; i < 2; i++)
		T_OK(mp_queue_poison_get(q, &value));
	T_RESULT(mp_queue_poison_get(q, &value), -EAGAIN);
	mp_queue_close(q);
	T_OK(mp_queue_unlink(name));
}
