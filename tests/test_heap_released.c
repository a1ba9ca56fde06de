/* SPDX-License-Identifier: MIT */
/* Memory that a heap does not need any more goes back to the system, and comes again when it does. */
#include <config.h>

#include "tests/support/support.h"

#include "base/cleanup.h"
#include "shm/heap_handle.h"
#include "tests/support/fail.h"

#include <mp.h>
#include <stdlib.h>
#include <sys/stat.h>

T_SUITE(heap_released);

#define MIB ((uint64_t)1 << 20)
/* What may stay of all that was free: less than what is worth a call, at each end of what is released. */
#define STAYS (2 * MP__HEAP_RELEASED_MIN)

static mp_heap *heap;

static void make(uint64_t size, uint64_t max_size)
{
	T_OK(mp_heap_new(size, MP_HEAP_OPTIONS(.max_size = max_size), &heap));
}

static uint64_t memory(void)
{
	struct stat st;

	T_OK(fstat(heap->segment.fd, &st));
	return (uint64_t)st.st_blocks * 512;
}

static mp_heap_stats stats(void)
{
	mp_heap_stats s;

	T_OK(mp_heap_check(heap));
	T_OK(mp_heap_stat(heap, &s));
	return s;
}

static char *take(uint64_t size)
{
	char *p;

	T_OK(mp_heap_alloc(heap, size, &p));
	memset(p, 1, size);
	return p;
}

static void give(void *p)
{
	T_OK(mp_heap_free(heap, p));
}

/* What has no memory says so; all else has it. */
static void expect_honest(void)
{
	mp_heap_stats s = stats();
	uint64_t all = heap->segment.header->size;

	cr_assert_leq(memory(), all - s.released + STAYS / 16, "%llu of %llu, %llu are released",
		(unsigned long long)memory(), (unsigned long long)all,
		(unsigned long long)s.released);
	cr_assert_geq(memory(), all - s.released);
}

Test(heap_released, what_was_freed_goes_back)
{
	char *p[64];

	make(4096, 128 * MIB);
	for (int i = 0; i < 64; i++)
		p[i] = take(MIB);
	cr_assert_geq(memory(), 64 * MIB);
	cr_assert_eq(stats().released, 0);
	for (int i = 0; i < 64; i += 2)
		give(p[i]);
	cr_assert_eq(stats().released, 0, "nothing of it is large");
	for (int i = 1; i < 64; i += 2)
		give(p[i]);
	cr_assert_leq(memory(), STAYS);
	cr_assert_eq(stats().n_free, 1);
	cr_assert_geq(stats().largest_free, 64 * MIB);
	expect_honest();
	mp_heap_close(heap);
}

Test(heap_released, one_large_block_goes_back_at_once)
{
	make(4096, 128 * MIB);
	for (int i = 0; i < 3; i++) {
		char *p = take(100 * MIB);
		cr_assert_geq(memory(), 100 * MIB);
		give(p);
		cr_assert_leq(memory(), STAYS);
		expect_honest();
	}
	mp_heap_close(heap);
}

Test(heap_released, what_it_had_from_the_beginning_stays)
{
	make(16 * MIB, 64 * MIB);
	uint64_t first = memory();
	char *p = take(15 * MIB);

	give(p);
	cr_assert_eq(stats().released, 0);
	cr_assert_eq(memory(), first);
	p = take(40 * MIB);
	give(p);
	cr_assert_geq(memory(), first);
	cr_assert_leq(memory(), first + STAYS);
	expect_honest();
	mp_heap_close(heap);
}

Test(heap_released, a_small_block_brings_back_little)
{
	make(4096, 64 * MIB);
	give(take(60 * MIB));
	uint64_t before = memory();
	char *p = take(100);

	/* Of the first page there is nothing left for it. */
	char *q = take(8192);
	cr_assert_leq(memory(), before + 2 * MIB);
	expect_honest();
	give(q);
	give(p);
	cr_assert_leq(memory(), before + 2 * MIB, "and it stays for the next one");
	expect_honest();
	mp_heap_close(heap);
}

Test(heap_released, all_of_it_can_be_had_again)
{
	char *p[16], *q;

	make(4096, 64 * MIB);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 15; i++)
			p[i] = take(4 * MIB);
		for (int i = 0; i < 15; i += 2)
			give(p[i]);
		expect_honest();
		/* Between others, each of its own. */
		for (int i = 0; i < 15; i += 2)
			p[i] = take(4 * MIB);
		for (int i = 0; i < 15; i++)
			give(p[i]);
		expect_honest();
		q = take(stats().largest_free);
		cr_assert_eq(stats().released, 0);
		give(q);
	}
	mp_heap_close(heap);
}

/* Released ones and others side by side, none of them large enough. */
Test(heap_released, neighbours_of_both_kinds_become_one_block)
{
	char *p[8], *q;

	make(4096, 42 * MIB);
	for (int i = 0; i < 8; i++)
		p[i] = take(i % 2 ? 2 * MIB : 8 * MIB);
	for (int i = 0; i < 8; i += 2)
		give(p[i]);
	cr_assert_geq(stats().released, 4 * 7 * MIB);
	for (int i = 1; i < 8; i += 2)
		give(p[i]);
	cr_assert_eq(stats().n_free, 1);
	cr_assert_lt(stats().released, stats().free - 3 * MIB);
	q = take(39 * MIB);
	give(q);
	for (int i = 0; i < 5; i++)
		p[i] = take(8 * MIB);
	T_RESULT(mp_heap_alloc(heap, 8 * MIB, &q), -ENOSPC);
	mp_heap_close(heap);
}

