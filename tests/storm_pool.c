/* SPDX-License-Identifier: MIT */
/*
 * A pool in a storm of SIGKILLs: every worker is killed by the kernel at an instant chosen at random,
 * a few milliseconds after its first task at most. Each task counts its own runs in shared memory, so
 * that the storm knows: a task that succeeded ran once, one that failed says that its worker died, a
 * task with retries succeeds in the end, and no loop runs an iteration twice. Afterwards the pool works.
 *
 * MP_STORM_KILLS says how many, 400 if it does not.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <mp.h>
#include <mp/handle.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TASKS 200
#define WORKERS 4
#define ROUNDS 64
#define LIFE_US 2000
/* A wait that takes so long hangs. Longer than any machine needs. */
#define TIMEOUT_MS 60000

struct sea {
	_Atomic bool calm; /* no more kills */
	_Atomic int armed; /* workers whose end is set */
	_Atomic int64_t
		round; /* a map that has failed leaves tasks that still run: they count nowhere */
	/* A map that has failed leaves tasks that still run: each round has its own. */
	_Atomic int runs[ROUNDS][TASKS];
};

static struct sea *sea;

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: %s (%s), after %d kills\n", __FILE__, __LINE__, \
				#condition, mp_error_detail(), atomic_load(&sea->armed));       \
			exit(1);                                                                \
		}                                                                               \
	} while (0)

/* Once in each worker: its end is set. The kernel does it, wherever the worker is then. */
static void set_end(void)
{
	static bool set;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct timespec now;
	timer_t timer;

	if (set || atomic_load(&sea->calm))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	unsigned seed = (unsigned)getpid() ^ (unsigned)now.tv_nsec;
	long us = 1 + rand_r(&seed) % LIFE_US;
	struct itimerspec when = {.it_value.tv_nsec = us * 1000};
	set = true;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
		timer_settime(timer, 0, &when, NULL) == 0)
		atomic_fetch_add(&sea->armed, 1);
}

/* Some microseconds, so that most kills find a task at work. */
static void work(void)
{
	for (volatile int i = 0; i < 5000; i++)
		;
}

/* Now and then a descriptor. */
static int answer_with_file(int64_t i, mp_obj *ret)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = mp_obj_copy(MP_LIST(mp_i64(i * i), mp_fd(fd)), ret);
	close(fd);
	return r;
}

static int task(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t i = argc > 0 ? mp_obj_i64(&argv[0]) : 0;
	int64_t round = i / TASKS;

	i %= TASKS;
	set_end();
	atomic_fetch_add(&sea->runs[round % ROUNDS][i], 1);
	work();
	/* Now and then a result that is too long for a slot. */
	if (i % 10 == 9) {
		static char big[3000];
		return mp_obj_copy(MP_LIST(mp_i64(i * i), mp_bytes(big, sizeof(big))), ret);
	}
	if (i % 10 == 4)
		return answer_with_file(i, ret);
	*ret = mp_i64(i * i);
	return 0;
}

