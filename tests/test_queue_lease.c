/* SPDX-License-Identifier: MIT */
/* Leases: acknowledged, given back, taken from the dead; and messages that are set aside. */
#include <config.h>

#include "tests/support/support.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>
#include <sys/mman.h>

#include "tests/support/queues.h"
#include "tests/support/starts.h"

#include "queue/store.h"

T_SUITE(queue_lease);

static mp_queue *leased_queue(void)
{
	return make(MP_QUEUE_OPTIONS(.leases = true));
}

static void put(mp_queue *q, int64_t n)
{
	T_OK(mp_queue_put(q, mp_i64(n), MP_NOWAIT));
}

/* A number and its lease. */
static int64_t lease(mp_queue *q, mp_lease *ret_lease)
{
	mp_obj value;

	T_OK(mp_queue_lease(q, T_TIMEOUT_MS, &value, ret_lease));
	int64_t n = mp_obj_i64(&value);
	mp_obj_free(&value);
	return n;
}

/* --- one consumer --------------------------------------------------------------------------------- */

Test(queue_lease, an_acknowledged_message_is_gone)
{
	mp_queue *q = leased_queue();
	mp_lease a;
	mp_lease b;
	mp_obj value;

	put(q, 1);
	put(q, 2);
	cr_assert_eq(lease(q, &a), 1);
	cr_assert_eq(a.deliveries, 1);
	cr_assert_not(a.redelivered);
	cr_assert_eq(mp_queue_size(q), 1);
	cr_assert_eq(mp_queue_leased(q), 1);
	cr_assert_gt(mp_queue_bytes(q), 128, "what is leased takes memory");
	cr_assert_eq(lease(q, &b), 2);
	cr_assert_neq(a.id, b.id);
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EAGAIN);
	T_OK(mp_queue_ack(q, b));
	T_OK(mp_queue_ack(q, a));
	cr_assert_eq(mp_queue_leased(q), 0);
	cr_assert_eq(mp_queue_bytes(q), 0);
	T_RESULT(mp_queue_lease(q, MP_NOWAIT, &value, &a), -EAGAIN);
	mp_queue_close(q);
}

Test(queue_lease, what_is_given_back_comes_again_and_says_so)
{
	mp_queue *q = leased_queue();
	mp_lease a;

	put(q, 1);
	put(q, 2);
	for (uint32_t i = 1; i < 5; i++) {
		cr_assert_eq(lease(q, &a), 1, "it comes before what was put later");
		cr_assert_eq(a.deliveries, i);
		cr_assert_eq(a.redelivered, i > 1);
		T_OK(mp_queue_nack(q, a));
		cr_assert_eq(mp_queue_size(q), 2);
	}
	cr_assert_eq(get_i64(q), 1, "a get takes it without a lease");
	cr_assert_eq(mp_queue_leased(q), 0);
	mp_queue_close(q);
}

Test(queue_lease, in_every_order)
{
	for (int order = MP_QUEUE_FIFO; order <= MP_QUEUE_PRIORITY; order++) {
		mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .order = order));
		mp_lease a;
		mp_lease b;
		for (int i = 0; i < 3; i++) {
			if (order == MP_QUEUE_PRIORITY)
				T_OK(mp_queue_put_priority(q, mp_i64(i), -i, MP_NOWAIT));
			else
				put(q, i);
		}
		int first = order == MP_QUEUE_FIFO ? 0 : 2;
		cr_assert_eq(lease(q, &a), first);
		cr_assert_eq(lease(q, &b), 1);
		T_OK(mp_queue_nack(q, b));
		T_OK(mp_queue_nack(q, a));
		cr_assert_eq(get_i64(q), first);
		cr_assert_eq(get_i64(q), 1);
		cr_assert_eq(get_i64(q), 2 - first);
		mp_queue_close(q);
	}
}

