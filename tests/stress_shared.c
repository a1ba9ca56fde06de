/* SPDX-License-Identifier: MIT */
/* Shared values, arrays, lists and heaps used by several threads at once: a part of tests/stress. */
#include <config.h>

#include "tests/stress_check.h"
#include "tests/stress_shared.h"

#include <mp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define ROUNDS 2000

struct things {
	mp_value *number;
	mp_value *pair; /* two ints that are equal whenever the lock is free */
	mp_array *array;
	mp_shared_list *list; /* each item a number twice, as text: "12 12" */
	mp_heap *heap;
};

/* What is read is always whole, whoever writes it at the same time. */
static void use_list(mp_shared_list *list, int i)
{
	char text[32];
	mp_obj item;
	int first, second;

	snprintf(text, sizeof(text), "%d %d", i, i);
	CHECK(mp_shared_list_set(list, i % 4, mp_str(text)) == 0);
	CHECK(mp_shared_list_get(list, (i + 1) % 4, &item) == 0);
	CHECK(sscanf(mp_obj_str(&item), "%d %d", &first, &second) == 2 && first == second);
	mp_obj_free(&item);
}

static void *use(void *argument)
{
	struct things *t = argument;
	int items[10], pair[2];
	char *block;

	for (int i = 0; i < ROUNDS; i++) {
		mp_value *mine = mp_value_ref(t->number);
		CHECK(mp_value_add_i64(mine, 1, NULL) == 0);
		CHECK(mp_value_get(mine, pair, sizeof(int), MP_FOREVER) == 0);
		mp_value_close(mine);
		CHECK(mp_value_acquire(t->pair, MP_FOREVER) == 0);
		CHECK(mp_value_get(t->pair, pair, sizeof(pair), MP_FOREVER) == 0);
		CHECK(pair[0] == pair[1]);
		pair[0] = ++pair[1];
		CHECK(mp_value_set(t->pair, pair, sizeof(pair), MP_FOREVER) == 0);
		CHECK(mp_value_release(t->pair) == 0);
		CHECK(mp_array_get_slice(
			      t->array, MP_SLICE_ALL, items, sizeof(items), MP_FOREVER, NULL) == 0);
		CHECK(items[0] == items[9]);
		items[0] = items[9] = i;
		CHECK(mp_array_set_slice(
			      t->array, MP_SLICE_ALL, items, sizeof(items), MP_FOREVER) == 0);
		use_list(t->list, i);
		CHECK(mp_heap_alloc(t->heap, 1 + (size_t)i * 7 % 300, &block) == 0);
		memset(block, i, 1);
		if (i % 100 == 0)
			CHECK(mp_heap_check(t->heap) == 0);
		CHECK(mp_heap_free(t->heap, block) == 0);
	}
	return NULL;
}

void stress_shared(void)
{
	pthread_t threads[THREADS];
	struct things t;
	mp_heap_stats stats;

	CHECK(mp_value_new('i', NULL, NULL, &t.number) == 0);
	CHECK(mp_value_new_sized(2 * sizeof(int), NULL, NULL, &t.pair) == 0);
	CHECK(mp_array_new('i', 10, NULL, NULL, &t.array) == 0);
	CHECK(mp_shared_list_new(MP_LIST(mp_str("-10000 -10000"), mp_str("-10000 -10000"),
					 mp_str("-10000 -10000"), mp_str("-10000 -10000")),
		      NULL, &t.list) == 0);
	CHECK(mp_heap_new(512, MP_HEAP_OPTIONS(.max_size = 1 << 20), &t.heap) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, use, &t) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(*(int *)mp_value_data(t.number) == THREADS * ROUNDS);
	CHECK(*(int *)mp_value_data(t.pair) == THREADS * ROUNDS);
	CHECK(mp_heap_stat(t.heap, &stats) == 0 && stats.n_used == 0 && stats.n_free == 1);
	mp_value_close(t.number);
	mp_value_close(t.pair);
	mp_array_close(t.array);
	CHECK(mp_shared_list_len(t.list) == 4);
	mp_shared_list_close(t.list);
	mp_heap_close(t.heap);
}
