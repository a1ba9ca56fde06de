/* SPDX-License-Identifier: MIT */
/*
 * What CPython's own tests check of queue.Queue and queue.SimpleQueue, under their names, as far as no
 * other file has it; and what makes Python's queues hang, lie or leak.
 */
#include <config.h>

#include "tests/support/queues.h"

#include "base/cleanup.h"

#include <sched.h>

T_SUITE(queue_python);

/* --- before main() ---------------------------------------------------------------------------------- */

static int before_main = 1;

/* In Python an import holds a lock that the queue's own thread wants, too. */
__attribute__((constructor)) static void use_a_queue(void)
{
	mp_queue *q;
	mp_obj value;

	before_main = mp_queue_new(NULL, &q);
	if (before_main < 0)
		return;
	before_main = mp_queue_put(q, mp_str("knock knock"), 3000);
	if (before_main == 0)
		before_main = mp_queue_get(q, 3000, &value);
	if (before_main == 0)
		mp_obj_free(&value);
	mp_queue_close(q);
}

Test(queue_python, test_no_import_lock_contention)
{
	T_OK(before_main);
}

/* --- puts that fail --------------------------------------------------------------------------------- */

/* There is no thread that finds out later: it is the put that fails, and its caller has the item. */
Test(queue_python, test_queue_feeder_on_queue_feeder_error)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 1, .joinable = true));

	T_RESULT(mp_queue_put(q, MP_LIST(mp_i64(1), mp_fd(0)), MP_FOREVER), -ENOTSUP);
	cr_assert_neq(mp_error_detail()[0], '\0');
	T_OK(mp_queue_put(q, mp_i64(2), MP_NOWAIT));
	cr_assert_eq(get_i64(q), 2);
	T_OK(mp_queue_task_done(q));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
}

Test(queue_python, test_failing_queue)
{
	static const int orders[] = {MP_QUEUE_FIFO, MP_QUEUE_LIFO, MP_QUEUE_PRIORITY};
	char large[2000] = "";

	for (int i = 0; i < 3; i++) {
		mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 2, .max_bytes = 1000,
			.joinable = true, .order = orders[i]));
		T_OK(mp_queue_put(q, mp_i64(1), MP_NOWAIT));
		uint64_t bytes = mp_queue_bytes(q);
		T_RESULT(mp_queue_put(q, mp_handle(q), MP_NOWAIT), -ENOTSUP);
		T_RESULT(mp_queue_put(q, mp_str("\xff"), MP_NOWAIT), -EILSEQ);
		T_RESULT(mp_queue_put_bytes(q, large, sizeof(large), MP_NOWAIT), -EMSGSIZE);
		cr_assert_eq(mp_queue_size(q), 1);
		cr_assert_eq(mp_queue_bytes(q), bytes);
		cr_assert_not(mp_queue_full(q) || mp_queue_empty(q));
		T_OK(mp_queue_put(q, mp_i64(2), MP_NOWAIT));
		cr_assert(mp_queue_full(q));
		T_RESULT(mp_queue_put(q, mp_i64(3), MP_NOWAIT), -EAGAIN);
		T_RESULT(mp_queue_put(q, mp_i64(3), 10), -ETIMEDOUT);
		for (int n = 0; n < 2; n++) {
			(void)get_i64(q);
			T_OK(mp_queue_task_done(q));
		}
		cr_assert(mp_queue_empty(q));
		T_OK(mp_queue_join(q, MP_NOWAIT));
		mp_queue_close(q);
	}
}

/* --- shutdown, all of it in one thread -------------------------------------------------------------- */

static void all_methods(int how)
{
	const bool keeps = how == MP_QUEUE_DRAIN;
	mp_queue *q = make(MP_QUEUE_OPTIONS(.maxsize = 2, .joinable = true));
	mp_obj value;

	T_OK(mp_queue_put(q, mp_str("L"), MP_FOREVER));
	T_OK(mp_queue_shutdown(q, how));
	T_RESULT(mp_queue_put(q, mp_str("Y"), MP_FOREVER), -EPIPE);
	T_RESULT(mp_queue_put(q, mp_str("Y"), MP_NOWAIT), -EPIPE);
	cr_assert_eq(mp_queue_size(q), keeps);
	if (keeps) {
		T_OK(mp_queue_get(q, MP_FOREVER, &value));
		cr_assert_str_eq(mp_obj_str(&value), "L");
		mp_obj_free(&value);
		T_OK(mp_queue_task_done(q));
	}
	T_RESULT(mp_queue_get(q, MP_FOREVER, &value), -EPIPE);
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EPIPE);
	T_OK(mp_queue_join(q, MP_FOREVER));
	T_RESULT(mp_queue_task_done(q), -ERANGE);
	mp_queue_close(q);
}

Test(queue_python, test_shutdown_all_methods_in_one_thread)
{
	all_methods(MP_QUEUE_DRAIN);
}

Test(queue_python, test_shutdown_immediate_all_methods_in_one_thread)
{
	all_methods(MP_QUEUE_IMMEDIATE);
}

/* --- many threads ----------------------------------------------------------------------------------- */

#define N_THREADS 8
#define N_EACH 500

struct crowd {
	mp_queue *q;
	int timeout_ms; /* of gets; they are repeated */
	_Atomic int next;
	_Atomic int got;
	_Atomic unsigned char seen[N_THREADS * N_EACH];
};

static void *feed(void *argument)
{
	struct crowd *crowd = argument;
	int first = crowd->next++ * N_EACH;

	for (int i = first; i < first + N_EACH; i++)
		T_CHECK(mp_queue_put(crowd->q, mp_i64(i), T_TIMEOUT_MS) == 0);
	return NULL;
}

