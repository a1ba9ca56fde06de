/* SPDX-License-Identifier: MIT */
/* Locks in shared memory: alone, against another process, handed over to one that sleeps. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <linux/futex.h>
#include <mp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH 100
/* After this, whoever waits has gone to sleep. */
#define ASLEEP_NS 200000

enum kind { LOCK, RLOCK, RWLOCK, WORD, FUTEX, ROBUST, MUTEX, SEM, PTHREAD_RWLOCK };

/* Each on cache lines of its own, in memory shared by the contender and its peer. */
struct arena {
	union {
		mp_lock lock;
		mp_rlock rlock;
		mp_rwlock rwlock;
		_Atomic uint32_t word;
		pthread_mutex_t mutex;
		pthread_rwlock_t pthread_rwlock;
		sem_t sem;
		char room[4096];
	} u;
	_Alignas(64) volatile long guarded;
	_Alignas(64) _Atomic bool stop;
	_Atomic int64_t taken_at;
};

struct rig {
	struct arena *arena;
	enum kind kind;
	int fd; /* to the peer */
	pid_t peer;
};

static struct rig rig; /* of this contender; its peer is forked from it */

/* --- the kinds ------------------------------------------------------------------------------------ */

static int make_mutex(pthread_mutex_t *mutex, bool robust)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	return -pthread_mutex_init(mutex, &a);
}

static int make_rwlock(pthread_rwlock_t *rwlock)
{
	pthread_rwlockattr_t a;

	pthread_rwlockattr_init(&a);
	pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	return -pthread_rwlock_init(rwlock, &a);
}

static int make(struct arena *arena, enum kind kind)
{
	switch (kind) {
	case LOCK:
		return mp_lock_init(&arena->u.lock, NULL);
	case RLOCK:
		return mp_rlock_init(&arena->u.rlock, NULL);
	case RWLOCK:
		return mp_rwlock_init(&arena->u.rwlock, NULL);
	case ROBUST:
	case MUTEX:
		return make_mutex(&arena->u.mutex, kind == ROBUST);
	case SEM:
		return sem_init(&arena->u.sem, 1, 1);
	case PTHREAD_RWLOCK:
		return make_rwlock(&arena->u.pthread_rwlock);
	default:
		return 0;
	}
}

static int take_futex(_Atomic uint32_t *word)
{
	while (atomic_exchange(word, 1) != 0)
		(void)syscall(SYS_futex, word, FUTEX_WAIT, 1, NULL, NULL, 0);
	return 0;
}

static int take_word(_Atomic uint32_t *word)
{
	uint32_t nobody = 0;

	return atomic_compare_exchange_strong(word, &nobody, 1) ? 0 : -EBUSY;
}

static inline int take(struct arena *arena, enum kind kind)
{
	switch (kind) {
	case LOCK:
		return mp_lock_acquire(&arena->u.lock, MP_FOREVER);
	case RLOCK:
		return mp_rlock_acquire(&arena->u.rlock, MP_FOREVER);
	case RWLOCK:
		return mp_rwlock_acquire_read(&arena->u.rwlock, MP_FOREVER);
	case ROBUST:
	case MUTEX:
		return -pthread_mutex_lock(&arena->u.mutex);
	case SEM:
		return sem_wait(&arena->u.sem);
	case PTHREAD_RWLOCK:
		return -pthread_rwlock_rdlock(&arena->u.pthread_rwlock);
	case FUTEX:
		return take_futex(&arena->u.word);
	default:
		return take_word(&arena->u.word);
	}
}

static inline int give(struct arena *arena, enum kind kind)
{
	switch (kind) {
	case LOCK:
		return mp_lock_release(&arena->u.lock);
	case RLOCK:
		return mp_rlock_release(&arena->u.rlock);
	case RWLOCK:
		return mp_rwlock_release_read(&arena->u.rwlock);
	case ROBUST:
	case MUTEX:
		return -pthread_mutex_unlock(&arena->u.mutex);
	case SEM:
		return sem_post(&arena->u.sem);
	case PTHREAD_RWLOCK:
		return -pthread_rwlock_unlock(&arena->u.pthread_rwlock);
	case FUTEX:
		atomic_store(&arena->u.word, 0);
		(void)syscall(SYS_futex, &arena->u.word, FUTEX_WAKE, 1, NULL, NULL, 0);
		return 0;
	default:
		atomic_exchange(&arena->u.word, 0);
		return 0;
	}
}

/* Two readers by atomics: a counter that both raise and lower. */
static int count_word(struct arena *arena)
{
	atomic_fetch_add(&arena->u.word, 1);
	atomic_fetch_sub(&arena->u.word, 1);
	return 0;
}

static int setup(struct bench *b)
{
	rig.kind = (enum kind)b->variant;
	rig.fd = -1;
	rig.peer = -1;
	rig.arena = mmap(NULL, sizeof(*rig.arena), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rig.arena == MAP_FAILED)
		return bench_fail("no shared memory");
	return make(rig.arena, rig.kind) == 0 ? 0 : bench_fail("the lock could not be made");
}

static void teardown(struct bench *b)
{
	(void)b;
	if (rig.fd >= 0)
		close(rig.fd);
	if (rig.peer > 0)
		bench_reap(rig.peer);
	munmap(rig.arena, sizeof(*rig.arena));
}

/* --- alone ------------------------------------------------------------------------------------------ */

static int pairs(void *arg)
{
	struct arena *arena = rig.arena;
	enum kind kind = rig.kind;

	(void)arg;
	for (int i = 0; i < BATCH; i++)
		if (take(arena, kind) != 0 || give(arena, kind) != 0)
			return bench_fail("acquire or release failed");
	return 0;
}

