/* SPDX-License-Identifier: MIT */
/*
 * The memory of a pool when it is not what it should be: too old, too short, or written to by a
 * worker gone mad. Here the test plays the worker, while the real one is stopped.
 */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"
#include "pool/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <sys/mman.h>
#include <sys/resource.h>

T_SUITE(pool_segment);

/* --- attaching -------------------------------------------------------------------------------- */

Test(pool_segment, attach_sees_what_was_created)
{
	struct mp__pool_segment a;
	struct mp__pool_segment b;

	T_OK(mp__pool_segment_create(3, 100, &a));
	T_RESULT(mp__pool_segment_attach(a.fd, a.payload_fd, &b), -EBADMSG); /* not published */
	mp__pool_segment_publish(&a);
	T_OK(mp__pool_segment_attach(a.fd, a.payload_fd, &b));
	cr_assert(b.n_workers == 3 && b.n_slots == 100 && b.ring_mask == 127);
	T_OK(mp__pool_segment_allocate_slot(&a, 99));
	a.slots[99].n_items = 12345;
	cr_assert_eq(b.slots[99].n_items, 12345);
	T_OK(mp__pool_segment_allocate_task(&a, MP__POOL_TASKS_MAX - 1));
	a.tasks[MP__POOL_TASKS_MAX - 1].target.offset = 7;
	cr_assert_eq(b.tasks[MP__POOL_TASKS_MAX - 1].target.offset, 7);
	cr_assert(ftruncate(a.fd, 0) < 0 && errno == EPERM);
	munmap(b.header, b.size);
	mp__pool_segment_close(&a);
}

#define WITH(field, value)                                                               \
	do {                                                                             \
		__typeof__(s.header->field) before = s.header->field;                    \
		s.header->field = (value);                                               \
		T_RESULT(mp__pool_segment_attach(s.fd, s.payload_fd, &other), -EBADMSG); \
		s.header->field = before;                                                \
	} while (0)

Test(pool_segment, attach_refuses_every_other_header)
{
	struct mp__pool_segment s;
	struct mp__pool_segment other;

	T_OK(mp__pool_segment_create(3, 100, &s));
	mp__pool_segment_publish(&s);
	WITH(magic, 1);
	WITH(version, MP__POOL_VERSION + 1);
	WITH(fingerprint, s.header->fingerprint + 1);
	WITH(size, s.size + 65536);
	WITH(size, 0);
	WITH(n_workers, 0);
	WITH(n_workers, 1001);
	WITH(n_slots, 0);
	WITH(n_slots, 1000);
	WITH(n_slots, UINT32_MAX);
	WITH(ring_size, 64);
	WITH(ring_size, 127);
	WITH(state, 0);
	T_OK(mp__pool_segment_attach(s.fd, s.payload_fd, &other));
	munmap(other.header, other.size);
	mp__pool_segment_close(&s);
}

Test(pool_segment, attach_refuses_other_files)
{
	struct mp__pool_segment other;
	int fd = mp__memfd_sealed("short", "mp.pool1", 8);

	T_RESULT(mp__pool_segment_attach(fd, fd, &other), -EBADMSG);
	close(fd);
	T_RESULT(mp__pool_segment_attach(-1, -1, &other), -EBADMSG);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	T_RESULT(mp__pool_segment_attach(fd, fd, &other), -EBADMSG);
	close(fd);
	fd = memfd_create("unsealed", MFD_CLOEXEC);
	cr_assert(ftruncate(fd, 1 << 20) == 0);
	T_RESULT(mp__pool_segment_attach(fd, fd, &other), -EBADMSG);
	close(fd);
}

Test(pool_segment, payload_is_kept_apart_and_given_back)
{
	struct mp__pool_segment s;
	char text[4];

	T_OK(mp__pool_segment_create(1, 4, &s));
	T_OK(mp__pool_payload_write(&s, 0, MP__POOL_PAYLOAD_RESULT, "abc", 4));
	T_OK(mp__pool_payload_write(&s, 3, MP__POOL_PAYLOAD_ARGS, "def", 4));
	T_OK(mp__pool_payload_read(&s, 0, MP__POOL_PAYLOAD_RESULT, text, 4));
	cr_assert_str_eq(text, "abc");
	T_RESULT(mp__pool_payload_read(&s, 3, MP__POOL_PAYLOAD_ARGS, text, 5), -EBADMSG);
	mp__pool_payload_drop(&s, 0, MP__POOL_PAYLOAD_RESULT);
	T_OK(mp__pool_payload_read(&s, 0, MP__POOL_PAYLOAD_RESULT, text, 4));
	cr_assert_eq(text[0], 0);
	T_RESULT(mp__pool_payload_write(&s, 0, MP__POOL_PAYLOAD_ARGS, text, (2ULL << 30) + 1),
		-EMSGSIZE);
	mp__pool_segment_close(&s);
}

