/* SPDX-License-Identifier: MIT */
/*
 * Who is in the guard of an object whenever others look: is it stopped, or does it work without a
 * pause? The same for all kinds of objects.
 *
 * Nothing here depends on speed. The worker is a handler of this thread's alarms, so that it has come
 * to its turn before the waiter looks again, however long both of them did not run.
 */
#include <config.h>

#include "tests/support/queues.h"

#include "conn/pipe_end.h"
#include "shm/guard.h"
#include "shm/heap_handle.h"
#include "shm/list_layout.h"
#include "sync/barrier_layout.h"
#include "sync/condition_layout.h"
#include "sync/semaphore_layout.h"

#include <mp.h>
#include <errno.h>
#include <sys/time.h>

T_SUITE(patience);

#define PATIENCE_NS INT64_C(400000000)
#define TURN_US 10000

/* --- who works ----------------------------------------------------------------------------------- */

static mp__guard *guard;
static mp__stamp holders[2]; /* who is inside when anybody looks; they take turns */
static int (*work)(void);
static volatile sig_atomic_t work_failed;
static int64_t works_until;
static volatile sig_atomic_t turns;

static bool is_held(void)
{
	mp__stamp owner = atomic_load(guard);

	return owner == holders[0] || owner == holders[1];
}

/* For an instant it is out, and changes something as all do that use the object. */
static void take_a_turn(int signal)
{
	int saved_errno = errno;

	(void)signal;
	if (is_held()) {
		atomic_store(guard, 0);
		if (work && work() != 0)
			work_failed = 1;
		turns = turns + 1;
		atomic_store(guard, mp__now_ns() < works_until ? holders[turns % 2] : 0);
	}
	errno = saved_errno;
}

static void set_alarms(suseconds_t us)
{
	struct itimerval t = {.it_interval.tv_usec = us, .it_value.tv_usec = us};

	T_OK(setitimer(ITIMER_REAL, &t, NULL));
}

/* As long as somebody needs to be taken for stopped, more than twice; or for ever. */
static void begin_to_work(bool for_ever)
{
	struct sigaction action = {.sa_handler = take_a_turn, .sa_flags = SA_RESTART};

	T_OK(sigaction(SIGALRM, &action, NULL));
	works_until = for_ever ? INT64_MAX : mp__now_ns() + 5 * PATIENCE_NS / 2;
	turns = 0;
	atomic_store(guard, holders[0]);
	set_alarms(TURN_US);
}

static int hang(void *argument)
{
	(void)argument;
	t_ready();
	t_hang();
}

static struct t_child stopped;

static void make_holder(mp__guard *of, int (*does)(void))
{
	stopped = t_spawn(hang, NULL);
	t_wait_ready(&stopped);
	t_kill(&stopped, SIGSTOP);
	mp__guard_patience_ns = PATIENCE_NS;
	guard = of;
	work = does;
	holders[0] = holders[1] = mp__stamp_of(stopped.pid);
	atomic_store(guard, holders[0]);
}

/* Before anything is asserted: what tells of failures is not fit for alarms. */
static void end_holder(void)
{
	set_alarms(0);
	t_kill(&stopped, SIGKILL);
	cr_assert_not(work_failed);
}

static int64_t took_ns;

/* While somebody is at work. */
static int call_meanwhile(int (*call)(void), bool for_ever)
{
	int64_t before = mp__now_ns();

	begin_to_work(for_ever);
	int r = call();
	set_alarms(0);
	took_ns = mp__now_ns() - before;
	return r;
}

static void expect_end(int r, const char *sentence)
{
	cr_assert_eq(r, -ETIMEDOUT, "%d", r);
	cr_assert(strstr(mp_error_detail(), sentence), "%s", mp_error_detail());
}

/*
 * One that is stopped in the guard is not waited for; one that works all the time is. It has the guard,
 * with the same stamp, at each look: only what it changes shows that it gets on.
 */
static void expect_patience(mp__guard *of, int (*does)(void), int (*call)(void))
{
	make_holder(of, does);
	int64_t before = mp__now_ns();
	expect_end(call(), "stopped");
	cr_assert_geq(mp__now_ns() - before, PATIENCE_NS);
	cr_assert(is_held());

	int r = call_meanwhile(call, false);
	end_holder();
	cr_assert_geq(r, 0, "%d: %s", r, mp_error_detail());
	cr_assert_gt(turns, 0);
	cr_assert_gt(took_ns, 2 * PATIENCE_NS);
}

