/* SPDX-License-Identifier: MIT */
/* Semaphores, events, conditions: a permit taken and given back, and two processes that tell each other. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <linux/futex.h>
#include <mp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAIRS 1000
#define HAND_OVERS 100

enum where { ONE_CPU, TWO_CPUS };

/* In shared memory; of each pair, [0] is told by the measuring process, [1] by the other one. */
struct shared {
	mp_semaphore semaphore;
	mp_event events[2];
	sem_t sems[2];
	mp_lock lock;
	mp_condition changed;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int turn; /* whose: under the lock or the mutex */
	_Alignas(64) _Atomic uint32_t word0;
	_Alignas(64) _Atomic uint32_t word1;
};

struct telling {
	struct shared *s;
	pid_t pid;
};

static struct shared *map_shared(void)
{
	void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* --- semaphore: acquire and release, nobody else there ------------------------------------------ */

static int pair_mp(void *arg)
{
	mp_semaphore *semaphore = arg;

	for (int i = 0; i < PAIRS; i++) {
		int r = mp_semaphore_acquire(semaphore, MP_FOREVER);
		if (r == 0)
			r = mp_semaphore_release(semaphore);
		if (r < 0)
			return bench_fail_mp("a permit taken and given back", r);
	}
	return 0;
}

static int pair_posix(void *arg)
{
	for (int i = 0; i < PAIRS; i++) {
		if (sem_wait(arg) < 0 || sem_post(arg) < 0)
			return bench_fail("sem_wait, sem_post failed");
	}
	return 0;
}

/* The least that both sides must do: one atomic operation each. */
static int pair_atomic(void *arg)
{
	_Atomic uint32_t *word = arg;

	for (int i = 0; i < PAIRS; i++) {
		atomic_fetch_sub(word, 1);
		atomic_fetch_add(word, 1);
	}
	return 0;
}

static int setup_pair(struct bench *b)
{
	struct shared *s = map_shared();

	if (!s)
		return bench_fail("no shared memory");
	int r = mp_semaphore_init(&s->semaphore, 1, NULL);
	if (r < 0)
		return bench_fail_mp("mp_semaphore_init", r);
	sem_init(&s->sems[0], 1, 1);
	b->state = s;
	return 0;
}

static int run_pair_mp(struct bench *b, double *ret_value)
{
	return bench_rate(pair_mp, &((struct shared *)b->state)->semaphore, PAIRS, ret_value);
}

static int run_pair_posix(struct bench *b, double *ret_value)
{
	return bench_rate(pair_posix, &((struct shared *)b->state)->sems[0], PAIRS, ret_value);
}

static int run_pair_atomic(struct bench *b, double *ret_value)
{
	return bench_rate(pair_atomic, &((struct shared *)b->state)->word0, PAIRS, ret_value);
}

/* --- hand-over: tell the other one, wait until it tells back ------------------------------------- */

typedef int exchange(struct shared *s, int me);

static int exchange_events(struct shared *s, int me)
{
	int r = 0;

	if (me == 0)
		r = mp_event_set(&s->events[0]);
	if (r == 0)
		r = mp_event_wait(&s->events[!me], MP_FOREVER);
	if (r == 0)
		r = mp_event_clear(&s->events[!me]);
	if (r == 0 && me == 1)
		r = mp_event_set(&s->events[1]);
	return r < 0 ? bench_fail_mp("handing over", r) : 0;
}

static int exchange_sems(struct shared *s, int me)
{
	if (me == 0)
		sem_post(&s->sems[0]);
	while (sem_wait(&s->sems[!me]) < 0)
		;
	if (me == 1)
		sem_post(&s->sems[1]);
	return 0;
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void tell_futex(_Atomic uint32_t *word)
{
	atomic_store(word, 1);
	futex(word, FUTEX_WAKE, 1);
}

static void await_futex(_Atomic uint32_t *word)
{
	while (atomic_exchange(word, 0) == 0)
		futex(word, FUTEX_WAIT, 0);
}

static int exchange_futexes(struct shared *s, int me)
{
	if (me == 0)
		tell_futex(&s->word0);
	await_futex(me ? &s->word0 : &s->word1);
	if (me == 1)
		tell_futex(&s->word1);
	return 0;
}

static void await_store(_Atomic uint32_t *word)
{
	while (atomic_load_explicit(word, memory_order_acquire) == 0)
		;
	atomic_store_explicit(word, 0, memory_order_relaxed);
}

static int exchange_stores(struct shared *s, int me)
{
	if (me == 0)
		atomic_store_explicit(&s->word0, 1, memory_order_release);
	await_store(me ? &s->word0 : &s->word1);
	if (me == 1)
		atomic_store_explicit(&s->word1, 1, memory_order_release);
	return 0;
}

/* Wait for one's turn, and give it to the other one. */
static int exchange_turns(struct shared *s, int me)
{
	int r = mp_lock_acquire(&s->lock, MP_FOREVER);

	while (r == 0 && s->turn != me)
		r = mp_condition_wait(&s->changed, &s->lock, MP_FOREVER);
	s->turn = !me;
	if (r == 0)
		r = mp_lock_release(&s->lock);
	if (r == 0)
		r = mp_condition_notify(&s->changed, 1);
	return r != 0 ? bench_fail_mp("handing over", r) : 0;
}

static int exchange_turns_posix(struct shared *s, int me)
{
	pthread_mutex_lock(&s->mutex);
	while (s->turn != me)
		pthread_cond_wait(&s->cond, &s->mutex);
	s->turn = !me;
	pthread_mutex_unlock(&s->mutex);
	pthread_cond_signal(&s->cond);
	return 0;
}

static int make_conditions(struct shared *s)
{
	pthread_mutexattr_t for_mutex;
	pthread_condattr_t for_cond;
	int r = mp_lock_init(&s->lock, NULL);

	if (r == 0)
		r = mp_condition_init(&s->changed, NULL);
	if (r < 0)
		return bench_fail_mp("mp_condition_init", r);
	pthread_mutexattr_init(&for_mutex);
	pthread_mutexattr_setpshared(&for_mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &for_mutex);
	pthread_condattr_init(&for_cond);
	pthread_condattr_setpshared(&for_cond, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&s->cond, &for_cond);
	return 0;
}

static exchange *const exchanges[] = {exchange_events, exchange_sems, exchange_futexes,
	exchange_stores, exchange_turns, exchange_turns_posix};

/* The variant: which exchange, and where. */
#define VARIANT(which, where) ((which)*2 + (int)(where))

static int setup_telling(struct bench *b)
{
	struct telling *t = calloc(1, sizeof(*t));

	if (!t || !(t->s = map_shared()))
		return bench_fail("no shared memory");
	for (int i = 0; i < 2; i++) {
		sem_init(&t->s->sems[i], 1, 0);
		int r = mp_event_init(&t->s->events[i], NULL);
		if (r < 0)
			return bench_fail_mp("mp_event_init", r);
	}
	if (make_conditions(t->s) < 0)
		return -1;
	t->pid = bench_fork();
	if (t->pid == 0) {
		while (exchanges[b->variant / 2](t->s, 1) == 0)
			;
		_exit(1);
	}
	b->state = t;
	if (t->pid < 0 || bench_place(0, 0) < 0)
		return -1;
	return bench_place(t->pid, b->variant % 2);
}

static int tell(void *arg)
{
	struct bench *b = arg;
	struct telling *t = b->state;

	for (int i = 0; i < HAND_OVERS / 2; i++) {
		if (exchanges[b->variant / 2](t->s, 0) < 0)
			return -1;
	}
	return 0;
}

static int run_telling(struct bench *b, double *ret_value)
{
	int r = bench_time(tell, b, ret_value);

	*ret_value /= HAND_OVERS;
	return r;
}

static void teardown_telling(struct bench *b)
{
	struct telling *t = b->state;

	bench_reap(t->pid);
	free(t);
}

#define TELLING(row, who, which, where)                                                        \
	{                                                                                      \
		row, who, setup_telling, run_telling, teardown_telling, VARIANT(which, where), \
			NULL                                                                   \
	}

const struct bench bench_signal[] = {
	{"semaphore", "libmp", setup_pair, run_pair_mp, NULL, 0, NULL},
	{"semaphore", "floor", setup_pair, run_pair_atomic, NULL, 0, NULL},
	{"semaphore", "sem_t", setup_pair, run_pair_posix, NULL, 0, NULL},
	TELLING("event_handover", "libmp", 0, ONE_CPU),
	TELLING("event_handover", "floor", 2, ONE_CPU),
	TELLING("event_handover", "sem_t", 1, ONE_CPU),
	TELLING("event_handover_spin", "libmp", 0, TWO_CPUS),
	TELLING("event_handover_spin", "floor", 3, TWO_CPUS),
	TELLING("event_handover_spin", "sem_t", 1, TWO_CPUS),
	TELLING("condition_handover", "libmp", 4, ONE_CPU),
	TELLING("condition_handover", "floor", 2, ONE_CPU),
	TELLING("condition_handover", "pthread", 5, ONE_CPU),
	TELLING("condition_handover_spin", "libmp", 4, TWO_CPUS),
	TELLING("condition_handover_spin", "floor", 3, TWO_CPUS),
	TELLING("condition_handover_spin", "pthread", 5, TWO_CPUS),
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
