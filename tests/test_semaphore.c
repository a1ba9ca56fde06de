/* SPDX-License-Identifier: MIT */
/* Semaphores while nobody dies: as CPython's tests have them, wrong use, damaged memory. */
#include <config.h>

#include "tests/support/starts.h"

#include "base/deadline.h"
#include "sync/semaphore_layout.h"

#include <mp/semaphore.h>
#include <pthread.h>
#include <sys/mman.h>

T_SUITE(semaphore);

struct shared {
	mp_semaphore a;
	mp_semaphore b;
	_Atomic int inside;
	_Atomic int most;
	_Atomic int count;
	long plain;
};

static struct shared *s;

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
}

static void init(mp_semaphore *semaphore, int value)
{
	T_OK(mp_semaphore_init(semaphore, value, MP_SEMAPHORE_OPTIONS(.name = "test")));
}

/* --- both flavours: the same body in processes and in threads ----------------------------------- */

#define CROWD 10

static void *as_thread(void *body)
{
	return (void *)(intptr_t)(*(int (**)(void *))body)(NULL);
}

static void in_processes(int (*body)(void *), int n)
{
	struct t_child children[CROWD];

	for (int i = 0; i < n; i++)
		children[i] = t_spawn(body, NULL);
	for (int i = 0; i < n; i++)
		t_expect_exit(&children[i], 0);
}

static void in_threads(int (*body)(void *), int n)
{
	pthread_t threads[CROWD];
	void *result;

	for (int i = 0; i < n; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, as_thread, &body), 0);
	for (int i = 0; i < n; i++) {
		cr_assert_eq(pthread_join(threads[i], &result), 0);
		cr_assert_null(result);
	}
}

#define BOTH(name)                                                        \
	static void both_##name(void (*run)(int (*body)(void *), int n)); \
	Test(semaphore, name##_between_processes)                         \
	{                                                                 \
		both_##name(in_processes);                                \
	}                                                                 \
	Test(semaphore, name##_between_threads)                           \
	{                                                                 \
		both_##name(in_threads);                                  \
	}                                                                 \
	static void both_##name(void (*run)(int (*body)(void *), int n))

/* --- as CPython has them ------------------------------------------------------------------------- */

Test(semaphore, test_semaphore)
{
	make_shared();
	init(&s->a, 2);
	T_RESULT(mp_semaphore_value(&s->a), 2);
	T_OK(mp_semaphore_acquire(&s->a, MP_FOREVER));
	T_RESULT(mp_semaphore_value(&s->a), 1);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_RESULT(mp_semaphore_value(&s->a), 0);
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EAGAIN);
	cr_assert_str_eq(
		mp_error_detail(), "acquiring from semaphore 'test': all 2 permits are taken");
	for (int value = 1; value <= 4; value++) {
		T_OK(mp_semaphore_release(&s->a));
		T_RESULT(mp_semaphore_value(&s->a), value);
	}
}

Test(semaphore, test_bounded_semaphore)
{
	make_shared();
	T_OK(mp_semaphore_init(&s->a, 2, MP_SEMAPHORE_OPTIONS(.bounded = true)));
	T_RESULT(mp_semaphore_release(&s->a), -EOVERFLOW);
	T_OK(mp_semaphore_acquire(&s->a, MP_FOREVER));
	T_OK(mp_semaphore_acquire(&s->a, 10));
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_semaphore_release_n(&s->a, 3), -EOVERFLOW);
	T_RESULT(mp_semaphore_value(&s->a), 0);
	T_OK(mp_semaphore_release(&s->a));
	T_RESULT(mp_semaphore_release_n(&s->a, 2), -EOVERFLOW);
	T_OK(mp_semaphore_release(&s->a));
	T_RESULT(mp_semaphore_value(&s->a), 2);
	T_RESULT(mp_semaphore_release(&s->a), -EOVERFLOW);
	T_RESULT(mp_semaphore_value(&s->a), 2);
}