Test(heap_released, the_end_is_released_and_grows)
{
	make(4096, 64 * MIB);
	char *first = take(4000 * 1024);
	give(take(8 * MIB));
	cr_assert_geq(stats().released, 8 * MIB);
	char *p = take(50 * MIB); /* of the released one, and what comes behind it */
	cr_assert_eq(stats().n_used, 2);
	expect_honest();
	give(first);
	give(p);
	expect_honest();
	mp_heap_close(heap);
}

Test(heap_released, aligned_blocks)
{
	void *p[12];

	make(4096, 64 * MIB);
	give(take(60 * MIB));
	for (int i = 0; i < 12; i++) {
		T_OK(mp_heap_alloc_aligned(heap, (size_t)1 << (i + 1), 5 * MIB - 64, &p[i]));
		cr_assert_eq((uintptr_t)p[i] % ((size_t)1 << (i + 1)), 0);
		memset(p[i], 1, 5 * MIB - 64);
	}
	expect_honest();
	for (int i = 0; i < 12; i++)
		give(p[i]);
	T_OK(mp_heap_alloc_aligned(heap, 4096, 59 * MIB, &p[0]));
	give(p[0]);
	expect_honest();
	mp_heap_close(heap);
}

static size_t fallocate_call(void)
{
	size_t call = 0;

	while (strcmp(t_fail_calls[call].name, "fallocate") != 0)
		call++;
	return call;
}

Test(heap_released, no_memory_for_what_was_released)
{
	void *p = NULL;

	make(4096, 64 * MIB);
	give(take(60 * MIB));
	t_fail_begin(fallocate_call(), ENOSPC, 0);
	int r = mp_heap_alloc(heap, 10 * MIB, &p);
	cr_assert(t_fail_end());
	cr_assert_eq(r, -ENOSPC);
	cr_assert_not_null(strstr(mp_error_detail(), "no memory"), "%s", mp_error_detail());
	cr_assert_null(p);
	expect_honest();
	give(take(10 * MIB));
	expect_honest();
	mp_heap_close(heap);
}

Test(heap_released, what_the_system_does_not_take_is_there_for_the_next)
{
	make(4096, 64 * MIB);
	char *p = take(20 * MIB);

	t_fail_begin(fallocate_call(), EOPNOTSUPP, 0);
	T_OK(mp_heap_free(heap, p));
	cr_assert(t_fail_end());
	cr_assert_geq(memory(), 20 * MIB);
	cr_assert_geq(stats().released, 19 * MIB);
	give(take(20 * MIB));
	expect_honest();
	mp_heap_close(heap);
}

Test(heap_released, interrupted_calls_go_on)
{
	make(4096, 64 * MIB);
	char *p = take(20 * MIB);

	t_fail_begin(fallocate_call(), EINTR, 0);
	T_OK(mp_heap_free(heap, p));
	cr_assert(t_fail_end());
	expect_honest();
	t_fail_begin(fallocate_call(), EINTR, 0);
	T_OK(mp_heap_alloc(heap, 20 * MIB, &p));
	cr_assert(t_fail_end());
	memset(p, 1, 20 * MIB);
	mp_heap_close(heap);
}

static int leave_all(void *argument)
{
	void *p;

	(void)argument;
	for (int i = 0; i < 40; i++)
		T_CHECK(mp_heap_alloc(heap, i % 3 ? MIB : 5 * MIB, &p) == 0);
	return 0;
}

Test(heap_released, what_the_dead_had_goes_back)
{
	make(4096, 256 * MIB);
	char *ours = take(100);
	struct t_child child = t_spawn(leave_all, NULL);

	t_expect_exit(&child, 0);
	cr_assert_geq(memory(), 90 * MIB);
	cr_assert_eq(mp_heap_reclaim(heap), 40);
	cr_assert_leq(memory(), STAYS);
	cr_assert_eq(stats().n_used, 1);
	expect_honest();
	give(ours);
	mp_heap_close(heap);
}

Test(heap_released, blocks_at_random_stay_whole)
{
	enum { BLOCKS = 60 };
	char *p[BLOCKS] = {NULL};
	size_t sizes[BLOCKS];

	make(4096, 256 * MIB);
	srand(7);
	for (int turn = 0; turn < 2000; turn++) {
		int i = rand() % BLOCKS;
		if (p[i]) {
			cr_assert(p[i][0] == i && p[i][sizes[i] - 1] == i, "block %d is torn", i);
			give(p[i]);
			p[i] = NULL;
		} else if (turn / 300 % 2 == 0) {
			sizes[i] = 1 + (size_t)rand() % (rand() % 4 ? 1000 : 3 * MIB);
			T_OK(mp_heap_alloc(heap, sizes[i], &p[i]));
			p[i][0] = p[i][sizes[i] - 1] = (char)i;
		}
		if (turn % 100 == 0)
			expect_honest();
	}
	mp_heap_close(heap);
}