/* --- a worker gone mad ------------------------------------------------------------------------ */

static mp_pool *pool_with_stopped_worker(void)
{
	mp_pool *pool = t_pool(1);

	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(2))), 4);
	t_pool_stop_first(pool);
	return pool;
}

/* The slot of the only task, as if the worker had finished it. */
static struct mp__pool_slot *finish_by_hand(mp_pool *pool, int32_t result, uint32_t size)
{
	struct mp__pool_slot *slot = &pool->seg.slots[0];
	uint32_t generation = mp__pool_state_generation(atomic_load(&slot->state));

	slot->result = result;
	slot->result_size = size;
	memset(slot->bytes, 0xff, sizeof(slot->bytes));
	atomic_store(&slot->next_done, MP__POOL_NONE);
	atomic_store(&slot->state, mp__pool_state(generation, 0, MP__POOL_DONE));
	atomic_store(&pool->seg.header->done, 0);
	return slot;
}

static void expect_bad_result(int32_t result, uint32_t size, int error, int state)
{
	mp_pool *pool = pool_with_stopped_worker();
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	mp_obj value;

	finish_by_hand(pool, result, size);
	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, &value), error);
	T_RESULT(mp_future_state(f), state);
	mp_future_close(f);
	T_OK(mp_pool_close(pool));
}

Test(pool_segment, result_of_impossible_size)
{
	expect_bad_result(0, UINT32_MAX, -EBADMSG, MP_FUTURE_FAILED);
	expect_bad_result(0, MP__POOL_PAYLOAD_MAX + 1, -EBADMSG, MP_FUTURE_FAILED);
}

Test(pool_segment, result_that_is_not_there)
{
	expect_bad_result(0, 1000, -EBADMSG, MP_FUTURE_FAILED);
}

Test(pool_segment, test_error_during_result_unpickle_in_result_handler)
{
	expect_bad_result(0, 20, -EBADMSG, MP_FUTURE_DONE);
}

Test(pool_segment, results_of_a_map_that_are_none)
{
	mp_pool *pool = pool_with_stopped_worker();
	mp_obj items[] = {mp_i64(3), mp_i64(4)};
	mp_future *f;
	mp_obj list;

	T_OK(mp_pool_map_async(pool, t_square, items, 2, MP_MAP_OPTIONS(.chunk = 2), &f));
	finish_by_hand(pool, 0, 20);
	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, &list), -EBADMSG);
	mp_future_close(f);
	T_OK(mp_pool_close(pool));
}

Test(pool_segment, sentence_of_impossible_size)
{
	expect_bad_result(-EIO, UINT32_MAX, -EIO, MP_FUTURE_FAILED);
}

Test(pool_segment, done_list_that_leads_nowhere)
{
	mp_pool *pool = pool_with_stopped_worker();
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	static const uint32_t nonsense[] = {1, 127, 128, 70000, 0xfffffffe};

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		atomic_store(&pool->seg.header->done, nonsense[i]);
		T_RESULT(mp_future_state(f), MP_FUTURE_PENDING);
	}
	/* Not finished, though it says so; and a list that bites its tail. */
	atomic_store(&pool->seg.header->done, 0);
	T_RESULT(mp_future_state(f), MP_FUTURE_PENDING);
	struct mp__pool_slot *slot = finish_by_hand(pool, -EIO, 3);
	atomic_store(&slot->next_done, 0);
	T_RESULT(mp_future_result(f, T_TIMEOUT_MS, NULL), -EIO);
	mp_future_close(f);
	T_OK(mp_pool_close(pool));
}