Test(semaphore, test_timeout)
{
	make_shared();
	init(&s->a, 0);
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EAGAIN);
	for (int timeout = 1; timeout <= 101; timeout += 20) {
		int64_t began = mp__now_ns();
		T_RESULT(mp_semaphore_acquire(&s->a, timeout), -ETIMEDOUT);
		cr_assert_geq(mp__now_ns() - began, timeout * INT64_C(1000000));
	}
	T_OK(mp_semaphore_release(&s->a));
	T_OK(mp_semaphore_acquire(&s->a, 1));
}

Test(semaphore, test_multirelease)
{
	make_shared();
	init(&s->a, 7);
	for (int i = 0; i < 7; i++)
		T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_OK(mp_semaphore_release_n(&s->a, 1));
	T_OK(mp_semaphore_release_n(&s->a, 6));
	T_OK(mp_semaphore_release_n(&s->a, 5));
	T_RESULT(mp_semaphore_value(&s->a), 12);
}

static int acquire_a(void *argument)
{
	(void)argument;
	T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
	s->count++;
	T_CHECK(mp_semaphore_acquire(&s->b, MP_FOREVER) == 0);
	return 0;
}

static void *release_to_the_crowd(void *argument)
{
	static const int phases[] = {1, 4, 2, 3};
	int expected = 0;

	(void)argument;
	for (int i = 0; i < 4; i++) {
		mp_semaphore_release_n(&s->a, phases[i]);
		expected += phases[i];
		while (s->count < expected)
			sched_yield();
		/* So many, and not one more. */
		if (s->count != expected || mp_semaphore_value(&s->a) != 0)
			return (void *)"another number came through";
	}
	mp_semaphore_release_n(&s->b, CROWD);
	return NULL;
}

/* A release of n lets n pass, whoever they are. */
BOTH(test_acquire_contended)
{
	pthread_t thread;
	void *wrong;

	make_shared();
	init(&s->a, 0);
	T_OK(mp_semaphore_init(&s->b, 0, MP_SEMAPHORE_OPTIONS(.ownerless = true)));
	cr_assert_eq(pthread_create(&thread, NULL, release_to_the_crowd, NULL), 0);
	run(acquire_a, CROWD);
	cr_assert_eq(pthread_join(thread, &wrong), 0);
	cr_assert_null(wrong, "%s", (char *)wrong);
}

static int be_inside(void *argument)
{
	(void)argument;
	for (int i = 0; i < 2000; i++) {
		T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
		int inside = ++s->inside;
		int most = s->most;
		while (inside > most && !atomic_compare_exchange_weak(&s->most, &most, inside))
			;
		if (i % 16 == 0)
			sched_yield();
		s->inside--;
		T_CHECK(mp_semaphore_release(&s->a) == 0);
	}
	return 0;
}

BOTH(test_multithread)
{
	make_shared();
	T_OK(mp_semaphore_init(&s->a, 3, MP_SEMAPHORE_OPTIONS(.bounded = true)));
	run(be_inside, 5);
	cr_assert_leq(s->most, 3);
	T_RESULT(mp_semaphore_value(&s->a), 3);
}

static int count_up(void *argument)
{
	(void)argument;
	for (int i = 0; i < 5000; i++) {
		T_CHECK(mp_semaphore_acquire(&s->a, MP_FOREVER) == 0);
		s->plain++;
		T_CHECK(mp_semaphore_release(&s->a) == 0);
	}
	return 0;
}

BOTH(of_one_permit_is_a_lock)
{
	make_shared();
	init(&s->a, 1);
	run(count_up, 4);
	cr_assert_eq(s->plain, 20000);
}

static int consume(void *argument)
{
	(void)argument;
	while (mp_semaphore_acquire(&s->a, MP_FOREVER) == 0) {
		if (++s->count >= 20000) {
			T_CHECK(mp_semaphore_release_n(&s->a, CROWD) == 0);
			break;
		}
	}
	return 0;
}

static int produce(void *argument)
{
	(void)argument;
	for (int i = 0; i < 20000; i++)
		T_CHECK(mp_semaphore_release(&s->a) == 0);
	return 0;
}

static int produce_or_consume(void *argument)
{
	return s->most++ == 0 ? produce(argument) : consume(argument);
}

/* One only releases, others only acquire: nothing goes lost, nothing is made. */
BOTH(signals_arrive)
{
	make_shared();
	init(&s->a, 0);
	run(produce_or_consume, 3);
	cr_assert_geq(s->count, 20000);
}