/* The same with one of another PID namespace, and a call that would wait for ever. */
static void expect_patience_with_a_stranger(
	mp__guard *of, int (*does)(void), int (*call_for_ever)(void))
{
	make_holder(of, does);
	holders[0] = holders[1] = mp__stamp_self() ^ UINT64_C(1) << 22;
	atomic_store(guard, holders[0]);
	expect_end(call_for_ever(), "another PID namespace");
	int r = call_meanwhile(call_for_ever, false);
	end_holder();
	cr_assert_eq(r, 0, "%d: %s", r, mp_error_detail());
	cr_assert_gt(took_ns, 2 * PATIENCE_NS);
}

/* --- the guard alone ------------------------------------------------------------------------------ */

static mp__guard plain;
static _Atomic uint32_t sign;

static int enter_plain(void)
{
	int r = mp__guard_enter_seeing(
		&plain, MP__GUARD_PATIENTLY, (struct mp__guard_signs){&sign, sizeof(sign)});

	if (r == 0)
		mp__guard_leave(&plain);
	return r;
}

static int show_life(void)
{
	atomic_fetch_add(&sign, 1);
	return 0;
}

Test(patience, a_sign_of_life)
{
	expect_patience(&plain, show_life, enter_plain);
}

Test(patience, a_guard_that_changes_hands_is_a_sign_of_life)
{
	make_holder(&plain, NULL);
	struct t_child other = t_spawn(hang, NULL);
	t_wait_ready(&other);
	holders[1] = mp__stamp_of(other.pid);
	int r = call_meanwhile(enter_plain, false);
	end_holder();
	t_kill(&other, SIGKILL);
	cr_assert_eq(r, 0, "%d: %s", r, mp_error_detail());
	cr_assert_gt(turns, 1);
	cr_assert_gt(took_ns, 2 * PATIENCE_NS);
}

Test(patience, work_that_changes_nothing_is_no_sign_of_life)
{
	make_holder(&plain, NULL);
	int r = call_meanwhile(enter_plain, true);
	end_holder();
	expect_end(r, "stopped");
}

Test(patience, has_an_end_too)
{
	make_holder(&plain, show_life);
	int r = call_meanwhile(enter_plain, true);
	end_holder();
	expect_end(r, "change this object all the time");
	cr_assert_geq(took_ns, 6 * PATIENCE_NS);
}

/* It did not run, as if it had been stopped itself; and soon after that the holder gets on. */
static int stand_still(void)
{
	struct timespec long_time = {.tv_nsec = 2 * PATIENCE_NS};

	if (turns == 0)
		nanosleep(&long_time, NULL);
	if (turns == 5)
		works_until = 0;
	return 0;
}

Test(patience, who_stood_still_itself_does_not_blame_others)
{
	make_holder(&plain, stand_still);
	int r = call_meanwhile(enter_plain, true);
	end_holder();
	cr_assert_eq(r, 0, "%d: %s", r, mp_error_detail());
	cr_assert_gt(took_ns, 2 * PATIENCE_NS);
}

static int enter_soon(void)
{
	return mp__guard_enter_seeing(
		&plain, mp__deadline_in(100), (struct mp__guard_signs){&sign, sizeof(sign)});
}

Test(patience, a_deadline_is_a_deadline)
{
	make_holder(&plain, show_life);
	int r = call_meanwhile(enter_soon, true);
	end_holder();
	expect_end(r, "");
}

/* --- objects --------------------------------------------------------------------------------------- */

static mp_semaphore *semaphore;

static int release(void)
{
	return mp_semaphore_release(semaphore);
}

static int take_or_give(void)
{
	return turns % 2 == 0 ? mp_semaphore_acquire(semaphore, MP_NOWAIT)
			      : mp_semaphore_release(semaphore);
}

Test(patience, semaphore)
{
	T_OK(mp_semaphore_new(5, MP_SEMAPHORE_OPTIONS(.ownerless = true), &semaphore));
	struct mp__semaphore *at = (struct mp__semaphore *)(void *)semaphore;
	expect_patience(&at->guard, take_or_give, release);
	mp_semaphore_close(semaphore);
}

static mp_condition *condition;
static mp_lock *lock;

static int notify(void)
{
	return mp_condition_notify(condition, 1);
}

static int wait_in_vain(void)
{
	return mp_condition_wait(condition, lock, MP_NOWAIT) != -EAGAIN;
}

Test(patience, condition)
{
	T_OK(mp_lock_new(NULL, &lock));
	T_OK(mp_condition_new(NULL, &condition));
	T_OK(mp_lock_acquire(lock, MP_NOWAIT));
	struct mp__condition *at = (struct mp__condition *)(void *)condition;
	expect_patience(&at->guard, wait_in_vain, notify);
	T_OK(mp_lock_release(lock));
	mp_condition_close(condition);
	mp_lock_close(lock);
}

