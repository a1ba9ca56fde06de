/* SPDX-License-Identifier: MIT */
/* Shared heaps: blocks side by side, wrong uses, growing, other processes. */
#include <config.h>

#include "tests/support/starve.h"
#include "tests/support/support.h"

#include "shm/heap_layout.h"

#include <limits.h>
#include <mp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(heap);

static mp_heap *make(uint64_t size, uint64_t max_size)
{
	mp_heap *heap;

	T_OK(mp_heap_new(size, MP_HEAP_OPTIONS(.max_size = max_size), &heap));
	return heap;
}

static mp_heap_stats stats_of(mp_heap *heap)
{
	mp_heap_stats stats;

	T_OK(mp_heap_check(heap));
	T_OK(mp_heap_stat(heap, &stats));
	return stats;
}

/* Numbers that are the same in each run. */
static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return *state >> 33;
}

Test(heap, a_block_is_ours_until_freed)
{
	mp_heap *heap = make(4096, 0);
	uint64_t *number;
	char *text;

	T_OK(mp_heap_alloc(heap, sizeof(*number), &number));
	T_OK(mp_heap_alloc(heap, 100, &text));
	cr_assert_eq((uintptr_t)number % 16, 0);
	cr_assert_eq((uintptr_t)text % 16, 0);
	*number = 7;
	memset(text, 'x', 100);
	cr_assert_eq(*number, 7);
	cr_assert_eq(stats_of(heap).n_used, 2);
	T_OK(mp_heap_free(heap, number));
	T_OK(mp_heap_free(heap, text));
	T_OK(mp_heap_free(heap, NULL));
	mp_heap_stats s = stats_of(heap);
	cr_assert_eq(s.n_used, 0);
	cr_assert_eq(s.n_free, 1);
	cr_assert_geq(s.largest_free, 4096);
	mp_heap_close(heap);
}

/* CPython: 5000 random allocations, at most 50 alive; blocks without gaps; at the end nothing. */
Test(heap, test_heap)
{
	mp_heap *heap = make(4096, 64 << 20);
	uint64_t seed = 1;
	void *live[50] = {NULL};

	for (int i = 0; i < 5000; i++) {
		uint64_t size = 1 + next_random(&seed) % 2000;
		if (i % 97 == 0)
			size = 100000;
		void **slot = &live[next_random(&seed) % 50];
		T_OK(mp_heap_free(heap, *slot));
		T_OK(mp_heap_alloc(heap, size, slot));
		memset(*slot, 0xa5, size);
		if (i % 50 == 0) {
			mp_heap_stats s = stats_of(heap);
			cr_assert_eq(
				s.used + s.free + MP__HEAP_FIRST + MP__HEAP_BLOCK_HEAD, s.size);
			cr_assert_leq(s.n_used, 50);
		}
	}
	for (int i = 0; i < 50; i++)
		T_OK(mp_heap_free(heap, live[i]));
	mp_heap_stats s = stats_of(heap);
	cr_assert_eq(s.n_used, 0);
	cr_assert_eq(s.n_free, 1);
	mp_heap_close(heap);
}

