/* SPDX-License-Identifier: MIT */
/* Parallel loops over memory that is shared. */
#include <config.h>

#include "tests/support/pool.h"

#include <mp/handle.h>
#include <mp/value.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(pool_for);

enum { N = 10000 };

struct field {
	_Atomic int touched[N];
	_Atomic int wait;
};

static struct field *make_field(void)
{
	struct field *f =
		mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert(f != MAP_FAILED);
	return f;
}

static int touch(const mp_range *range)
{
	struct field *f = range->context;

	for (size_t i = range->begin; i < range->end; i++)
		atomic_fetch_add(&f->touched[i], 1);
	return 0;
}

static int die_at_5000(const mp_range *range)
{
	touch(range);
	if (range->begin <= 5000 && 5000 < range->end)
		raise(SIGKILL);
	return 0;
}

static int fail_at_5000(const mp_range *range)
{
	if (range->begin <= 5000 && 5000 < range->end)
		return mp_error_set(-EDOM, "bad ground");
	return touch(range);
}

static int wait_in_it(const mp_range *range)
{
	struct field *f = range->context;

	while (atomic_load(&f->wait))
		sched_yield();
	return touch(range);
}

static int add_to_array(const mp_range *range)
{
	int64_t *array = mp_array_data(mp_obj_array(&range->argv[0]));

	if (range->argc != 1 || !array)
		return -EINVAL;
	for (size_t i = range->begin; i < range->end; i++)
		array[i] += (int64_t)i;
	return 0;
}

static void expect_touched(struct field *f, int times)
{
	for (int i = 0; i < N; i++)
		cr_assert(f->touched[i] == times, "%d: %d times", i, f->touched[i]);
}

Test(pool_for, each_iteration_runs_once)
{
	struct field *f = make_field();
	mp_pool *pool = t_pool(3);
	static const size_t chunks[] = {0, 1, 7, 4999, N, N + 1, SIZE_MAX / 2};

	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		T_OK(mp_pool_for(pool, touch, N, f, MP_FOR_OPTIONS(.chunk = chunks[i])));
		expect_touched(f, (int)i + 1);
	}
	T_OK(mp_pool_for(pool, touch, 0, f, NULL));
	T_OK(mp_pool_for(pool, touch, 1, f, NULL));
	cr_assert(f->touched[0] == (int)(sizeof(chunks) / sizeof(chunks[0])) + 1);
	t_pool_end(pool);
	munmap(f, sizeof(*f));
}

Test(pool_for, arrays_made_later_go_as_handles_under_every_start_method)
{
	static const int methods[] = {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER};

	for (int m = 0; m < 3; m++) {
		mp_pool *pool;
		mp_array *array;
		T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .start_method = methods[m]), &pool));
		T_OK(mp_array_new('q', N, NULL, NULL, &array));
		T_OK(mp_pool_for(pool, add_to_array, N, NULL,
			MP_FOR_OPTIONS(.args = MP_ARGS(mp_handle(array)))));
		const int64_t *data = mp_array_data(array);
		for (int i = 0; i < N; i++)
			cr_assert_eq(data[i], i);
		mp_array_close(array);
		t_pool_end(pool);
	}
}

struct lost {
	size_t begin;
	size_t end;
	int n;
	mp_crash crash;
};

static void note_lost(size_t begin, size_t end, const mp_crash *crash, void *data)
{
	struct lost *l = data;

	*l = (struct lost){.begin = begin, .end = end, .n = l->n + 1, .crash = *crash};
}

Test(pool_for, crash_in_a_piece_is_told_with_its_range_and_the_others_go_on)
{
	struct field *f = make_field();

	for (int workers = 1; workers <= 3; workers++) {
		mp_pool *pool = t_pool(workers);
		struct lost lost = {0};
		T_RESULT(
			mp_pool_for(pool, die_at_5000, N, f,
				MP_FOR_OPTIONS(.chunk = 10, .lost = note_lost, .lost_data = &lost)),
			-EOWNERDEAD);
		cr_assert(strstr(mp_error_detail(), "iterations 5000 to 5010: worker "), "%s",
			mp_error_detail());
		cr_assert(lost.n == 1 && lost.begin == 5000 && lost.end == 5010);
		cr_assert(lost.crash.signal == SIGKILL && lost.crash.begin == 5000);
		expect_touched(f, workers);
		T_OK(mp_pool_for(pool, touch, 0, f, NULL));
		t_pool_end(pool);
	}
	munmap(f, sizeof(*f));
}