BOTH(ownerless_signals_arrive)
{
	make_shared();
	T_OK(mp_semaphore_init(&s->a, 0, MP_SEMAPHORE_OPTIONS(.ownerless = true)));
	run(produce_or_consume, 3);
	cr_assert_geq(s->count, 20000);
}

Test(semaphore, ownerless_and_bounded)
{
	make_shared();
	T_OK(mp_semaphore_init(&s->a, 2, MP_SEMAPHORE_OPTIONS(.ownerless = true, .bounded = true)));
	T_RESULT(mp_semaphore_release(&s->a), -EOVERFLOW);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EAGAIN);
	T_OK(mp_semaphore_release_n(&s->a, 2));
	T_RESULT(mp_semaphore_value(&s->a), 2);
	T_RESULT(mp_semaphore_release(&s->a), -EOVERFLOW);
}

/* --- objects of their own ------------------------------------------------------------------------- */

static int use_travelled(int argc, const mp_obj *argv)
{
	mp_semaphore *permits = argc == 2 ? mp_obj_semaphore(&argv[0]) : NULL;
	mp_semaphore *done = argc == 2 ? mp_obj_semaphore(&argv[1]) : NULL;

	T_CHECK(permits && done);
	T_CHECK(mp_semaphore_acquire(permits, MP_FOREVER) == 0);
	T_CHECK(mp_semaphore_acquire(permits, MP_NOWAIT) == -EAGAIN);
	T_CHECK(mp_semaphore_release(permits) == 0);
	T_CHECK(mp_semaphore_release(done) == 0);
	return 0;
}

EACH_METHOD_AND_THREAD(semaphore, travels)
{
	mp_semaphore *permits, *done;

	T_OK(mp_semaphore_new(1, NULL, &permits));
	T_OK(mp_semaphore_new(0, MP_SEMAPHORE_OPTIONS(.ownerless = true), &done));
	mp_process *p =
		start(use_travelled, MP_ARGS(mp_handle(permits), mp_handle(done)), BY(method));
	T_OK(mp_semaphore_acquire(done, MP_FOREVER));
	finish(p, 0);
	T_RESULT(mp_semaphore_value(permits), 1);
	mp_semaphore_close(permits);
	mp_semaphore_close(done);
}

Test(semaphore, thousands_are_made_and_closed)
{
	static mp_semaphore *many[3000];

	int fds = t_count_fds();
	for (int i = 0; i < 3000; i++)
		T_OK(mp_semaphore_new(i, NULL, &many[i]));
	cr_assert_leq(t_count_fds(), fds + 2);
	cr_assert_eq(mp_semaphore_ref(many[7]), many[7]);
	for (int i = 0; i < 3000; i++) {
		T_RESULT(mp_semaphore_value(many[i]), i);
		mp_semaphore_close(many[i]);
	}
	T_RESULT(mp_semaphore_value(many[7]), 7);
	mp_semaphore_close(many[7]);
	mp_semaphore_close(NULL);
}

Test(semaphore, one_in_place_has_no_handle)
{
	make_shared();
	init(&s->a, 1);
	mp_obj value = mp_semaphore_handle(&s->a);
	cr_assert_eq(value.type, MP_TYPE_NIL);
	cr_assert_null(mp_obj_semaphore(&value));
	mp_semaphore_close(&s->a);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
}

/* --- wrong use ------------------------------------------------------------------------------------- */

Test(semaphore, values_out_of_range)
{
	mp_semaphore *made = NULL;

	make_shared();
	T_RESULT(mp_semaphore_init(&s->a, -1, NULL), -EINVAL);
	T_RESULT(mp_semaphore_init(&s->a, INT64_C(1) << 31, NULL), -EOVERFLOW);
	T_RESULT(mp_semaphore_new(INT64_MIN, NULL, &made), -EINVAL);
	T_RESULT(mp_semaphore_new(INT64_MAX, NULL, &made), -EOVERFLOW);
	cr_assert_null(made);
	T_OK(mp_semaphore_init(&s->a, MP_SEMAPHORE_MAX, NULL));
	T_RESULT(mp_semaphore_release(&s->a), -EOVERFLOW);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	T_RESULT(mp_semaphore_release_n(&s->a, 2), -EOVERFLOW);
	T_RESULT(mp_semaphore_release_n(&s->a, INT64_MAX), -EOVERFLOW);
	T_RESULT(mp_semaphore_release_n(&s->a, 0), -EINVAL);
	T_RESULT(mp_semaphore_release_n(&s->a, -1), -EINVAL);
	T_OK(mp_semaphore_release_n(&s->a, 1));
	T_RESULT(mp_semaphore_value(&s->a), MP_SEMAPHORE_MAX);
}