static int run_alone(struct bench *b, double *ret_value)
{
	int r = bench_time(pairs, b, ret_value);

	*ret_value *= 1000.0 / BATCH;
	return r;
}

/* --- two processes ------------------------------------------------------------------------------------ */

static long guarded_batch(bool shared)
{
	struct arena *arena = rig.arena;

	for (int i = 0; i < BATCH; i++) {
		if (shared && rig.kind == WORD) {
			count_word(arena);
			continue;
		}
		if (take(arena, rig.kind) != 0)
			return -1;
		if (!shared)
			arena->guarded = arena->guarded + 1;
		if (give(arena, rig.kind) != 0)
			return -1;
	}
	return BATCH;
}

static int work_beside(int fd, bool shared)
{
	char go;

	while (bench_read(fd, &go, 1) == 0) {
		int64_t done = 0;
		while (!rig.arena->stop)
			done += guarded_batch(shared);
		if (bench_write(fd, &done, sizeof(done)) < 0)
			return 1;
	}
	return 0;
}

static int contend(int fd)
{
	return work_beside(fd, false);
}

static int read_too(int fd)
{
	return work_beside(fd, true);
}

static int with_peer(struct bench *b, int (*body)(int fd))
{
	if (setup(b) < 0)
		return -1;
	rig.peer = bench_fork_peer(body, &rig.fd);
	return rig.peer < 0 ? -1 : 0;
}

static int setup_contended(struct bench *b)
{
	return with_peer(b, contend);
}

static int setup_readers(struct bench *b)
{
	return with_peer(b, read_too) < 0 ? -1 : bench_side_by_side(rig.peer);
}

static int run_both(bool shared, double *ret_value)
{
	int64_t start = bench_now();
	int64_t theirs;
	int64_t mine = 0;
	long before = rig.arena->guarded;

	rig.arena->stop = false;
	if (bench_write(rig.fd, "g", 1) < 0)
		return -1;
	while (bench_now() - start < BENCH_ROUND_NS)
		mine += guarded_batch(shared);
	rig.arena->stop = true;
	int64_t elapsed = bench_now() - start;
	if (bench_read(rig.fd, &theirs, sizeof(theirs)) < 0)
		return -1;
	if (!shared && rig.arena->guarded - before != mine + theirs)
		return bench_fail("%ld of %ld counts are lost",
			(long)(mine + theirs) - (rig.arena->guarded - before),
			(long)(mine + theirs));
	*ret_value = (double)elapsed / (double)(mine + theirs);
	return 0;
}

static int run_contended(struct bench *b, double *ret_value)
{
	(void)b;
	return run_both(false, ret_value);
}

static int run_readers(struct bench *b, double *ret_value)
{
	(void)b;
	return run_both(true, ret_value);
}

/* --- handed over ------------------------------------------------------------------------------------- */

static int wait_for_it(int fd)
{
	char go;

	while (bench_read(fd, &go, 1) == 0) {
		if (take(rig.arena, rig.kind) != 0)
			return 1;
		rig.arena->taken_at = bench_now();
		if (give(rig.arena, rig.kind) != 0 || bench_write(fd, &go, 1) < 0)
			return 1;
	}
	return 0;
}

static int setup_handover(struct bench *b)
{
	return with_peer(b, wait_for_it);
}

static int run_handover(struct bench *b, double *ret_value)
{
	int64_t start = bench_now();
	int64_t sum = 0;
	int n = 0;

	(void)b;
	for (; bench_now() - start < BENCH_ROUND_NS; n++) {
		struct timespec asleep = {.tv_nsec = ASLEEP_NS};
		char done;
		if (take(rig.arena, rig.kind) != 0 || bench_write(rig.fd, "g", 1) < 0)
			return -1;
		nanosleep(&asleep, NULL);
		int64_t given = bench_now();
		if (give(rig.arena, rig.kind) != 0 || bench_read(rig.fd, &done, 1) < 0)
			return -1;
		sum += rig.arena->taken_at - given;
	}
	*ret_value = (double)sum / n / 1000.0;
	return 0;
}

/* clang-format off */
#define ALONE(name, who, kind) {name, who, setup, run_alone, teardown, kind, NULL}
#define CONTENDED(who, kind) \
	{"lock_contended_2p", who, setup_contended, run_contended, teardown, kind, NULL}
#define HANDOVER(who, kind) {"lock_handover", who, setup_handover, run_handover, teardown, kind, NULL}
#define READERS(who, kind) \
	{"rwlock_read_2", who, setup_readers, run_readers, teardown, kind, NULL}

/* clang-format on */
const struct bench bench_lock[] = {
	ALONE("lock_uncontended", "libmp", LOCK),
	ALONE("lock_uncontended", "floor", WORD),
	ALONE("lock_uncontended", "robust", ROBUST),
	ALONE("lock_uncontended", "mutex", MUTEX),
	ALONE("lock_uncontended", "sem", SEM),
	ALONE("rlock_uncontended", "libmp", RLOCK),
	ALONE("rlock_uncontended", "floor", WORD),
	ALONE("rlock_uncontended", "robust", ROBUST),
	CONTENDED("libmp", LOCK),
	CONTENDED("robust", ROBUST),
	CONTENDED("mutex", MUTEX),
	CONTENDED("sem", SEM),
	HANDOVER("libmp", LOCK),
	HANDOVER("floor", FUTEX),
	HANDOVER("robust", ROBUST),
	HANDOVER("sem", SEM),
	ALONE("rwlock_read_1", "libmp", RWLOCK),
	ALONE("rwlock_read_1", "floor", WORD),
	ALONE("rwlock_read_1", "pthread", PTHREAD_RWLOCK),
	READERS("libmp", RWLOCK),
	READERS("floor", WORD),
	READERS("pthread", PTHREAD_RWLOCK),
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
