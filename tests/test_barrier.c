/* SPDX-License-Identifier: MIT */
/* Barriers between processes and between threads, as CPython tests them, and wrong uses. */
#include <config.h>

#include "tests/support/world.h"

#include "base/stamp.h"

#include <mp/barrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

T_SUITE(barrier);

#define N 5

struct world {
	mp_barrier barrier;
	mp_barrier second;
	atomic_int results[8];
	atomic_int rounds[1024];
	int passes;
};

static struct world *setup(int parties)
{
	struct world *w = new_world(sizeof(struct world));

	T_OK(mp_barrier_init(&w->barrier, parties, MP_BARRIER_OPTIONS(.name = "meet")));
	T_OK(mp_barrier_init(&w->second, parties, NULL));
	return w;
}

static void teardown(struct world *w)
{
	T_OK(mp_barrier_destroy(&w->barrier));
	T_OK(mp_barrier_destroy(&w->second));
	free_world(w, sizeof(*w));
}

static void run(int method, body *wanted, struct world *w)
{
	run_parties(method, wanted, N, w, sizeof(*w));
}

static int wait_at(mp_barrier *barrier)
{
	return mp_barrier_wait(barrier, T_TIMEOUT_MS / 2);
}

/* --- CPython's ---------------------------------------------------------------------------------- */

static int multipass(struct world *w)
{
	for (int i = 0; i < w->passes; i++) {
		w->results[0]++;
		T_CHECK(w->results[1] == i * N);
		T_CHECK(wait_at(&w->barrier) >= 0);
		w->results[1]++;
		T_CHECK(w->results[0] == (i + 1) * N);
		T_CHECK(wait_at(&w->barrier) >= 0);
	}
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_barrier)
{
	struct world *w = setup(N);

	w->passes = 1;
	run(method, multipass, w);
	T_RESULT(mp_barrier_waiting(&w->barrier), 0);
	T_RESULT(mp_barrier_broken(&w->barrier, NULL), 0);
	T_RESULT(mp_barrier_parties(&w->barrier), N);
	teardown(w);
}

EACH_METHOD_AND_THREAD(barrier, test_barrier_10)
{
	struct world *w = setup(N);

	w->passes = 10;
	run(method, multipass, w);
	teardown(w);
}

static int note_index(struct world *w)
{
	int index = wait_at(&w->barrier);

	T_CHECK(index >= 0 && index < N);
	w->results[index]++;
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_wait_return)
{
	struct world *w = setup(N);

	run(method, note_index, w);
	for (int i = 0; i < N; i++)
		cr_assert_eq(w->results[i], 1);
	teardown(w);
}

static int count(void *arg)
{
	++*(atomic_int *)arg;
	return 0;
}

static int wait_with_action(struct world *w)
{
	for (int i = 1; i <= 3; i++) {
		T_CHECK(mp_barrier_wait_action(
				&w->barrier, count, &w->results[0], T_TIMEOUT_MS / 2) >= 0);
		T_CHECK(w->results[0] == i);
		T_CHECK(wait_at(&w->barrier) >= 0);
	}
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_action)
{
	struct world *w = setup(N);

	run(method, wait_with_action, w);
	cr_assert_eq(w->results[0], 3);
	teardown(w);
}

static int abort_or_break(struct world *w)
{
	int index = wait_at(&w->second);

	T_CHECK(index >= 0);
	if (index == N / 2) {
		T_CHECK(mp_barrier_abort(&w->barrier) == 0);
		return 0;
	}
	T_CHECK(wait_at(&w->barrier) == -EPIPE);
	T_CHECK(strstr(mp_error_detail(), "aborted it"));
	w->results[1]++;
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_abort)
{
	struct world *w = setup(N);
	mp_barrier_party by;

	run(method, abort_or_break, w);
	cr_assert_eq(w->results[1], N - 1);
	T_RESULT(mp_barrier_broken(&w->barrier, &by), MP_BARRIER_ABORTED);
	cr_assert(by.pid > 0 && by.tid > 0 && by.name[0]);
	teardown(w);
}

static int reset_while_four_wait(struct world *w)
{
	int index = wait_at(&w->second);

	T_CHECK(index >= 0);
	if (index == N / 2) {
		while (mp_barrier_waiting(&w->barrier) < N - 1)
			sched_yield();
		T_CHECK(mp_barrier_reset(&w->barrier) == 0);
	} else {
		T_CHECK(wait_at(&w->barrier) == -ECANCELED);
		w->results[1]++;
	}
	T_CHECK(wait_at(&w->barrier) >= 0);
	w->results[2]++;
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_reset)
{
	struct world *w = setup(N);

	run(method, reset_while_four_wait, w);
	cr_assert_eq(w->results[1], N - 1);
	cr_assert_eq(w->results[2], N);
	teardown(w);
}

