/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/origin.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/*
 * Written once per process: 0 -> a number, by whoever comes first. The kernel sets it back
 * to 0 in a forked child. Before the page exists, or if it can't be had, the word is this one, which
 * stays 0, and the pid stands in.
 */
static _Atomic uint64_t no_page;
_Atomic uint64_t *mp__origin_word = &no_page;

/*
 * What a process makes its number of: something random, and from bit 22 on how often its ancestors and
 * it have forked; the pid is added below that. So no process has the number of one that it descends
 * from, whichever pids come again. Random once; asking the kernel in each child would take longer.
 */
static _Atomic uint64_t seed;

#define FORK (UINT64_C(1) << 22) /* more than the largest pid (PID_MAX_LIMIT) */

/* The end of splitmix64: no two inputs give the same, and near ones nothing alike. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t random_number(void)
{
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number) || number == 0) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		number = (uint64_t)getpid() << 40 ^ (uint64_t)now.tv_sec << 20 ^
			 (uint64_t)now.tv_nsec;
	}
	return number;
}

static void before_fork(void)
{
	atomic_fetch_add_explicit(&seed, FORK, memory_order_relaxed);
}

__attribute__((constructor)) static void make_page(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	atomic_store(&seed, random_number());
	pthread_atfork(before_fork, NULL, NULL);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return;
	if (madvise(page, size, MADV_WIPEONFORK) < 0) {
		munmap(page, size);
		return;
	}
	mp__origin_word = page;
}

static uint64_t new_number(void)
{
	uint64_t number =
		mix(atomic_load_explicit(&seed, memory_order_relaxed) + (uint64_t)getpid());

	return number != 0 ? number : 1;
}

mp__origin mp__origin_make(void)
{
	if (mp__origin_word == &no_page)
		return (uint64_t)getpid();

	uint64_t number = 0;
	uint64_t mine = new_number();
	if (atomic_compare_exchange_strong(mp__origin_word, &number, mine))
		return mine;
	return number; /* another thread was first */
}