Test(semaphore, what_is_no_semaphore)
{
	make_shared();
	mp_semaphore *wrong[] = {NULL, (mp_semaphore *)((char *)&s->a + 4), &s->a};

	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_semaphore_acquire(wrong[i], MP_FOREVER), -EINVAL);
		T_RESULT(mp_semaphore_release(wrong[i]), -EINVAL);
		T_RESULT(mp_semaphore_release_n(wrong[i], 1), -EINVAL);
		T_RESULT(mp_semaphore_value(wrong[i]), -EINVAL);
		T_RESULT(mp_semaphore_destroy(wrong[i]), -EINVAL);
		if (i < 2)
			T_RESULT(mp_semaphore_init(wrong[i], 1, NULL), -EINVAL);
	}
}

Test(semaphore, wrong_options)
{
	struct {
		mp_semaphore_options known;
		uint64_t more;
	} newer = {.known.size = sizeof(newer), .more = 1};

	make_shared();
	T_RESULT(mp_semaphore_init(&s->a, 1, MP_SEMAPHORE_OPTIONS(.flags = 1)), -EINVAL);
	T_RESULT(mp_semaphore_init(&s->a, 1, &newer.known), -E2BIG);
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EINVAL);
}

static int wait_for_a(void *argument)
{
	(void)argument;
	t_ready();
	return mp_semaphore_acquire(&s->a, MP_FOREVER) == 0 ? 0 : T_CHILD_FAILED;
}

Test(semaphore, test_acquire_destroy)
{
	make_shared();
	init(&s->a, 0);
	struct t_child child = t_spawn(wait_for_a, NULL);
	t_wait_ready(&child);
	while (!mp__bell_has_sleepers(&((struct mp__semaphore *)&s->a)->bell))
		sched_yield();
	int r = mp_semaphore_destroy(&s->a);
	if (r == 0) {
		/* It only listened yet: it finds the semaphore gone. */
		t_expect_exit(&child, T_CHILD_FAILED);
		return;
	}
	T_RESULT(r, -EBUSY);
	T_OK(mp_semaphore_release(&s->a));
	t_expect_exit(&child, 0);
	T_OK(mp_semaphore_destroy(&s->a));
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_semaphore_destroy(&s->a), -EINVAL);
	init(&s->a, 1);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
}