/* One worker dies there; what is lost is told exactly. */
static void die_in_loop(const char *point, const char *action, int n_lost)
{
	struct field *f = make_field();

	t_arm(point, action);
	mp_pool *pool = t_pool(2);
	struct lost lost = {0};
	T_RESULT(mp_pool_for(pool, touch, N, f,
			 MP_FOR_OPTIONS(.chunk = 100, .lost = note_lost, .lost_data = &lost)),
		n_lost ? -EOWNERDEAD : 0);
	cr_assert(t_fired() && lost.n == n_lost);
	cr_assert(n_lost == 0 || lost.end - lost.begin == 100);
	for (size_t i = 0; i < N; i++)
		cr_assert_eq(f->touched[i], n_lost == 0 || i < lost.begin || i >= lost.end);
	t_pool_end(pool);
	t_disarm();
	munmap(f, sizeof(*f));
}

Test(pool_for, killed_between_taking_a_piece_and_running_it)
{
	die_in_loop("pool.in_piece", "kill", 1);
	die_in_loop("pool.piece_taken", "kill", 1);
	die_in_loop("pool.piece_taken", "exit", 1);
}

Test(pool_for, killed_before_it_takes_a_piece)
{
	die_in_loop("pool.piece_wanted", "kill", 0);
	die_in_loop("pool.piece_wanted", "exit", 0);
}

struct stopped {
	struct lost lost;
	struct field *field;
	mp_pool *pool;
};

/* Once all other pieces are done, the one that stopped with his is killed. */
static void *kill_stopped(void *argument)
{
	struct stopped *s = argument;
	siginfo_t info = {0};

	if (waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT) < 0)
		return NULL;
	for (int n = 0; n < N - 100; sched_yield()) {
		n = 0;
		for (int i = 0; i < N; i++)
			n += atomic_load(&s->field->touched[i]);
	}
	kill(info.si_pid, SIGKILL);
	return NULL;
}

Test(pool_for, piece_of_one_that_has_not_said_so_is_told_by_the_next_taker)
{
	struct stopped s = {.field = make_field()};
	pthread_t thread;

	t_arm("pool.piece_taken", "stop");
	s.pool = t_pool(2);
	T_OK(pthread_create(&thread, NULL, kill_stopped, &s));
	T_RESULT(mp_pool_for(s.pool, touch, N, s.field,
			 MP_FOR_OPTIONS(.chunk = 100, .lost = note_lost, .lost_data = &s.lost)),
		-EOWNERDEAD);
	T_OK(pthread_join(thread, NULL));
	cr_assert(s.lost.n == 1 && s.lost.end - s.lost.begin == 100);
	for (size_t i = 0; i < N; i++)
		cr_assert_eq(s.field->touched[i], i < s.lost.begin || i >= s.lost.end);
	t_pool_end(s.pool);
	t_disarm();
	munmap(s.field, sizeof(*s.field));
}

static int fail_at_once(const mp_range *range)
{
	(void)range;
	return -EDOM;
}

Test(pool_for, error_of_a_body_whose_worker_dies_with_it_is_no_success)
{
	t_arm("pool.before_commit", "kill");
	mp_pool *pool = t_pool(1);
	struct lost lost = {0};

	T_RESULT(mp_pool_for(pool, fail_at_once, 1000, NULL,
			 MP_FOR_OPTIONS(.chunk = 10, .lost = note_lost, .lost_data = &lost)),
		-EOWNERDEAD);
	cr_assert(lost.n == 1 && lost.begin == 0 && lost.end == 10);
	t_pool_end(pool);
	t_disarm();
}

Test(pool_for, more_pieces_than_can_be_counted)
{
	mp_pool *pool = t_pool(1);

	T_RESULT(mp_pool_for(pool, fail_at_once, (size_t)1 << 48, NULL, NULL), -EOVERFLOW);
	T_RESULT(mp_pool_for(pool, fail_at_once, (size_t)1 << 40, NULL, MP_FOR_OPTIONS(.chunk = 1)),
		-EOVERFLOW);
	T_RESULT(mp_pool_for(pool, fail_at_once, (size_t)1 << 40, NULL, NULL), -EDOM);
	t_pool_end(pool);
}

Test(pool_for, error_of_a_body_ends_the_loop)
{
	struct field *f = make_field();
	mp_pool *pool = t_pool(1);

	T_RESULT(mp_pool_for(pool, fail_at_5000, N, f, MP_FOR_OPTIONS(.chunk = 10)), -EDOM);
	cr_assert_str_eq(mp_error_detail(), "bad ground");
	for (int i = 0; i < N; i++)
		cr_assert_eq(f->touched[i], i < 5000);
	t_pool_end(pool);
	munmap(f, sizeof(*f));
}