static mp_barrier *barrier;

static int reset(void)
{
	return mp_barrier_reset(barrier);
}

static int pass(void)
{
	return mp_barrier_wait(barrier, MP_NOWAIT);
}

Test(patience, barrier)
{
	T_OK(mp_barrier_new(1, NULL, &barrier));
	struct mp__barrier_layout *at = (struct mp__barrier_layout *)(void *)barrier;
	expect_patience(&at->guard, pass, reset);
	mp_barrier_close(barrier);
}

static mp_shared_list *list;

static int set_first(void)
{
	return mp_shared_list_set(list, 0, mp_i64(1));
}

/* The same value again and again. */
static int set_second(void)
{
	return mp_shared_list_set(list, 1, mp_i64(2));
}

Test(patience, shared_list)
{
	T_OK(mp_shared_list_new(MP_LIST(mp_i64(0), mp_i64(2)), NULL, &list));
	struct mp__list_header *at = mp_block_data((mp_block *)(void *)list);
	expect_patience(&at->guard, set_second, set_first);
	mp_shared_list_close(list);
}

static mp_heap *heap;

static int allocate(void)
{
	void *p;

	return mp_heap_alloc(heap, 10, &p);
}

static int allocate_and_free(void)
{
	void *p;
	int r = mp_heap_alloc(heap, 10, &p);

	return r < 0 ? r : mp_heap_free(heap, p);
}

Test(patience, heap)
{
	T_OK(mp_heap_new(1 << 20, NULL, &heap));
	expect_patience(&heap->view.header->guard, allocate_and_free, allocate);
	mp_heap_close(heap);
}

/* --- queues ---------------------------------------------------------------------------------------- */

static mp_queue *queue;

static int drain(void)
{
	return mp_queue_shutdown(queue, MP_QUEUE_DRAIN);
}

static int end_at_once(void)
{
	return mp_queue_shutdown(queue, MP_QUEUE_IMMEDIATE);
}

static int put_for_ever(void)
{
	return mp_queue_put(queue, mp_i64(7), MP_FOREVER);
}

static int put(void)
{
	return mp_queue_put(queue, mp_i64(1), MP_NOWAIT);
}

static int get(void)
{
	mp_obj value;

	return mp_queue_get(queue, MP_NOWAIT, &value); /* a number: there is nothing to free */
}

/* As many as there may be turns, and more. */
static void fill(void)
{
	for (int i = 0; i < 2000; i++)
		T_OK(put());
}

Test(patience, putters)
{
	queue = make(NULL);
	expect_patience(&queue->control->put_guard, put, drain);
	mp_queue_close(queue);
	queue = make(NULL);
	expect_patience_with_a_stranger(&queue->control->put_guard, put, put_for_ever);
	mp_queue_close(queue);
}

Test(patience, getters)
{
	queue = make(NULL);
	fill();
	expect_patience(&queue->control->get_guard, get, end_at_once);
	mp_queue_close(queue);
}

Test(patience, of_an_ordered_queue)
{
	queue = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	fill();
	expect_patience(&queue->control->get_guard, put, drain);
	mp_queue_close(queue);
	queue = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	fill();
	expect_patience_with_a_stranger(&queue->control->get_guard, get, put_for_ever);
	mp_queue_close(queue);
}

/* --- pipes ----------------------------------------------------------------------------------------- */

static mp_connection *near;
static mp_connection *far;

static int send_for_ever(void)
{
	return mp_connection_send_bytes(near, "call", 4, MP_FOREVER);
}

static int send_now(void)
{
	const struct mp__outgoing m = {.kind = MP__MESSAGE_BYTES, .data = "work", .size = 4};

	return mp__pipe_send(near, &m, mp__deadline_in(0));
}

static int receive_for_ever(void)
{
	char buffer[4];
	size_t n;

	return mp_connection_recv_bytes_into(far, buffer, sizeof(buffer), MP_FOREVER, &n);
}

static int receive_now(void)
{
	struct mp__incoming m;

	int r = mp__pipe_look(far, mp__deadline_in(0), &m);
	if (r == 0)
		mp__pipe_release(far, true);
	return r;
}

Test(patience, pipe)
{
	T_OK(mp_pipe(NULL, &near, &far));
	expect_patience_with_a_stranger(
		&mp__pipe_end_of(near)->out.words->sending, send_now, send_for_ever);
	for (int i = 0; i < 1000; i++)
		T_OK(send_now());
	expect_patience_with_a_stranger(
		&mp__pipe_end_of(far)->in.words->receiving, receive_now, receive_for_ever);
	mp_connection_close(near);
	mp_connection_close(far);
}
