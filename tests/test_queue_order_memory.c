/* SPDX-License-Identifier: MIT */
/* Ordered and leased queues: the memory that many messages needed goes back when they are gone. */
#include <config.h>

#include "tests/support/orders.h"
#include "tests/support/stores.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define SUITE queue_order_memory
T_SUITE(queue_order_memory);

/* More than what stays of the table has room for. */
#define MANY 20000
#define MANY_CHUNKS 9
/* What the heap keeps of what is free, at most, and the part of the table that stays. */
#define STAYS (10 << 20)

static uint64_t memory(mp_queue *q)
{
	struct stat st;

	cr_assert_eq(fstat(q->segment.fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static int put_many(mp_queue *q)
{
	for (int i = 0; i < MANY; i++)
		T_CHECK(put(q, i, T_TIMEOUT_MS) == 0);
	return 0;
}

static int get_many(mp_queue *q)
{
	for (int i = 0; i < MANY; i++) {
		int r;
		int64_t n = get(q, T_TIMEOUT_MS, &r);
		T_CHECK(r == 0);
		T_CHECK(n == (q->store->order == MP_QUEUE_LIFO ? MANY - 1 - i : i));
	}
	return 0;
}

static int wait_in_vain(mp_queue *q)
{
	mp_obj value;

	return mp_queue_get(q, 300, &value) == -ETIMEDOUT ? 0 : 1;
}

BOTH(memory_grows_and_is_given_back_when_drained)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
	char *data = calloc(1, 100000);
	size_t size;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 400; i++)
			T_OK(mp_queue_put_bytes(q, data, 100000, 0));
		cr_assert_geq(memory(q), 40000000);
		for (int i = 0; i < 400; i++)
			T_OK(mp_queue_get_bytes_into(q, data, 100000, 0, &size));
		cr_assert_leq(memory(q), STAYS);
	}
	free(data);
	mp_queue_close(q);
}

BOTH(the_table_goes_when_a_getter_waits_in_vain)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));

	for (int round = 0; round < 2; round++) {
		cr_assert_eq(put_many(q), 0);
		cr_assert_eq(q->store->n_chunks, MANY_CHUNKS);
		cr_assert_eq(get_many(q), 0);
		cr_assert_eq(wait_in_vain(q), 0);
		cr_assert_eq(q->store->n_chunks, MP__STORE_CHUNKS_KEPT);
		T_OK(mp_heap_check(q->store->heap));
		cr_assert_leq(memory(q), STAYS);
	}
	mp_queue_close(q);
}

Test(queue_order_memory, messages_that_are_leased_or_set_aside_keep_it)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true));
	mp_lease lease, old;
	mp_obj value;

	cr_assert_eq(put_many(q), 0);
	for (int i = 0; i < MANY - 1; i++) {
		T_OK(mp_queue_lease(q, 0, &value, &old));
		mp_obj_free(&value);
		T_OK(mp_queue_ack(q, old));
	}
	T_OK(mp_queue_lease(q, 0, &value, &lease));
	mp_obj_free(&value);
	T_RESULT(mp_queue_lease(q, 300, &value, &old), -ETIMEDOUT);
	cr_assert_eq(q->store->n_chunks, MANY_CHUNKS);
	T_OK(mp_queue_ack(q, lease));
	T_RESULT(mp_queue_lease(q, 300, &value, &old), -ETIMEDOUT);
	cr_assert_eq(q->store->n_chunks, MP__STORE_CHUNKS_KEPT);
	/* The place that it had is gone; it is known all the same. */
	T_RESULT(mp_queue_ack(q, lease), -ESTALE);
	T_RESULT(mp_queue_ack(q, (mp_lease){.id = UINT64_MAX}), -EINVAL);
	mp_queue_close(q);
}

static int shrink_and_fill_again(void *queue)
{
	T_CHECK(wait_in_vain(queue) == 0);
	return put_many(queue);
}

/* As large as before, and elsewhere. */
BOTH(others_see_that_the_table_is_another_one)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));

	cr_assert_eq(put_many(q), 0);
	cr_assert_eq(get_many(q), 0);
	void *before = q->store->entries[MANY_CHUNKS - 1];
	struct t_child c = t_spawn(shrink_and_fill_again, q);
	t_expect_exit(&c, 0);
	cr_assert_eq(q->store->entries[MANY_CHUNKS - 1], before, "it has not looked yet");
	cr_assert_eq(get_many(q), 0);
	cr_assert_eq(q->store->n_chunks, MANY_CHUNKS);
	cr_assert_eq(wait_in_vain(q), 0);
	cr_assert(store_has_no_messages(q), "%s", describe_blocks(q));
	mp_queue_close(q);
}

static int fill_and_drain(void *queue)
{
	T_CHECK(put_many(queue) == 0 && get_many(queue) == 0);
	return wait_in_vain(queue);
}

BOTH(killed_while_the_table_shrinks)
{
	static const char *const points[] = {"store.shrink.adopted", "store.shrink.generation",
		"store.shrink.shrunk", "store.shrink.free"};

	t_need_points();
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		mp_queue *q = make(MP_QUEUE_OPTIONS(.order = order));
		t_die_at(points[i], "kill", fill_and_drain, q);
		for (int round = 0; round < 2; round++) {
			cr_assert_eq(put_many(q), 0);
			cr_assert_eq(get_many(q), 0);
			cr_assert_eq(wait_in_vain(q), 0);
			cr_assert_eq(q->store->n_chunks, MP__STORE_CHUNKS_KEPT);
		}
		T_OK(mp_heap_check(q->store->heap));
		cr_assert(store_has_no_messages(q), "%s: %s", points[i], describe_blocks(q));
		cr_assert_leq(memory(q), STAYS);
		mp_queue_close(q);
	}
}