Test(queue_lease, bytes_and_values)
{
	mp_queue *q = leased_queue();
	mp_obj value;
	mp_lease a;
	void *data;
	size_t size;

	T_OK(mp_queue_put_bytes(q, "some bytes", 10, MP_NOWAIT));
	T_OK(mp_queue_put(q, MP_LIST(mp_i64(1), mp_str("two")), MP_NOWAIT));
	T_OK(mp_queue_lease_bytes(q, MP_NOWAIT, &data, &size, &a));
	cr_assert_eq(size, 10);
	cr_assert_str_eq(data, "some bytes");
	free(data);
	T_OK(mp_queue_nack(q, a));
	T_OK(mp_queue_lease(q, MP_NOWAIT, &value, &a));
	cr_assert_eq(value.type, MP_TYPE_BYTES);
	mp_obj_free(&value);
	T_OK(mp_queue_ack(q, a));
	T_OK(mp_queue_lease(q, MP_NOWAIT, &value, &a));
	cr_assert_eq(value.type, MP_TYPE_LIST);
	mp_obj_free(&value);
	T_OK(mp_queue_ack(q, a));
	mp_queue_close(q);
}

Test(queue_lease, what_is_no_value_goes_with_an_error)
{
	mp_queue *q = leased_queue();
	struct mp__ring_record record;
	struct mp__store_block *block;
	mp_obj value;
	mp_lease a = {.id = 77};

	put(q, 1);
	cr_assert(mp__store_message(q, q->store->slots[0][0], &record, &block));
	block->data[0] = (char)0xff;
	T_RESULT(mp_queue_lease(q, MP_NOWAIT, &value, &a), -EBADMSG);
	cr_assert_eq(a.id, 77, "outputs are written on success only");
	cr_assert_eq(mp_queue_bytes(q), 0);
	mp_queue_close(q);
}

/* --- poison --------------------------------------------------------------------------------------- */

Test(queue_lease, after_the_last_delivery_it_is_set_aside)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 2));
	mp_obj value;
	mp_lease a;

	put(q, 1);
	put(q, 2);
	cr_assert_eq(lease(q, &a), 1);
	T_OK(mp_queue_nack(q, a));
	cr_assert_eq(mp_queue_poison_count(q), 0);
	T_RESULT(mp_queue_poison_get(q, &value), -EAGAIN);
	cr_assert_eq(lease(q, &a), 1);
	T_OK(mp_queue_nack(q, a));
	cr_assert_eq(mp_queue_poison_count(q), 1);
	cr_assert_eq(mp_queue_size(q), 1);
	cr_assert_eq(lease(q, &a), 2, "the others go on");
	T_OK(mp_queue_ack(q, a));
	cr_assert_gt(mp_queue_bytes(q), 128, "what is set aside takes memory");
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	cr_assert_eq(mp_queue_poison_count(q), 1);
	T_OK(mp_queue_poison_get(q, &value));
	cr_assert_eq(mp_obj_i64(&value), 1);
	mp_obj_free(&value);
	cr_assert_eq(mp_queue_poison_count(q), 0);
	cr_assert_eq(mp_queue_bytes(q), 0);
	T_RESULT(mp_queue_poison_get(q, &value), -EAGAIN);
	mp_queue_close(q);
}

Test(queue_lease, many_are_set_aside)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 1));
	bool seen[300] = {false};
	mp_obj value;
	mp_lease a;

	for (int i = 0; i < 300; i++)
		put(q, i);
	for (int i = 0; i < 300; i++) {
		(void)lease(q, &a);
		T_OK(mp_queue_nack(q, a));
	}
	cr_assert_eq(mp_queue_poison_count(q), 300);
	for (int i = 0; i < 300; i++) {
		T_OK(mp_queue_poison_get(q, &value));
		cr_assert_not(seen[mp_obj_i64(&value)]);
		seen[mp_obj_i64(&value)] = true;
		mp_obj_free(&value);
	}
	cr_assert_eq(mp_queue_bytes(q), 0);
	mp_queue_close(q);
}