static int abort_and_reset(struct world *w)
{
	abort_or_break(w);
	if (wait_at(&w->second) == N / 2)
		T_CHECK(mp_barrier_reset(&w->barrier) == 0);
	T_CHECK(wait_at(&w->second) >= 0);
	T_CHECK(wait_at(&w->barrier) >= 0);
	w->results[2]++;
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_abort_and_reset)
{
	struct world *w = setup(N);

	run(method, abort_and_reset, w);
	cr_assert_eq(w->results[1], N - 1);
	cr_assert_eq(w->results[2], N);
	T_RESULT(mp_barrier_broken(&w->barrier, NULL), 0);
	teardown(w);
}

/* The late one comes when the others have given up. */
static int all_but_one_time_out(struct world *w)
{
	int index = wait_at(&w->second);

	T_CHECK(index >= 0);
	if (index == N / 2) {
		while (mp_barrier_broken(&w->barrier, NULL) == 0)
			sched_yield();
		T_CHECK(wait_at(&w->barrier) == -EPIPE);
		T_CHECK(strstr(mp_error_detail(), "waited in vain"));
		return 0;
	}
	int r = mp_barrier_wait(&w->barrier, 200);
	T_CHECK(r == -ETIMEDOUT || r == -EPIPE);
	w->results[r == -ETIMEDOUT]++;
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_timeout)
{
	struct world *w = setup(N);

	run(method, all_but_one_time_out, w);
	cr_assert(w->results[1] >= 1);
	cr_assert_eq(w->results[0] + w->results[1], N - 1);
	T_RESULT(mp_barrier_broken(&w->barrier, NULL), MP_BARRIER_TIMED_OUT);
	teardown(w);
}

static int wait_without_limit(struct world *w)
{
	int r = mp_barrier_wait(&w->barrier, MP_FOREVER);

	T_CHECK(r == -ETIMEDOUT || r == -EPIPE);
	w->results[0]++;
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_default_timeout)
{
	struct world *w = setup(N);

	T_OK(mp_barrier_init(&w->barrier, N + 1, MP_BARRIER_OPTIONS(.timeout_ms = 300)));
	run(method, wait_without_limit, w);
	cr_assert_eq(w->results[0], N);
	teardown(w);
}

Test(barrier, test_single_thread)
{
	struct world *w = setup(1);

	T_RESULT(mp_barrier_wait(&w->barrier, MP_FOREVER), 0);
	T_RESULT(mp_barrier_wait(&w->barrier, MP_FOREVER), 0);
	T_RESULT(mp_barrier_wait(&w->barrier, MP_NOWAIT), 0);
	teardown(w);
}

static int thousand(struct world *w)
{
	for (int i = 0; i < 1000; i++) {
		T_CHECK(wait_at(&w->barrier) >= 0);
		/* Nobody is in the next round before all have been in this one. */
		T_CHECK(i == 0 || w->rounds[i - 1] == N);
		w->rounds[i]++;
	}
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, test_thousand)
{
	struct world *w = setup(N);

	run(method, thousand, w);
	cr_assert_eq(w->rounds[999], N);
	teardown(w);
}

/* --- the rest ------------------------------------------------------------------------------------ */

static int refuse(void *arg)
{
	++*(atomic_int *)arg;
	return mp_error_set(-EACCES, "not today");
}

static int wait_with_bad_action(struct world *w)
{
	int r = mp_barrier_wait_action(&w->barrier, refuse, &w->results[0], T_TIMEOUT_MS / 2);

	if (r == -EACCES) {
		T_CHECK(strcmp(mp_error_detail(), "not today") == 0);
		w->results[1]++;
	} else {
		T_CHECK(r == -EPIPE && strstr(mp_error_detail(), "action"));
		w->results[2]++;
	}
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, a_failing_action_breaks_it)
{
	struct world *w = setup(N);
	mp_barrier_party by;

	run(method, wait_with_bad_action, w);
	cr_assert_eq(w->results[0], 1);
	cr_assert_eq(w->results[1], 1);
	cr_assert_eq(w->results[2], N - 1);
	T_RESULT(mp_barrier_broken(&w->barrier, &by), MP_BARRIER_ACTION_FAILED);
	teardown(w);
}