/* As a signal handler would, that has interrupted this thread inside. */
Test(semaphore, from_inside_itself)
{
	make_shared();
	init(&s->a, 1);
	mp__guard *guard = &((struct mp__semaphore *)&s->a)->guard;
	T_OK(mp__guard_enter(guard, MP__DEADLINE_NEVER));
	T_RESULT(mp_semaphore_acquire(&s->a, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EDEADLK);
	T_RESULT(mp_semaphore_release(&s->a), -EDEADLK);
	T_RESULT(mp_semaphore_value(&s->a), -EDEADLK);
	T_RESULT(mp_semaphore_destroy(&s->a), -EDEADLK);
	mp__guard_leave(guard);
	T_RESULT(mp_semaphore_value(&s->a), 1);
}

/* Whatever stands there: an error, or a wait that ends in time. */
Test(semaphore, damaged_memory_is_only_an_error)
{
	unsigned seed = 1;

	make_shared();
	for (int round = 0; round < 300; round++) {
		struct mp__semaphore *l = (struct mp__semaphore *)&s->a;
		init(&s->a, 3);
		unsigned char *bytes = (unsigned char *)&l->guard;
		for (size_t i = round % 2 ? 8 : 0; i < sizeof(*l) - 32; i++) {
			seed = seed * 1103515245 + 12345;
			if (seed & 1 << 16)
				bytes[i] = (seed >> 20) & 1 ? 0xff : (unsigned char)(seed >> 22);
		}
		if (round % 2 == 0)
			atomic_store(
				&l->guard, mp__stamp_self() ^ UINT64_C(1) << 40); /* who died */
		int r = mp_semaphore_acquire(&s->a, 1);
		cr_assert(r == 0 || r == -ETIMEDOUT || r == -EUSERS || r == -EBADMSG,
			"round %d: %d", round, r);
		r = mp_semaphore_release(&s->a);
		cr_assert(r == 0 || r == -EOVERFLOW);
		r = mp_semaphore_release_n(&s->a, 70000);
		cr_assert(r == 0 || r == -EOVERFLOW);
		cr_assert_geq(mp_semaphore_value(&s->a), 0);
	}
	((struct mp__semaphore *)&s->a)->head.magic = MP__MAGIC_EVENT;
	T_RESULT(mp_semaphore_acquire(&s->a, 1), -EINVAL);
}

Test(semaphore, more_holders_than_there_is_room_for)
{
	mp_semaphore *large = NULL;

	make_shared();
	T_RESULT(mp_semaphore_init(
			 &s->a, 1, MP_SEMAPHORE_OPTIONS(.holders = MP_SEMAPHORE_HOLDERS + 1)),
		-ENOSPC);
	T_OK(mp_semaphore_init(&s->a, 1, MP_SEMAPHORE_OPTIONS(.holders = 1)));
	T_RESULT(mp_semaphore_new(
			 1, MP_SEMAPHORE_OPTIONS(.holders = MP_SEMAPHORE_HOLDERS_MAX + 1), &large),
		-ENOSPC);
	cr_assert_null(large);
	T_RESULT(mp_semaphore_new(1, NULL, NULL), -EINVAL);
	T_OK(mp_semaphore_new(
		1, MP_SEMAPHORE_OPTIONS(.holders = MP_SEMAPHORE_HOLDERS_MAX), &large));
	T_OK(mp_semaphore_acquire(large, MP_NOWAIT));
	T_OK(mp_semaphore_release(large));
	mp_semaphore_close(large);
}

/* A peer writes that there are more cells than memory. */
Test(semaphore, cells_that_are_not_there_are_not_looked_at)
{
	mp_semaphore *large;

	T_OK(mp_semaphore_new(1, MP_SEMAPHORE_OPTIONS(.holders = 50000 / 16), &large));
	struct mp__semaphore *l = (struct mp__semaphore *)large;
	T_OK(mp_semaphore_acquire(large, MP_NOWAIT));
	atomic_store(&l->n_cells, UINT16_MAX);
	T_RESULT(mp_semaphore_acquire(large, 20), -ETIMEDOUT);
	cr_assert_geq(mp_semaphore_value(large), 0);
	T_OK(mp_semaphore_release(large));
	mp_semaphore_close(large);

	/* At the end of a mapping. */
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_eq(mprotect(page + 4096, 4096, PROT_NONE), 0);
	mp_semaphore *last = (mp_semaphore *)(void *)(page + 4096 - sizeof(mp_semaphore));
	init(last, 1);
	atomic_store(&((struct mp__semaphore *)last)->n_cells, UINT16_MAX);
	T_OK(mp_semaphore_acquire(last, MP_NOWAIT));
	T_RESULT(mp_semaphore_acquire(last, 20), -ETIMEDOUT);
	T_RESULT(mp_semaphore_value(last), 0);
}

Test(semaphore, a_damaged_count_is_told)
{
	make_shared();
	init(&s->a, 3);
	T_OK(mp_semaphore_acquire(&s->a, MP_NOWAIT));
	struct mp__semaphore *l = (struct mp__semaphore *)&s->a;
	for (int i = 0; i < MP_SEMAPHORE_HOLDERS; i++) {
		if (l->cells[i].process == mp__stamp_process())
			l->cells[i].count = UINT32_MAX;
	}
	T_RESULT(mp_semaphore_acquire(&s->a, MP_NOWAIT), -EBADMSG);
}