Test(queue_lease, poison_that_is_no_value)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 1));
	struct mp__ring_record record;
	struct mp__store_block *block;
	mp_obj value;
	mp_lease a;

	put(q, 1);
	cr_assert(mp__store_message(q, q->store->slots[0][0], &record, &block));
	(void)lease(q, &a);
	T_OK(mp_queue_nack(q, a));
	block->data[0] = (char)0xff;
	T_RESULT(mp_queue_poison_get(q, &value), -EBADMSG);
	T_RESULT(mp_queue_poison_get(q, &value), -EAGAIN);
	mp_queue_close(q);
}

/* --- wrong use ------------------------------------------------------------------------------------ */

static int foreign(void *argument)
{
	mp_queue *q = ((void **)argument)[0];
	const mp_lease *a = ((void **)argument)[1];

	T_CHECK(mp_queue_ack(q, *a) == -EPERM);
	T_CHECK(mp_queue_nack(q, *a) == -EPERM);
	return 0;
}

Test(queue_lease, a_lease_ends_once_and_for_its_process)
{
	mp_queue *q = leased_queue();
	mp_lease old;
	mp_lease a;

	put(q, 1);
	cr_assert_eq(lease(q, &a), 1);
	void *argument[] = {q, &a};
	struct t_child c = t_spawn(foreign, argument);
	t_expect_exit(&c, 0);
	T_OK(mp_queue_nack(q, a));
	T_RESULT(mp_queue_nack(q, a), -ESTALE);
	T_RESULT(mp_queue_ack(q, a), -ESTALE);
	old = a;
	cr_assert_eq(lease(q, &a), 1);
	T_RESULT(mp_queue_ack(q, old), -ESTALE);
	T_OK(mp_queue_ack(q, a));
	T_RESULT(mp_queue_ack(q, a), -ESTALE);
	put(q, 2);
	T_RESULT(mp_queue_ack(q, a), -ESTALE);
	cr_assert_eq(get_i64(q), 2);
	mp_queue_close(q);
}

Test(queue_lease, what_is_no_lease)
{
	mp_queue *q = leased_queue();
	mp_queue *plain = make(NULL);
	mp_queue *lifo = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	mp_lease a = {.id = 0};
	mp_obj value;
	void *data;
	size_t size;

	T_RESULT(mp_queue_ack(q, a), -EINVAL);
	a.id = 12345;
	T_RESULT(mp_queue_nack(q, a), -EINVAL);
	a.id = UINT64_MAX;
	T_RESULT(mp_queue_ack(q, a), -EINVAL);
	a.id = 7;
	T_RESULT(mp_queue_ack(q, a), -ESTALE);
	T_RESULT(mp_queue_ack(NULL, a), -EINVAL);
	T_RESULT(mp_queue_lease(q, MP_NOWAIT, &value, NULL), -EINVAL);
	T_RESULT(mp_queue_poison_get(q, NULL), -EINVAL);
	T_OK(mp_queue_put(plain, mp_i64(1), MP_NOWAIT));
	T_OK(mp_queue_put(lifo, mp_i64(1), MP_NOWAIT));
	mp_queue *without[] = {plain, lifo, NULL};
	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_queue_lease(without[i], MP_NOWAIT, &value, &a), -EINVAL);
		T_RESULT(mp_queue_lease_bytes(without[i], MP_NOWAIT, &data, &size, &a), -EINVAL);
		T_RESULT(mp_queue_ack(without[i], a), -EINVAL);
		T_RESULT(mp_queue_nack(without[i], a), -EINVAL);
		T_RESULT(mp_queue_poison_get(without[i], &value), -EINVAL);
		cr_assert_eq(mp_queue_leased(without[i]), 0);
		cr_assert_eq(mp_queue_poison_count(without[i]), 0);
	}
	mp_queue_close(plain);
	mp_queue_close(lifo);
	mp_queue_close(q);
	T_RESULT(mp_queue_new(MP_QUEUE_OPTIONS(.max_deliveries = 3), &q), -EINVAL);
}

/* --- the dead ------------------------------------------------------------------------------------- */

static int lease_and_hang(void *argument)
{
	mp_obj value;
	mp_lease a;

	for (int i = 0; i < 3; i++)
		T_CHECK(mp_queue_lease(argument, T_TIMEOUT_MS, &value, &a) == 0);
	t_ready();
	t_hang();
}