Test(heap, neighbours_unite_in_every_order)
{
	static const int orders[6][3] = {
		{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (int i = 0; i < 6; i++) {
		mp_heap *heap = make(1000, 0);
		void *blocks[4];
		for (int k = 0; k < 4; k++)
			T_OK(mp_heap_alloc(heap, 200, &blocks[k]));
		for (int k = 0; k < 3; k++) {
			T_OK(mp_heap_free(heap, blocks[orders[i][k]]));
			T_OK(mp_heap_check(heap));
		}
		/* One piece again: a block of all three fits where they were. */
		void *all;
		T_OK(mp_heap_alloc(heap, 632, &all));
		cr_assert_eq(all, blocks[0]);
		T_OK(mp_heap_free(heap, all));
		T_OK(mp_heap_free(heap, blocks[3]));
		cr_assert_eq(stats_of(heap).n_free, 1);
		mp_heap_close(heap);
	}
}

Test(heap, all_of_the_memory_can_be_had)
{
	for (uint64_t size = 1; size < 70000; size = size * 3 + 1) {
		mp_heap *heap = make(size, 0);
		void *p, *q;
		T_OK(mp_heap_alloc(heap, size, &p));
		memset(p, 1, size);
		T_OK(mp_heap_check(heap));
		T_OK(mp_heap_free(heap, p));
		mp_heap_stats s = stats_of(heap);
		T_OK(mp_heap_alloc(heap, s.largest_free, &p));
		q = &size;
		T_RESULT(mp_heap_alloc(heap, 0, &q), -ENOSPC);
		cr_assert_eq(q, (void *)&size); /* not written */
		T_OK(mp_heap_free(heap, p));
		cr_assert_eq(stats_of(heap).n_free, 1);
		mp_heap_close(heap);
	}
}

Test(heap, sizes_at_the_edges)
{
	mp_heap *heap = make(4096, 0);
	void *p = NULL, *q;

	T_OK(mp_heap_alloc(heap, 0, &p));
	T_OK(mp_heap_alloc(heap, 0, &q));
	cr_assert_neq(p, q);
	T_RESULT(mp_heap_alloc(heap, SIZE_MAX, &p), -ENOSPC);
	T_RESULT(mp_heap_alloc(heap, (size_t)1 << 63, &p), -ENOSPC);
	T_RESULT(mp_heap_alloc(heap, (size_t)-1, &p), -ENOSPC);
	T_RESULT(mp_heap_alloc(heap, MP__HEAP_SIZE_MAX - 65, &p), -ENOSPC);
	T_RESULT(mp_heap_calloc(heap, (size_t)1 << 33, (size_t)1 << 33, &p), -EOVERFLOW);
	T_RESULT(mp_heap_alloc(heap, 1, NULL), -EINVAL);
	cr_assert_eq(stats_of(heap).n_used, 2);
	mp_heap_close(heap);
}

Test(heap, calloc_is_zero_on_memory_used_before)
{
	mp_heap *heap = make(4096, 0);
	unsigned char *p;

	for (int round = 0; round < 3; round++) {
		T_OK(mp_heap_calloc(heap, 30, 10, &p));
		for (int i = 0; i < 300; i++)
			cr_assert_eq(p[i], 0);
		memset(p, 0xff, 300);
		T_OK(mp_heap_free(heap, p));
	}
	mp_heap_close(heap);
}

Test(heap, alignment)
{
	mp_heap *heap = make(1 << 20, 0);
	void *blocks[128];
	int n = 0;
	void *p;

	for (size_t align = 1; align <= 4096; align *= 2) {
		for (size_t size = 1; size < 10000; size = size * 7 + 3) {
			T_OK(mp_heap_alloc_aligned(heap, align, size, &blocks[n]));
			cr_assert_eq((uintptr_t)blocks[n] % align, 0);
			memset(blocks[n], 1, size);
			T_OK(mp_heap_check(heap));
			n++;
		}
	}
	for (int i = 0; i < n; i++)
		T_OK(mp_heap_free(heap, blocks[i]));
	cr_assert_eq(stats_of(heap).n_free, 1);
	T_RESULT(mp_heap_alloc_aligned(heap, 0, 1, &p), -EINVAL);
	T_RESULT(mp_heap_alloc_aligned(heap, 24, 1, &p), -EINVAL);
	T_RESULT(mp_heap_alloc_aligned(heap, 8192, 1, &p), -EINVAL);
	mp_heap_close(heap);
}

Test(heap, wrong_pointers_are_told_apart)
{
	mp_heap *heap = make(8192, 0);
	char *p, *q;
	int local;

	T_OK(mp_heap_alloc(heap, 500, &p));
	T_OK(mp_heap_alloc(heap, 500, &q));
	memset(p, 0, 500);
	T_RESULT(mp_heap_free(heap, p + 16), -EINVAL);
	T_RESULT(mp_heap_free(heap, p + 1), -EINVAL);
	T_RESULT(mp_heap_free(heap, &local), -EINVAL);
	T_RESULT(mp_heap_free(heap, p - 16), -EINVAL);
	T_RESULT(mp_heap_free(heap, p - MP__HEAP_FIRST), -EINVAL);
	T_RESULT(mp_heap_adopt(heap, p + 16), -EINVAL);
	T_RESULT(mp_heap_adopt(heap, NULL), -EINVAL);
	T_OK(mp_heap_free(heap, p));
	T_RESULT(mp_heap_free(heap, p), -EINVAL);
	T_OK(mp_heap_free(heap, q)); /* swallowed by the one before */
	T_RESULT(mp_heap_free(heap, q), -EINVAL);
	T_RESULT(mp_heap_free(heap, p), -EINVAL);
	T_RESULT(mp_heap_adopt(heap, p), -EINVAL);
	cr_assert_eq(stats_of(heap).n_free, 1);
	mp_heap_close(heap);
}

Test(heap, writing_beyond_the_end_is_found)
{
	mp_heap *heap = make(8192, 0);
	char *p, *q, *r;
	mp_heap_stats s;

	T_OK(mp_heap_alloc(heap, 112, &p));
	T_OK(mp_heap_alloc(heap, 112, &q));
	T_OK(mp_heap_alloc(heap, 112, &r));
	memset(p, 'x', 113);
	T_RESULT(mp_heap_free(heap, q), -EINVAL); /* nothing says any more that it is a block */
	T_RESULT(mp_heap_free(heap, p), -EBADMSG);
	T_RESULT(mp_heap_check(heap), -EBADMSG);
	T_RESULT(mp_heap_stat(heap, &s), -EBADMSG);
	T_RESULT(mp_heap_reclaim(heap), -EBADMSG);
	cr_assert_neq(strstr(mp_error_detail(), "beyond the end"), NULL);
	T_OK(mp_heap_free(heap, r)); /* what is whole goes on */
	mp_heap_close(heap);
}

Test(heap, writing_into_a_freed_block_is_healed)
{
	mp_heap *heap = make(8192, 0);
	char *p[8], *again;

	for (int i = 0; i < 8; i++)
		T_OK(mp_heap_alloc(heap, 112, &p[i]));
	for (int i = 0; i < 8; i += 2)
		T_OK(mp_heap_free(heap, p[i]));
	for (int i = 0; i < 8; i += 2)
		memset(p[i], 0xff, 112); /* its links and its size at its end */
	T_RESULT(mp_heap_check(heap), -EBADMSG);
	for (int i = 1; i < 8; i += 2)
		T_OK(mp_heap_free(heap, p[i]));
	cr_assert_eq(stats_of(heap).n_free, 1);
	T_OK(mp_heap_alloc(heap, 112, &again));
	cr_assert_eq(again, p[0]);
	mp_heap_close(heap);
}

Test(heap, it_grows_up_to_its_largest_size)
{
	mp_heap *heap = make(4096, 3 << 20);
	void *p, *q;

	cr_assert_lt(stats_of(heap).size, 20000);
	T_OK(mp_heap_alloc(heap, 1 << 20, &p));
	memset(p, 1, 1 << 20);
	T_OK(mp_heap_check(heap));
	T_OK(mp_heap_alloc(heap, 1 << 20, &q));
	T_RESULT(mp_heap_alloc(heap, 2 << 20, &p), -ENOSPC);
	T_OK(mp_heap_free(heap, p));
	T_OK(mp_heap_free(heap, q));
	T_OK(mp_heap_alloc(heap, 3 << 20, &p)); /* all of it in one piece */
	cr_assert_eq(stats_of(heap).max_size, stats_of(heap).size);
	mp_heap_close(heap);
}

Test(heap, no_more_memory_than_there_is)
{
	mp_heap *heap = make(4096, UINT64_C(1) << 39);
	struct rlimit old, limit;
	void *p;

	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 1 << 16;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	T_RESULT(mp_heap_alloc(heap, 4 << 20, &p), -ENOSPC);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	T_OK(mp_heap_alloc(heap, 4 << 20, &p)); /* as usable as before */
	T_OK(mp_heap_check(heap));
	mp_heap_close(heap);
}

Test(heap, wrong_sizes_and_options)
{
	mp_heap *heap = (mp_heap *)1;

	T_RESULT(mp_heap_new(0, NULL, &heap), -EINVAL);
	T_RESULT(mp_heap_new(UINT64_MAX, NULL, &heap), -EINVAL);
	T_RESULT(mp_heap_new(UINT64_C(1) << 63, NULL, &heap), -EINVAL);
	T_RESULT(mp_heap_new(4096, MP_HEAP_OPTIONS(.max_size = 4095), &heap), -EINVAL);
	T_RESULT(mp_heap_new(4096, MP_HEAP_OPTIONS(.flags = 4), &heap), -EINVAL);
	T_RESULT(mp_heap_new(4096, NULL, NULL), -EINVAL);
	struct {
		mp_heap_options options;
		uint64_t more;
	} newer = {.options = {.size = sizeof(newer)}, .more = 1};
	T_RESULT(mp_heap_new(4096, &newer.options, &heap), -E2BIG);
	T_RESULT(mp_heap_new(UINT64_C(1) << 39, NULL, &heap), -ENOSPC);
	cr_assert_eq(heap, (mp_heap *)1);
}

Test(heap, no_descriptor)
{
	mp_heap *heap;
	struct rlimit old, limit;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	T_RESULT(mp_heap_new(4096, NULL, &heap), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}

Test(heap, no_memory_for_handles_and_owners)
{
	mp_heap *heap;

	T_EACH_FAILS(mp_heap_new(4096, NULL, &heap), (void)0);
	T_EACH_FAILS(mp_heap_reclaim(heap), (void)0);
	t_starve(0);
	T_RESULT(mp_heap_reclaim(heap), -ENOMEM);
	t_starve(-1);
	mp_heap_close(heap);
}

Test(heap, without_a_heap)
{
	void *p = &p;
	mp_heap_stats s;
	mp_heap_block b;
	mp_obj nil = mp_heap_handle(NULL);

	T_RESULT(mp_heap_alloc(NULL, 1, &p), -EINVAL);
	T_RESULT(mp_heap_calloc(NULL, 1, 1, &p), -EINVAL);
	T_RESULT(mp_heap_alloc_aligned(NULL, 16, 1, &p), -EINVAL);
	T_RESULT(mp_heap_free(NULL, p), -EINVAL);
	T_RESULT(mp_heap_set_root(NULL, p), -EINVAL);
	T_RESULT(mp_heap_next(NULL, NULL, &b), -EINVAL);
	T_RESULT(mp_heap_adopt(NULL, p), -EINVAL);
	T_RESULT(mp_heap_reclaim(NULL), -EINVAL);
	T_RESULT(mp_heap_stat(NULL, &s), -EINVAL);
	T_RESULT(mp_heap_check(NULL), -EINVAL);
	cr_assert_null(mp_heap_root(NULL));
	cr_assert_null(mp_heap_pointer(NULL, 64, 1));
	cr_assert_eq(mp_heap_offset(NULL, p), 0);
	cr_assert_null(mp_heap_ref(NULL));
	T_OK(mp_heap_close(NULL));
	cr_assert_eq(nil.type, MP_TYPE_NIL);
	cr_assert_null(mp_obj_heap(&nil));
	cr_assert_null(mp_obj_heap(NULL));
}

Test(heap, offsets_and_pointers)
{
	mp_heap *heap = make(4096, 1 << 20);
	char *p;
	int local;

	T_OK(mp_heap_alloc(heap, 100, &p));
	uint64_t offset = mp_heap_offset(heap, p);
	cr_assert_neq(offset, 0);
	cr_assert_eq(mp_heap_pointer(heap, offset, 100), p);
	cr_assert_eq(mp_heap_offset(heap, p + 50), offset + 50);
	cr_assert_eq(mp_heap_offset(heap, NULL), 0);
	cr_assert_eq(mp_heap_offset(heap, &local), 0);
	cr_assert_eq(mp_heap_offset(heap, p - 32), 0);
	cr_assert_null(mp_heap_pointer(heap, 0, 0));
	cr_assert_null(mp_heap_pointer(heap, 64, 1));
	cr_assert_null(mp_heap_pointer(heap, offset, 1 << 20)); /* not grown so far */
	cr_assert_null(mp_heap_pointer(heap, offset, SIZE_MAX));
	cr_assert_null(mp_heap_pointer(heap, UINT64_MAX, 8));

	cr_assert_null(mp_heap_root(heap));
	T_OK(mp_heap_set_root(heap, p));
	cr_assert_eq(mp_heap_root(heap), p);
	T_RESULT(mp_heap_set_root(heap, &local), -EINVAL);
	cr_assert_eq(mp_heap_root(heap), p);
	T_OK(mp_heap_set_root(heap, NULL));
	cr_assert_null(mp_heap_root(heap));
	mp_heap_close(heap);
}

Test(heap, prefault_and_huge_pages)
{
	mp_heap *heap;
	char *p;

	T_OK(mp_heap_new(
		4 << 20, MP_HEAP_OPTIONS(.flags = MP_HEAP_PREFAULT | MP_HEAP_HUGE_PAGES), &heap));
	T_OK(mp_heap_alloc(heap, 4 << 20, &p));
	memset(p, 1, 4 << 20);
	T_OK(mp_heap_check(heap));
	mp_heap_close(heap);
}

Test(heap, references)
{
	mp_heap *heap = make(4096, 0);
	void *p;

	cr_assert_eq(mp_heap_ref(heap), heap);
	mp_heap_close(heap);
	T_OK(mp_heap_alloc(heap, 1, &p));
	mp_heap_close(heap);
}

/* --- other processes ----------------------------------------------------------------------------- */

struct node {
	uint64_t next; /* offset */
	int number;
};

/* Push ten nodes before what is there. */
static int push_nodes(int argc, const mp_obj *argv)
{
	mp_heap *heap = mp_obj_heap(&argv[0]);
	struct node *node;

	T_CHECK(argc == 1 && heap);
	for (int i = 0; i < 10; i++) {
		T_CHECK(mp_heap_alloc(heap, sizeof(*node), &node) == 0);
		*node = (struct node){mp_heap_offset(heap, mp_heap_root(heap)), i};
		T_CHECK(mp_heap_set_root(heap, node) == 0);
	}
	/* Large, so that it has to grow here: seen there too. */
	void *large;
	T_CHECK(mp_heap_alloc(heap, 2 << 20, &large) == 0);
	memset(large, 1, 2 << 20);
	return mp_heap_check(heap) == 0 ? 0 : 1;
}

static void travel(int method)
{
	mp_heap *heap = make(4096, 16 << 20);
	mp_process *p;
	int code;
	int sum = 0;

	T_OK(mp_process_new(push_nodes, MP_ARGS(mp_handle(heap)),
		MP_PROCESS_OPTIONS(.start_method = method), &p));
	T_OK(mp_process_start(p));
	T_OK(mp_process_join(p, MP_FOREVER));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, 0);
	mp_process_close(p);
	struct node *node = mp_heap_root(heap);
	while (node) {
		struct node *next = mp_heap_pointer(heap, node->next, sizeof(*node));
		sum += node->number;
		T_OK(mp_heap_free(heap, node));
		node = next;
	}
	cr_assert_eq(sum, 45);
	cr_assert_eq(stats_of(heap).n_used, 1);
	cr_assert_eq(mp_heap_reclaim(heap), method == MP_START_THREAD ? 0 : 1);
	mp_heap_close(heap);
}

Test(heap, travels_by_fork)
{
	travel(MP_START_FORK);
}

Test(heap, travels_by_spawn)
{
	travel(MP_START_SPAWN);
}

Test(heap, travels_by_forkserver)
{
	travel(MP_START_FORKSERVER);
}

Test(heap, travels_to_a_thread)
{
	travel(MP_START_THREAD);
}

static int take_two(void *argument)
{
	mp_heap *heap = argument;
	void *p;

	T_CHECK(mp_heap_alloc(heap, 10, &p) == 0);
	T_CHECK(mp_heap_set_root(heap, p) == 0);
	T_CHECK(mp_heap_alloc(heap, 10, &p) == 0);
	return 0;
}

Test(heap, blocks_have_owners)
{
	mp_heap *heap = make(4096, 0);
	mp_heap_block block;
	void *mine;

	T_RESULT(mp_heap_next(heap, NULL, &block), -ENOENT);
	T_OK(mp_heap_alloc(heap, 40, &mine));
	struct t_child child = t_spawn(take_two, heap);
	pid_t pid = child.pid;
	t_expect_exit(&child, 0);

	T_OK(mp_heap_next(heap, NULL, &block));
	cr_assert_eq(block.data, mine);
	cr_assert_eq(block.size, 48);
	cr_assert_eq(block.owner, getpid());
	cr_assert_not(block.owner_died);
	T_OK(mp_heap_next(heap, block.data, &block));
	cr_assert_eq(block.data, mp_heap_root(heap));
	cr_assert_eq(block.owner, pid);
	cr_assert(block.owner_died);
	T_OK(mp_heap_next(heap, block.data, &block));
	T_RESULT(mp_heap_next(heap, block.data, &block), -ENOENT);
	T_RESULT(mp_heap_next(heap, (char *)mine + 16, &block), -EINVAL);
	T_RESULT(mp_heap_next(heap, NULL, NULL), -EINVAL);

	/* What is adopted stays. */
	T_OK(mp_heap_adopt(heap, mp_heap_root(heap)));
	T_RESULT(mp_heap_reclaim(heap), 1);
	T_RESULT(mp_heap_reclaim(heap), 0);
	cr_assert_eq(stats_of(heap).n_used, 2);
	T_OK(mp_heap_free(heap, mp_heap_root(heap)));
	T_OK(mp_heap_free(heap, mine));
	mp_heap_close(heap);
}

Test(heap, reclaim_with_many_owners)
{
	mp_heap *heap = make(1 << 20, 0);

	for (int i = 0; i < 70; i++) {
		struct t_child child = t_spawn(take_two, heap);
		t_expect_exit(&child, 0);
	}
	T_RESULT(mp_heap_reclaim(heap), 140);
	cr_assert_eq(stats_of(heap).n_free, 1);
	mp_heap_close(heap);
}