static int use_own_barrier(void *arg)
{
	mp_barrier *b = arg;

	T_CHECK(mp_barrier_wait(b, MP_FOREVER) == -EDEADLK);
	T_CHECK(mp_barrier_leave(b) == -EDEADLK);
	T_CHECK(mp_barrier_destroy(b) == -EBUSY);
	T_CHECK(mp_barrier_waiting(b) == 1);
	return 0;
}

Test(barrier, an_action_cannot_wait_for_itself)
{
	struct world *w = setup(1);

	T_RESULT(mp_barrier_wait_action(&w->barrier, use_own_barrier, &w->barrier, MP_FOREVER), 0);
	teardown(w);
}

static int reset_own_barrier(void *arg)
{
	T_CHECK(mp_barrier_reset(arg) == 0);
	return 0;
}

static int abort_own_barrier(void *arg)
{
	T_CHECK(mp_barrier_abort(arg) == 0);
	return 0;
}

Test(barrier, an_action_may_reset_or_abort)
{
	struct world *w = setup(1);

	T_RESULT(mp_barrier_wait_action(&w->barrier, reset_own_barrier, &w->barrier, MP_FOREVER),
		-ECANCELED);
	T_RESULT(mp_barrier_wait_action(&w->barrier, abort_own_barrier, &w->barrier, MP_FOREVER),
		-EPIPE);
	T_RESULT(mp_barrier_wait(&w->barrier, MP_FOREVER), -EPIPE);
	T_OK(mp_barrier_reset(&w->barrier));
	T_RESULT(mp_barrier_wait(&w->barrier, MP_FOREVER), 0);
	teardown(w);
}

Test(barrier, trying_breaks_nothing)
{
	struct world *w = setup(2);

	T_RESULT(mp_barrier_wait(&w->barrier, MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_barrier_broken(&w->barrier, NULL), 0);
	T_RESULT(mp_barrier_wait(&w->barrier, 1), -ETIMEDOUT);
	T_RESULT(mp_barrier_wait(&w->barrier, MP_NOWAIT), -EPIPE);
	teardown(w);
}

static int wait_until_cancelled(void *arg)
{
	struct world *w = arg;

	t_ready();
	T_CHECK(mp_barrier_wait(&w->barrier, T_TIMEOUT_MS / 2) == -ECANCELED);
	return 0;
}

static void wait_for_waiters(struct world *w, int n)
{
	while (mp_barrier_waiting(&w->barrier) < n)
		sched_yield();
}

Test(barrier, destroy_while_somebody_waits)
{
	struct world *w = setup(2);
	struct t_child child = t_spawn(wait_until_cancelled, w);

	t_wait_ready(&child);
	wait_for_waiters(w, 1);
	T_RESULT(mp_barrier_destroy(&w->barrier), -EBUSY);
	T_OK(mp_barrier_reset(&w->barrier));
	t_expect_exit(&child, 0);
	teardown(w);
}

Test(barrier, wrong_uses)
{
	static mp_barrier never;
	struct world *w = setup(2);
	mp_barrier *odd = (mp_barrier *)((char *)&w->barrier + 4);
	mp_barrier_party by;
	mp_barrier_options options = {.size = sizeof(options), .flags = 1};

	T_RESULT(mp_barrier_init(&never, 0, NULL), -EINVAL);
	T_RESULT(mp_barrier_init(&never, -1, NULL), -EINVAL);
	T_RESULT(mp_barrier_init(&never, INT32_MAX, NULL), -ENOSPC);
	T_RESULT(mp_barrier_init(&never, MP_BARRIER_PARTIES_MAX + 1, NULL), -ENOSPC);
	T_RESULT(mp_barrier_init(NULL, 2, NULL), -EINVAL);
	T_RESULT(mp_barrier_init(odd, 2, NULL), -EINVAL);
	T_RESULT(mp_barrier_init(&never, 2, &options), -EINVAL);
	T_RESULT(mp_barrier_init(&never, 2, MP_BARRIER_OPTIONS(.timeout_ms = -1)), -EINVAL);
	struct {
		mp_barrier_options o;
		int more;
	} newer = {.o = {.size = sizeof(newer)}, .more = 1};
	T_RESULT(mp_barrier_init(&never, 2, &newer.o), -E2BIG);

	mp_barrier *const wrong[] = {NULL, odd, &never};
	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_barrier_wait(wrong[i], MP_NOWAIT), -EINVAL);
		T_RESULT(mp_barrier_wait_action(wrong[i], NULL, NULL, MP_NOWAIT), -EINVAL);
		T_RESULT(mp_barrier_abort(wrong[i]), -EINVAL);
		T_RESULT(mp_barrier_reset(wrong[i]), -EINVAL);
		T_RESULT(mp_barrier_join(wrong[i]), -EINVAL);
		T_RESULT(mp_barrier_leave(wrong[i]), -EINVAL);
		T_RESULT(mp_barrier_parties(wrong[i]), -EINVAL);
		T_RESULT(mp_barrier_waiting(wrong[i]), -EINVAL);
		T_RESULT(mp_barrier_broken(wrong[i], &by), -EINVAL);
		T_RESULT(mp_barrier_destroy(wrong[i]), -EINVAL);
	}
	T_RESULT(mp_barrier_leave(&w->barrier), -EPERM);
	teardown(w);
}