static bool is_right(const mp_obj *result, int64_t i)
{
	if (i % 10 == 9)
		return mp_obj_len(result) == 2 && mp_obj_i64(&result->as.items[0]) == i * i;
	if (i % 10 == 4)
		return mp_obj_len(result) == 2 && mp_obj_i64(&result->as.items[0]) == i * i &&
		       fcntl(mp_obj_fd(&result->as.items[1]), F_GETFD) == FD_CLOEXEC;
	return mp_obj_i64(result) == i * i;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static mp_obj item(int64_t i)
{
	return mp_i64(atomic_load(&sea->round) * TASKS + i);
}

static void forget_runs(void)
{
	int64_t round = atomic_fetch_add(&sea->round, 1) + 1;

	for (int i = 0; i < TASKS; i++)
		atomic_store(&sea->runs[round % ROUNDS][i], 0);
}

/* How often it has run in this round. */
static int runs_of(int i)
{
	return atomic_load(&sea->runs[atomic_load(&sea->round) % ROUNDS][i]);
}

static int n_crashed;

static void submit_all(mp_pool *pool)
{
	mp_future *futures[TASKS];

	for (int64_t i = 0; i < TASKS; i++)
		CHECK(mp_pool_submit(pool, task, MP_ARGS(item(i)), &futures[i]) == 0);
	CHECK(mp_future_wait(futures, TASKS, MP_WAIT_ALL, TIMEOUT_MS) == TASKS);
	for (int i = 0; i < TASKS; i++) {
		mp_obj result;
		mp_crash crash;
		int r = mp_future_result(futures[i], MP_NOWAIT, &result);
		if (r == 0) {
			CHECK(is_right(&result, i) && runs_of(i) == 1);
			mp_obj_free(&result);
		} else {
			CHECK(r == -EOWNERDEAD && runs_of(i) <= 1);
			CHECK(mp_future_crash(futures[i], 0, &crash) == 0);
			CHECK(crash.signal == SIGKILL);
			n_crashed++;
		}
		mp_future_close(futures[i]);
	}
}

static void submit_with_retries(mp_pool *pool)
{
	mp_future *futures[TASKS];

	for (int64_t i = 0; i < TASKS; i++)
		CHECK(mp_pool_submit_with(pool, task, MP_ARGS(item(i)),
			      MP_TASK_OPTIONS(.retries = 1000), &futures[i]) == 0);
	for (int i = 0; i < TASKS; i++) {
		mp_obj result;
		mp_crash crash;
		int deaths = 0;
		CHECK(mp_future_result(futures[i], TIMEOUT_MS, &result) == 0);
		CHECK(is_right(&result, i));
		mp_obj_free(&result);
		while (mp_future_crash(futures[i], deaths, &crash) == 0)
			deaths++;
		CHECK(runs_of(i) >= 1 && (deaths == 8 || runs_of(i) <= 1 + deaths));
		mp_future_close(futures[i]);
	}
}

static void map_all(mp_pool *pool, size_t chunk)
{
	mp_obj items[TASKS];
	mp_obj results[TASKS];

	for (int64_t i = 0; i < TASKS; i++)
		items[i] = item(i);
	int r = mp_pool_map_with(pool, task, items, TASKS,
		MP_MAP_OPTIONS(.chunk = chunk, .timeout_ms = TIMEOUT_MS), results);
	CHECK(r == 0 || r == -EOWNERDEAD);
	for (int i = 0; i < TASKS; i++) {
		int runs = runs_of(i); /* of a map that failed some chunks may still run */
		CHECK(runs == 1 || (r < 0 && runs == 0));
		if (r == 0)
			CHECK(is_right(&results[i], i));
		if (r == 0)
			mp_obj_free(&results[i]);
	}
	n_crashed += r < 0;
}

static int next(void *data, mp_obj *ret_item)
{
	int64_t *at = data;

	if (*at == TASKS)
		return 0;
	*ret_item = item((*at)++);
	return 1;
}

static void imap_all(mp_pool *pool)
{
	int64_t at = 0;
	mp_imap *imap;

	CHECK(mp_pool_imap(pool, task, next, &at, NULL, &imap) == 0);
	for (int i = 0; i < TASKS; i++) {
		mp_obj result;
		int r = mp_imap_next(imap, TIMEOUT_MS, &result);
		CHECK(r == 1 ? is_right(&result, i) && runs_of(i) == 1
			     : r == -EOWNERDEAD && runs_of(i) <= 1);
		if (r == 1)
			mp_obj_free(&result);
		n_crashed += r < 0;
	}
	mp_obj none;
	CHECK(mp_imap_next(imap, TIMEOUT_MS, &none) == 0);
	mp_imap_close(imap);
}

static bool lost[TASKS];

static void note_lost(size_t begin, size_t end, const mp_crash *crash, void *data)
{
	(void)data;
	CHECK(crash->signal == SIGKILL);
	for (size_t i = begin; i < end; i++) {
		CHECK(!lost[i]);
		lost[i] = true;
	}
}

static int body(const mp_range *range)
{
	set_end();
	for (size_t i = range->begin; i < range->end; i++)
		atomic_fetch_add(&sea->runs[(intptr_t)range->context % ROUNDS][i], 1);
	work();
	return 0;
}

static void loop(mp_pool *pool)
{
	for (int i = 0; i < TASKS; i++)
		lost[i] = false;
	int r = mp_pool_for(pool, body, TASKS, (void *)(intptr_t)atomic_load(&sea->round),
		MP_FOR_OPTIONS(.chunk = 3, .timeout_ms = TIMEOUT_MS, .lost = note_lost));
	CHECK(r == 0 || r == -EOWNERDEAD);
	for (int i = 0; i < TASKS; i++)
		CHECK(lost[i] ? r < 0 && runs_of(i) <= 1 : runs_of(i) == 1);
	n_crashed += r < 0;
}

int main(void)
{
	const char *text = getenv("MP_STORM_KILLS");
	int kills = text ? atoi(text) : 400;
	mp_pool *pool;
	int rounds = 0;

	sea = mmap(NULL, sizeof(*sea), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sea == MAP_FAILED)
		return 1;
	int fds = count_fds();
	CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = WORKERS), &pool) == 0);
	for (; atomic_load(&sea->armed) < kills; rounds++) {
		forget_runs();
		switch (rounds % 6) {
		case 0:
			submit_all(pool);
			break;
		case 1:
			map_all(pool, 1);
			break;
		case 2:
			submit_with_retries(pool);
			break;
		case 3:
			imap_all(pool);
			break;
		case 4:
			loop(pool);
			break;
		default:
			map_all(pool, 10);
		}
	}
	/* The last of those that have to die. */
	atomic_store(&sea->calm, true);
	int left = WORKERS;
	for (int i = 0; i < 100 && left > 0; i++) {
		forget_runs();
		int before = n_crashed;
		submit_all(pool);
		left = n_crashed > before ? WORKERS : left - 1;
		usleep(LIFE_US); /* not a wait for anything: lives end by the clock */
	}
	forget_runs();
	int crashed = n_crashed;
	submit_all(pool);
	CHECK(n_crashed == crashed);
	CHECK(mp_pool_join(pool, TIMEOUT_MS) == 0);
	mp_pool_close(pool);
	CHECK(count_fds() == fds);
	printf("%d kills, %d rounds, %d tasks or maps reported a death\n", atomic_load(&sea->armed),
		rounds, n_crashed);
	return 0;
}