Test(pool_for, loop_that_is_late_lets_nobody_take_from_the_next)
{
	struct field *f = make_field();
	mp_pool *pool = t_pool(2);

	atomic_store(&f->wait, 1);
	T_RESULT(mp_pool_for(pool, wait_in_it, N, f, MP_FOR_OPTIONS(.chunk = 1, .timeout_ms = 20)),
		-ETIMEDOUT);
	/* Two pieces run at most; the next loop takes the same counter. */
	mp_future *next = t_submit(pool, t_square, MP_ARGS(mp_i64(3)));
	atomic_store(&f->wait, 0);
	t_expect_i64(next, 9);
	int before = 0;
	for (int i = 0; i < N; i++)
		before += f->touched[i];
	cr_assert(before <= 2, "%d", before);
	T_OK(mp_pool_for(pool, touch, N, f, MP_FOR_OPTIONS(.chunk = 1)));
	t_pool_end(pool);
	int after = 0;
	for (int i = 0; i < N; i++)
		after += f->touched[i];
	cr_assert(after >= N + before && after <= N + 2, "%d", after);
	munmap(f, sizeof(*f));
}

static void *loop_in_thread(void *argument)
{
	void **a = argument;

	for (int i = 0; i < 20; i++) {
		int r = mp_pool_for(a[0], touch, N, a[1], MP_FOR_OPTIONS(.chunk = 100));
		if (r < 0)
			return NULL;
	}
	return a;
}

Test(pool_for, loops_of_several_threads_keep_apart)
{
	struct field *f = make_field();
	mp_pool *pool = t_pool(2);
	void *argument[] = {pool, f};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		T_OK(pthread_create(&threads[i], NULL, loop_in_thread, argument));
	for (int i = 0; i < 4; i++) {
		void *result;
		T_OK(pthread_join(threads[i], &result));
		cr_assert(result);
	}
	expect_touched(f, 80);
	t_pool_end(pool);
	munmap(f, sizeof(*f));
}

static void *late_loop(void *argument)
{
	void **a = argument;
	int r;

	do /* the test's own loop may stand in the way for an instant */
		r = mp_pool_for(a[0], wait_in_it, 1, a[1], NULL);
	while (r == -EBUSY);
	return (void *)(intptr_t)r;
}

Test(pool_for, misuse_is_an_error)
{
	struct field *f = make_field();
	mp_pool *pool = t_pool(1);
	void *argument[] = {pool, f};
	pthread_t threads[16];
	int busy;
	struct {
		mp_for_options options;
		int future_field;
	} newer = {.options = {.size = sizeof(newer)}, .future_field = 1};

	T_RESULT(mp_pool_for(NULL, touch, 1, f, NULL), -EINVAL);
	T_RESULT(mp_pool_for(pool, NULL, 1, f, NULL), -EINVAL);
	T_RESULT(mp_pool_for(pool, touch, 1, f, MP_FOR_OPTIONS(.flags = 1)), -EINVAL);
	T_RESULT(mp_pool_for(pool, touch, 1, f, MP_FOR_OPTIONS(.chunk = (size_t)-1)), -EINVAL);
	T_RESULT(mp_pool_for(pool, touch, 1, f, MP_FOR_OPTIONS(.args = mp_i64(1))), -EINVAL);
	T_RESULT(mp_pool_for(pool, touch, 1, f, &newer.options), -E2BIG);
	T_RESULT(mp_pool_for(pool, touch, (size_t)1 << 50, f, NULL), -EOVERFLOW);
	atomic_store(&f->wait, 1);
	for (int i = 0; i < 16; i++)
		T_OK(pthread_create(&threads[i], NULL, late_loop, argument));
	do {
		usleep(1000); /* leaves the last place to the last thread */
		busy = mp_pool_for(pool, touch, 1, f, MP_FOR_OPTIONS(.timeout_ms = 1));
	} while (busy == -ETIMEDOUT || busy == 0);
	T_RESULT(busy, -EBUSY);
	atomic_store(&f->wait, 0);
	for (int i = 0; i < 16; i++) {
		void *result;
		T_OK(pthread_join(threads[i], &result));
		cr_assert_eq((intptr_t)result, 0);
	}
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_RESULT(mp_pool_for(pool, touch, 1, f, NULL), -EPIPE);
	T_OK(mp_pool_close(pool));
	munmap(f, sizeof(*f));
}

static void see(const mp_progress *progress, void *data)
{
	*(mp_progress *)data = *progress;
}

Test(pool_for, progress_is_told)
{
	struct field *f = make_field();
	mp_pool *pool = t_pool(2);
	mp_progress last = {0};

	T_OK(mp_pool_for(pool, touch, N, f,
		MP_FOR_OPTIONS(.progress = see, .progress_data = &last, .progress_ms = 1)));
	cr_assert(last.done == N && last.total == N);
	t_pool_end(pool);
	munmap(f, sizeof(*f));
}