Test(pool_segment, stale_generation_is_nobodys_result)
{
	mp_pool *pool = pool_with_stopped_worker();
	mp_future *f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	struct mp__pool_slot *slot = &pool->seg.slots[0];
	uint64_t before = atomic_load(&slot->state);

	atomic_store(&slot->state, mp__pool_state(99, 0, MP__POOL_DONE));
	atomic_store(&pool->seg.header->done, 0);
	T_RESULT(mp_future_result(f, 10, NULL), -ETIMEDOUT);
	atomic_store(&slot->state, before);
	T_OK(mp_process_signal(pool->places[0].process, SIGCONT));
	t_expect_i64(f, 9);
	t_pool_end(pool);
}

Test(pool_segment, function_that_the_worker_does_not_find)
{
	mp_pool *pool = pool_with_stopped_worker();
	mp_future *f = t_submit(pool, t_echo, MP_ARGS(mp_i64(3)));
	mp_future *g = t_submit(pool, t_fail_at_13, MP_ARGS(mp_i64(3)));
	mp_future *h = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));

	/* Three functions are known, in this order: square, echo, fail_at_13. */
	pool->seg.tasks[1].target.id[0] ^= 1;
	pool->seg.tasks[2].target.id_kind = 99;
	pool->seg.slots[2].task = MP__POOL_TASKS_MAX;
	T_OK(mp_process_signal(pool->places[0].process, SIGCONT));
	t_expect_error(f, -ENOEXEC, MP_FUTURE_FAILED, "");
	t_expect_error(g, -EBADMSG, MP_FUTURE_FAILED, "");
	t_expect_error(h, -EBADMSG, MP_FUTURE_FAILED, "does not exist");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
}

Test(pool_segment, test_error_at_task_unpickle)
{
	mp_pool *pool = pool_with_stopped_worker();
	mp_future *futures[4];

	for (int i = 0; i < 4; i++)
		futures[i] = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	pool->seg.slots[0].args_size = UINT32_MAX;
	pool->seg.slots[1].args_size = 1000; /* nothing was written there */
	memset(pool->seg.slots[2].bytes, 0xff, sizeof(pool->seg.slots[2].bytes));
	pool->seg.slots[3].kind = MP__POOL_MAP;
	pool->seg.slots[3].n_items = 1000;
	T_OK(mp_process_signal(pool->places[0].process, SIGCONT));
	t_expect_error(futures[0], -ENOMEM, MP_FUTURE_FAILED, "");
	for (int i = 1; i < 4; i++)
		t_expect_error(futures[i], -EBADMSG, MP_FUTURE_FAILED, "");
	t_pool_end(pool);
}

static int no_more_fds(int argc, const mp_obj *argv, mp_obj *ret)
{
	struct rlimit none = {0};

	(void)argc, (void)argv, (void)ret;
	return setrlimit(RLIMIT_NOFILE, &none) < 0 ? -errno : 0;
}

Test(pool_segment, worker_without_room_for_descriptors)
{
	mp_pool *pool;
	int ends[2];

	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .initializer = no_more_fds), &pool));
	for (int i = 0; i < 3; i++)
		t_expect_error(t_submit(pool, t_write_pid, MP_ARGS(mp_fd(ends[1]))), -EMFILE,
			MP_FUTURE_FAILED, "no room for 1 descriptors");
	t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(3))), 9);
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

static int scribble(int argc, const mp_obj *argv, mp_obj *ret)
{
	mp_pool *pool;

	/* A forked worker still has the owner's mapping. */
	(void)argc, (void)ret;
	memcpy(&pool, argv[0].as.bytes, sizeof(pool));
	memset((char *)pool->seg.header + sizeof(struct mp__pool_header), 0xa5,
		pool->seg.n_workers * sizeof(struct mp__pool_worker));
	atomic_store(&pool->seg.header->head, UINT64_MAX);
	atomic_store(&pool->seg.header->bell, 0xa5a5a5a5);
	_exit(1);
}

Test(pool_segment, owner_survives_a_worker_that_scribbles)
{
	mp_pool *pool = t_pool(1);
	mp_future *f = t_submit(pool, scribble, MP_ARGS(mp_bytes(&pool, sizeof(pool))));

	t_expect_error(f, -EOWNERDEAD, MP_FUTURE_CRASHED, "exited with code 1");
	/* What it did to the queue may stop the pool; nobody waits longer than he said. */
	f = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	mp_future_result(f, 100, NULL);
	T_OK(mp_pool_close(pool));
	mp_future_close(f);
}