/* As if a signal handler had interrupted this thread inside. */
Test(barrier, a_call_inside_a_call)
{
	struct world *w = setup(2);
	uint64_t *guard = (uint64_t *)(void *)&w->barrier + 4;

	*guard = mp__stamp_self();
	T_RESULT(mp_barrier_wait(&w->barrier, MP_FOREVER), -EDEADLK);
	T_RESULT(mp_barrier_abort(&w->barrier), -EDEADLK);
	T_RESULT(mp_barrier_reset(&w->barrier), -EDEADLK);
	T_RESULT(mp_barrier_join(&w->barrier), -EDEADLK);
	T_RESULT(mp_barrier_leave(&w->barrier), -EDEADLK);
	T_RESULT(mp_barrier_destroy(&w->barrier), -EDEADLK);
	*guard = 0;
	teardown(w);
}

Test(barrier, a_destroyed_one_is_none)
{
	mp_barrier b;

	T_OK(mp_barrier_init(&b, 2, NULL));
	T_OK(mp_barrier_destroy(&b));
	T_RESULT(mp_barrier_wait(&b, MP_NOWAIT), -EINVAL);
	T_OK(mp_barrier_init(&b, 1, NULL));
	T_RESULT(mp_barrier_wait(&b, MP_NOWAIT), 0);
}

/* More threads than parties; who comes too late for a last round is sent away. */
static void *pass_some(void *arg)
{
	struct world *w = arg;

	for (int i = 0; i < 300; i++) {
		int r = wait_at(&w->barrier);
		if (r == -ECANCELED)
			break;
		T_CHECK(r >= 0);
		w->results[0]++;
	}
	w->results[1]++;
	return NULL;
}

Test(barrier, more_threads_than_parties)
{
	struct world *w = setup(3);
	pthread_t threads[6];

	for (int i = 0; i < 6; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, pass_some, w), 0);
	while (w->results[1] < 4)
		sched_yield();
	while (w->results[1] + mp_barrier_waiting(&w->barrier) < 6)
		sched_yield();
	T_OK(mp_barrier_reset(&w->barrier));
	for (int i = 0; i < 6; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert(w->results[0] > 4 * 299 && w->results[0] % 3 == 0);
	T_RESULT(mp_barrier_broken(&w->barrier, NULL), 0);
	teardown(w);
}

static void *pass_once(void *arg)
{
	struct world *w = arg;

	T_CHECK(wait_at(&w->barrier) >= 0);
	return NULL;
}

Test(barrier, threads_may_end_and_others_come)
{
	struct world *w = setup(2);
	pthread_t thread;

	for (int i = 0; i < 50; i++) {
		cr_assert_eq(pthread_create(&thread, NULL, pass_once, w), 0);
		if (i % 2)
			wait_for_waiters(w, 1);
		cr_assert(wait_at(&w->barrier) >= 0);
		cr_assert_eq(pthread_join(thread, NULL), 0);
	}
	teardown(w);
}

static void *pass_sixty_four(void *arg)
{
	struct world *w = arg;

	for (int i = 0; i < 20; i++) {
		int index = wait_at(&w->barrier);
		T_CHECK(index >= 0 && index < MP_BARRIER_PARTIES_MAX);
		w->rounds[i * 16]++;
	}
	return NULL;
}

Test(barrier, sixty_four_parties)
{
	struct world *w = setup(MP_BARRIER_PARTIES_MAX);
	pthread_t threads[MP_BARRIER_PARTIES_MAX];

	for (int i = 0; i < MP_BARRIER_PARTIES_MAX; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, pass_sixty_four, w), 0);
	for (int i = 0; i < MP_BARRIER_PARTIES_MAX; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(w->rounds[19 * 16], MP_BARRIER_PARTIES_MAX);
	teardown(w);
}