Test(queue_lease, what_the_dead_had_comes_back)
{
	mp_queue *q = leased_queue();
	mp_obj value;
	mp_lease a;

	for (int i = 0; i < 5; i++)
		put(q, i);
	struct t_child c = t_spawn(lease_and_hang, q);
	t_wait_ready(&c);
	cr_assert_eq(mp_queue_leased(q), 3);
	cr_assert_eq(get_i64(q), 3);
	cr_assert_eq(get_i64(q), 4);
	T_RESULT(mp_queue_lease(q, MP_NOWAIT, &value, &a), -EAGAIN); /* it lives */
	t_kill(&c, SIGKILL);
	for (int i = 0; i < 3; i++) {
		T_OK(mp_queue_lease(q, i == 0 ? MP_NOWAIT : T_TIMEOUT_MS, &value, &a));
		cr_assert_eq(mp_obj_i64(&value), i);
		cr_assert_eq(a.deliveries, 2);
		cr_assert(a.redelivered);
		T_OK(mp_queue_ack(q, a));
		mp_obj_free(&value);
	}
	mp_queue_close(q);
}

static int take_three(void *argument)
{
	mp_obj value;
	mp_lease a;

	t_ready();
	for (int i = 0; i < 3; i++) {
		T_CHECK(mp_queue_lease(argument, T_TIMEOUT_MS, &value, &a) == 0);
		T_CHECK(a.redelivered && mp_obj_i64(&value) == i);
		T_CHECK(mp_queue_ack(argument, a) == 0);
	}
	return 0;
}

Test(queue_lease, who_sleeps_in_a_get_finds_the_dead)
{
	mp_queue *q = leased_queue();

	for (int i = 0; i < 3; i++)
		put(q, i);
	struct t_child c = t_spawn(lease_and_hang, q);
	t_wait_ready(&c);
	struct t_child other = t_spawn(take_three, q);
	t_wait_ready(&other);
	wait_for_sleeper(&q->control->items_bell);
	t_kill(&c, SIGKILL);
	t_expect_exit(&other, 0);
	mp_queue_close(q);
}

Test(queue_lease, a_queue_that_is_never_empty_gives_back_what_the_dead_had)
{
	mp_queue *q = leased_queue();
	mp_lease a = {0};
	int64_t n = -1;

	for (int i = 0; i < 3; i++)
		put(q, i);
	struct t_child c = t_spawn(lease_and_hang, q);
	t_wait_ready(&c);
	t_kill(&c, SIGKILL);
	int64_t end = mp__now_ns() + T_TIMEOUT_MS * INT64_C(1000000);
	put(q, 3);
	while (!a.redelivered && mp__now_ns() < end) {
		put(q, 3);
		n = lease(q, &a);
		T_OK(mp_queue_ack(q, a));
	}
	cr_assert(a.redelivered, "there was something to get all the time");
	cr_assert_eq(n, 0);
	mp_queue_close(q);
}

Test(queue_lease, a_message_that_kills_is_set_aside)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 2));
	mp_obj value;

	for (int i = 0; i < 3; i++)
		put(q, i);
	for (int i = 0; i < 2; i++) {
		struct t_child c = t_spawn(lease_and_hang, q);
		t_wait_ready(&c);
		t_kill(&c, SIGKILL);
		if (i == 0)
			T_RESULT(mp_queue_leased(q), 3);
	}
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EAGAIN);
	cr_assert_eq(mp_queue_poison_count(q), 3);
	cr_assert_eq(mp_queue_leased(q), 0);
	mp_queue_close(q);
}

Test(queue_lease, waiting_for_several_things_finds_the_dead)
{
	mp_queue *q = leased_queue();
	mp_waitable items[] = {MP_WAIT(q)};

	for (int i = 0; i < 3; i++)
		put(q, i);
	struct t_child c = t_spawn(lease_and_hang, q);
	t_wait_ready(&c);
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 0);
	t_kill(&c, SIGKILL);
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	cr_assert_eq(mp_queue_size(q), 3);
	mp_queue_close(q);
}