static void *consume(void *argument)
{
	struct crowd *crowd = argument;
	mp_obj value;

	for (int i = 0; i < N_EACH; i++) {
		int r;
		while ((r = mp_queue_get(crowd->q, crowd->timeout_ms, &value)) == -EAGAIN ||
			(r == -ETIMEDOUT && crowd->timeout_ms < 1000))
			sched_yield();
		T_CHECK(r == 0);
		crowd->seen[mp_obj_i64(&value)]++;
		mp_obj_free(&value);
	}
	return NULL;
}

static void many_threads(int timeout_ms)
{
	struct crowd crowd = {
		.q = make(MP_QUEUE_OPTIONS(.maxsize = 100)), .timeout_ms = timeout_ms};
	pthread_t threads[2 * N_THREADS];

	for (int i = 0; i < 2 * N_THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, i % 2 ? feed : consume, &crowd), 0);
	for (int i = 0; i < 2 * N_THREADS; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < N_THREADS * N_EACH; i++)
		cr_assert_eq(crowd.seen[i], 1);
	cr_assert(mp_queue_empty(crowd.q));
	mp_queue_close(crowd.q);
}

Test(queue_python, test_many_threads)
{
	many_threads(T_TIMEOUT_MS);
}

Test(queue_python, test_many_threads_nonblock)
{
	many_threads(MP_NOWAIT);
}

Test(queue_python, test_many_threads_timeout)
{
	many_threads(1);
}

/* One feeds, one consumes: what comes is what went, in its order. */
Test(queue_python, test_order)
{
	struct crowd crowd = {.q = make(MP_QUEUE_OPTIONS(.maxsize = 10))};
	pthread_t feeder;

	cr_assert_eq(pthread_create(&feeder, NULL, feed, &crowd), 0);
	for (int i = 0; i < N_EACH; i++)
		cr_assert_eq(get_i64(crowd.q), i);
	cr_assert_eq(pthread_join(feeder, NULL), 0);
	mp_queue_close(crowd.q);
}

/* The queue keeps nothing of the caller's: what was put may change, or go, at once. */
Test(queue_python, test_references)
{
	mp_queue *q = make(NULL);
	mp_obj value;

	for (int i = 0; i < 100; i++) {
		char *text = strdup("as it was");
		T_OK(mp_queue_put(q, mp_str(text), MP_NOWAIT));
		memset(text, 'x', 9);
		free(text);
	}
	for (int i = 0; i < 100; i++) {
		T_OK(mp_queue_get(q, MP_NOWAIT, &value));
		cr_assert_str_eq(mp_obj_str(&value), "as it was");
		mp_obj_free(&value);
	}
	mp_queue_close(q);
}

/* --- what is wrong with Python's -------------------------------------------------------------------- */

#define ROUNDS 5000

/* Who has put one and got none yet always finds one. */
static int put_and_get_at_once(void *queue)
{
	mp_obj value;

	for (int i = 0; i < ROUNDS; i++) {
		T_CHECK(mp_queue_put(queue, mp_i64(i), MP_NOWAIT) == 0);
		T_CHECK(!mp_queue_empty(queue));
		T_CHECK(mp_queue_get(queue, MP_NOWAIT, &value) == 0);
	}
	return 0;
}

/* gh-87302, gh-77060: that somebody else is at the queue is no reason to call it empty. */
Test(queue_python, a_get_that_does_not_wait_never_lies)
{
	static const int orders[] = {MP_QUEUE_FIFO, MP_QUEUE_PRIORITY};
	struct t_child children[4];

	for (int o = 0; o < 2; o++) {
		mp_queue *q = make(MP_QUEUE_OPTIONS(.order = orders[o]));
		for (int i = 0; i < 4; i++)
			children[i] = t_spawn(put_and_get_at_once, q);
		for (int i = 0; i < 4; i++)
			t_expect_exit(&children[i], 0);
		cr_assert(mp_queue_empty(q));
		mp_queue_close(q);
	}
}

static int put_much(void *queue)
{
	char *data = calloc(1, 1 << 20);

	for (int i = 0; i < 10; i++) {
		memset(data, i, 1 << 20);
		T_CHECK(mp_queue_put_bytes(queue, data, 1 << 20, MP_NOWAIT) == 0);
	}
	free(data);
	return 0;
}

/* gh-73983 and many more: the producer is joined before anybody has taken what it put. */
Test(queue_python, join_before_drain)
{
	mp_queue *q = make(NULL);
	void *data;
	size_t size;

	struct t_child producer = t_spawn(put_much, q);
	t_expect_exit(&producer, 0);
	for (int i = 0; i < 10; i++) {
		T_OK(mp_queue_get_bytes(q, MP_NOWAIT, &data, &size));
		cr_assert(size == 1 << 20 && ((char *)data)[size - 1] == i);
		free(data);
	}
	mp_queue_close(q);
}

/* gh-131794, gh-86918: used or not, a queue of any kind is one descriptor, and that goes with it. */
Test(queue_python, one_descriptor_each)
{
	const mp_queue_options *kinds[] = {MP_QUEUE_OPTIONS(), MP_QUEUE_OPTIONS(.joinable = true),
		MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO), MP_QUEUE_OPTIONS(.leases = true)};

	for (size_t i = 0; i < MP__COUNT_OF(kinds); i++) {
		int before = t_count_fds();
		mp_queue *q = make(kinds[i]);
		cr_assert_eq(t_count_fds(), before + 1);
		mp_queue_close(q);
		q = make(kinds[i]);
		T_OK(mp_queue_put(q, mp_i64(1), MP_NOWAIT));
		cr_assert_eq(get_i64(q), 1);
		cr_assert_eq(t_count_fds(), before + 1);
		mp_queue_close(q);
		cr_assert_eq(t_count_fds(), before);
	}
}