/* --- objects of their own --------------------------------------------------------------------- */

static int pass_given(int argc, const mp_obj *argv)
{
	mp_barrier *b = mp_obj_barrier(&argv[0]);

	(void)argc;
	T_CHECK(b);
	T_CHECK(mp_obj_barrier(&argv[1]) == NULL);
	for (int i = 0; i < 5; i++)
		T_CHECK(mp_barrier_wait(b, T_TIMEOUT_MS / 2) >= 0);
	return 0;
}

EACH_METHOD_AND_THREAD(barrier, one_of_its_own_travels)
{
	mp_barrier *b;

	T_OK(mp_barrier_new(2, MP_BARRIER_OPTIONS(.name = "traveller"), &b));
	mp_process *p = start(pass_given, MP_ARGS(mp_handle(b), mp_i64(1)), BY(method));
	for (int i = 0; i < 5; i++)
		cr_assert(mp_barrier_wait(b, T_TIMEOUT_MS / 2) >= 0);
	finish(p, 0);
	cr_assert_eq(mp_barrier_ref(b), b);
	mp_barrier_close(b);
	T_RESULT(mp_barrier_parties(b), 2);
	T_OK(mp_barrier_destroy(b));
	mp_barrier_close(b);
}

#define MANY 200

static void *pass_thrice(void *arg)
{
	for (int i = 0; i < 3; i++)
		T_CHECK(mp_barrier_wait(arg, T_TIMEOUT_MS / 2) >= 0);
	return NULL;
}

Test(barrier, more_parties_than_fit_in_place)
{
	pthread_t threads[MANY];
	mp_barrier *b;

	T_OK(mp_barrier_new(MANY, NULL, &b));
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, pass_thrice, b), 0);
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	mp_barrier_close(b);
}

static int make_without_descriptors(void *argument)
{
	struct rlimit none = {0};
	mp_barrier *b;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	T_CHECK(mp_barrier_new(2, NULL, &b) == -EMFILE);
	return 0;
}

Test(barrier, new_ones_that_cannot_be)
{
	mp_barrier inside;
	mp_barrier *b;

	T_RESULT(mp_barrier_new(0, NULL, &b), -EINVAL);
	T_RESULT(mp_barrier_new(1, NULL, NULL), -EINVAL);
	T_RESULT(mp_barrier_new(4097, NULL, &b), -ENOSPC);
	T_OK(mp_barrier_new(4096, NULL, &b));
	T_RESULT(mp_barrier_parties(b), 4096);
	mp_barrier_close(b);
	mp_barrier_close(NULL);
	cr_assert_null(mp_barrier_ref(NULL));
	T_OK(mp_barrier_init(&inside, 2, NULL));
	mp_barrier_close(&inside);
	T_RESULT(mp_barrier_parties(mp_barrier_ref(&inside)), 2);
	mp_obj handle = mp_handle(&inside);
	cr_assert_eq(handle.type, MP_TYPE_NIL);
	cr_assert_null(mp_obj_barrier(&handle));
	struct t_child child = t_spawn(make_without_descriptors, NULL);
	t_expect_exit(&child, 0);
}

/* --- damaged ------------------------------------------------------------------------------------- */

Test(barrier, damage_is_an_error_or_a_bounded_wait)
{
	mp_barrier b;
	uint64_t *words = (uint64_t *)(void *)&b;
	unsigned seed = 1;

	for (int round = 0; round < 150; round++) {
		T_OK(mp_barrier_init(&b, 1 + round % 3, NULL));
		/* Word 0 is the magic. Guards that seem to belong to other machines cost time. */
		for (int i = 0; i < 1 + round % 7; i++) {
			size_t at = 5 + (size_t)rand_r(&seed) % (round % 2 ? 30 : 331);
			words[at] = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed);
			if (round % 5 == 0)
				words[at] &= 0x1f0000001f;
		}
		mp_barrier_party by;
		mp_barrier_join(&b);
		mp_barrier_wait(&b, MP_NOWAIT);
		mp_barrier_wait(&b, 2);
		mp_barrier_broken(&b, &by);
		mp_barrier_abort(&b);
		mp_barrier_waiting(&b);
		mp_barrier_reset(&b);
		mp_barrier_wait(&b, 1);
		mp_barrier_leave(&b);
	}
}

static body *const bodies[] = {multipass, note_index, wait_with_action, abort_or_break,
	reset_while_four_wait, abort_and_reset, all_but_one_time_out, wait_without_limit, thousand,
	wait_with_bad_action, NULL};