/* --- the end -------------------------------------------------------------------------------------- */

static int drain(void *argument)
{
	mp_obj value;
	mp_lease a;
	int n = 0;
	int r;

	t_ready();
	while ((r = mp_queue_lease(argument, T_TIMEOUT_MS, &value, &a)) == 0) {
		T_CHECK(mp_queue_ack(argument, a) == 0);
		n++;
	}
	T_CHECK(r == -EPIPE);
	return n;
}

/* A drain is over when nothing can come back: this process may yet give back what it has. */
Test(queue_lease, who_drains_waits_for_leases_of_others)
{
	mp_queue *q = leased_queue();
	mp_waitable items[] = {MP_WAIT(q)};
	mp_obj value;
	mp_lease a;
	mp_lease b;

	put(q, 1);
	put(q, 2);
	(void)lease(q, &a);
	(void)lease(q, &b);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_RESULT(mp_queue_lease(q, MP_FOREVER, &value, &a), -EPIPE); /* not for one's own */
	struct t_child c = t_spawn(drain, q);
	t_wait_ready(&c);
	wait_for_sleeper(&q->control->items_bell);
	T_OK(mp_queue_nack(q, a));
	T_OK(mp_queue_ack(q, b));
	t_expect_exit(&c, 1);
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 1);
	mp_queue_close(q);
}

static int see_not_ready(void *argument)
{
	mp_waitable items[] = {MP_WAIT((mp_queue *)argument)};
	mp_obj value;

	T_CHECK(mp_wait(items, 1, 20) == 0);
	T_CHECK(mp_queue_get(argument, MP_NOWAIT, &value) == -EAGAIN);
	T_CHECK(mp_queue_get(argument, 20, &value) == -ETIMEDOUT);
	return 0;
}

Test(queue_lease, a_drained_queue_with_leases_of_others_is_not_ready)
{
	mp_queue *q = leased_queue();
	mp_lease a;

	put(q, 1);
	(void)lease(q, &a);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	struct t_child c = t_spawn(see_not_ready, q);
	t_expect_exit(&c, 0);
	T_OK(mp_queue_ack(q, a));
	mp_queue_close(q);
}

Test(queue_lease, at_an_immediate_end_what_is_given_back_is_dropped)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .joinable = true));
	mp_lease a;
	mp_lease b;

	for (int i = 0; i < 3; i++)
		put(q, i);
	(void)lease(q, &a);
	(void)lease(q, &b);
	T_OK(mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE));
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	T_OK(mp_queue_nack(q, a));
	T_OK(mp_queue_ack(q, b));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	cr_assert_eq(mp_queue_bytes(q), 0);
	mp_queue_close(q);
}

/* --- limits, joining ------------------------------------------------------------------------------ */

Test(queue_lease, leases_make_room_for_messages_not_for_bytes)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .maxsize = 1, .max_bytes = 600));
	char data[100] = "";
	mp_obj value;
	mp_lease a[3];

	for (int i = 0; i < 2; i++) {
		T_OK(mp_queue_put_bytes(q, data, 100, MP_NOWAIT));
		T_RESULT(mp_queue_put_bytes(q, data, 100, MP_NOWAIT), -EAGAIN);
		T_OK(mp_queue_lease(q, MP_NOWAIT, &value, &a[i]));
		mp_obj_free(&value);
	}
	T_RESULT(mp_queue_put_bytes(q, data, 100, MP_NOWAIT), -EAGAIN); /* bytes */
	T_OK(mp_queue_nack(q, a[0]));
	T_OK(mp_queue_nack(q, a[1]));
	cr_assert_eq(mp_queue_size(q), 2, "more than maxsize have come back");
	cr_assert(mp_queue_full(q));
	mp_queue_close(q);
}

static int ack_later(void *argument)
{
	mp_obj value;
	mp_lease a;

	T_CHECK(mp_queue_lease(argument, T_TIMEOUT_MS, &value, &a) == 0);
	t_ready();
	wait_for_sleeper(&((mp_queue *)argument)->control->done_bell);
	T_CHECK(mp_queue_ack(argument, a) == 0);
	return 0;
}

Test(queue_lease, a_join_waits_until_leases_are_acknowledged)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .joinable = true));
	mp_lease a;

	put(q, 1);
	(void)lease(q, &a);
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_queue_join(q, 20), -ETIMEDOUT);
	T_RESULT(mp_queue_task_done(q), -ERANGE); /* the lease is what is to be ended */
	T_OK(mp_queue_ack(q, a));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	put(q, 2);
	struct t_child c = t_spawn(ack_later, q);
	t_wait_ready(&c);
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	t_expect_exit(&c, 0);
	/* Without a lease as ever. */
	put(q, 3);
	(void)get_i64(q);
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	T_OK(mp_queue_task_done(q));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
}

/* Nobody is there to get the message again: it is set aside, and then done. */
Test(queue_lease, a_join_finds_the_dead)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .joinable = true, .max_deliveries = 1));

	for (int i = 0; i < 3; i++)
		put(q, i);
	struct t_child c = t_spawn(lease_and_hang, q);
	t_wait_ready(&c);
	t_kill(&c, SIGKILL);
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	cr_assert_eq(mp_queue_poison_count(q), 3);
	mp_queue_close(q);
}

Test(queue_lease, an_ack_makes_room_for_who_waits)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .max_bytes = 200));
	mp_lease a;

	put(q, 1);
	(void)lease(q, &a);
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, get_in_thread, q), 0);
	T_RESULT(mp_queue_put(q, mp_i64(2), MP_NOWAIT), -EAGAIN);
	T_OK(mp_queue_ack(q, a));
	T_OK(mp_queue_put(q, mp_i64(2), MP_NOWAIT));
	T_RESULT(joined(thread), 2);
	mp_queue_close(q);
}

/* --- handles -------------------------------------------------------------------------------------- */

Test(queue_lease, leases_travel_with_the_handle)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 1));
	struct mp__handle_wire wire;
	struct mp__handle *handle;
	mp_lease a;

	T_OK(mp__queue_class.export(&q->handle, &wire));
	for (size_t i = 0; i < wire.n_fds; i++)
		wire.fds[i] = fcntl(wire.fds[i], F_DUPFD_CLOEXEC, 3);
	T_OK(mp__queue_class.import(&wire, &handle));
	mp_queue *other = (mp_queue *)handle;
	put(q, 1);
	(void)lease(other, &a);
	mp_queue_close(other);
	/* The lease is the process's, not the handle's. */
	T_OK(mp_queue_nack(q, a));
	cr_assert_eq(mp_queue_poison_count(q), 1);
	mp_queue_close(q);
}

/* A worker that leases, gives back, puts, and ends over what it has leased. */
static int lease_and_end(int argc, const mp_obj *argv)
{
	mp_queue *q = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;
	mp_obj value;
	mp_lease a;

	T_CHECK(mp_queue_lease(q, T_TIMEOUT_MS, &value, &a) == 0 && mp_obj_i64(&value) == 1);
	T_CHECK(mp_queue_ack(q, a) == 0);
	T_CHECK(mp_queue_put_priority(q, mp_i64(3), 3, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_queue_lease(q, T_TIMEOUT_MS, &value, &a) == 0 && mp_obj_i64(&value) == 2);
	return 0;
}

EACH_METHOD(queue_lease, a_worker_ends_over_its_lease)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY, .leases = true));
	mp_lease a;

	T_OK(mp_queue_put_priority(q, mp_i64(2), 2, MP_NOWAIT));
	T_OK(mp_queue_put_priority(q, mp_i64(1), 1, MP_NOWAIT));
	finish(start(lease_and_end, MP_ARGS(mp_handle(q)), BY(method)), 0);
	cr_assert_eq(lease(q, &a), 2, "what the dead had is as urgent as it was");
	cr_assert(a.redelivered);
	T_OK(mp_queue_ack(q, a));
	cr_assert_eq(lease(q, &a), 3);
	T_OK(mp_queue_ack(q, a));
	mp_queue_close(q);
}
