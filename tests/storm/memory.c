/* SPDX-License-Identifier: MIT */
/* Shared memory in the kill storm: values, arrays, a heap, a shared list, named blocks. */
#include <config.h>

#include "tests/storm/storm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- a value and an array: sums are exact, what a lock guards is whole --------------------------------- */

#define CELLS 64

struct sums {
	_Atomic int64_t added; /* what was added to the value, noted afterwards */
};

static mp_value *value;
static mp_array *array;

static void make_value(void *memory)
{
	int64_t zero = 0;

	(void)memory;
	STORM_CALL(mp_value_new('q', &zero, NULL, &value));
	STORM_CALL(mp_array_new('q', CELLS, NULL, NULL, &array));
}

static mp_obj give_value(void)
{
	static mp_obj both[2];

	both[0] = mp_handle(value);
	both[1] = mp_handle(array);
	return mp_list_of(both, 2);
}

static void take_value(const mp_obj *given)
{
	value = mp_obj_value(&given->as.items[0]);
	array = mp_obj_array(&given->as.items[1]);
}

/* All cells hold the same number, unless somebody died on the way. */
static void fill_array(uint64_t random)
{
	int64_t *cells = mp_array_data(array);
	int r = mp_array_acquire(array, STORM_TIMEOUT_MS);

	STORM_CALL(r);
	for (int i = 1; r != MP_OWNER_DIED && i < CELLS; i++)
		STORM_CHECK(cells[i] == cells[0]);
	for (int i = 0; i < CELLS; i++)
		cells[i] = (int64_t)random;
	STORM_CALL(mp_array_release(array));
}

/* The library's own copies are under the lock too. */
static void copy_array(uint64_t random)
{
	int64_t cells[CELLS];
	size_t n = 0;
	int r = mp_array_get_slice(array, MP_SLICE_ALL, cells, sizeof(cells), STORM_TIMEOUT_MS, &n);

	STORM_CALL(r);
	for (int i = 1; r != MP_OWNER_DIED && i < CELLS; i++)
		STORM_CHECK(cells[i] == cells[0]);
	if (r != MP_OWNER_DIED && random % 8 > 1)
		return;
	for (int i = 0; i < CELLS; i++)
		cells[i] = (int64_t)random;
	STORM_CALL(mp_array_set_slice(array, MP_SLICE_ALL, cells, sizeof(cells), STORM_TIMEOUT_MS));
}

static void step_value(void *memory, uint64_t random)
{
	struct sums *sums = memory;

	switch (random % 4) {
	case 0:
		fill_array(random);
		break;
	case 1:
		copy_array(random);
		break;
	default:
		STORM_CALL(mp_value_add_i64(value, 1, NULL));
		sums->added++;
	}
}

static void finish_value(void *memory)
{
	struct sums *sums = memory;
	int64_t now = 0;

	fill_array(1);
	copy_array(1);
	STORM_CALL(mp_value_load_i64(value, &now));
	STORM_CHECK(now >= sums->added);
	STORM_IS(STORM_DUPLICATED,
		(uint64_t)(now - sums->added) <= 2 * (uint64_t)storm_board->ended);
	STORM_CALL(mp_value_close(value));
	STORM_CALL(mp_array_close(array));
}

const struct storm_capability storm_value = {
	.name = "value",
	.points = "value. array. rlock. ",
	.size = sizeof(struct sums),
	.make = make_value,
	.give = give_value,
	.take = take_value,
	.step = step_value,
	.finish = finish_value,
};

/* --- a heap: blocks overlap nobody's, and what dead ones had comes back -------------------------------- */

#define BLOCKS 8

static mp_heap *heap;

static void make_heap(void *memory)
{
	(void)memory;
	STORM_CALL(mp_heap_new(1 << 16, MP_HEAP_OPTIONS(.max_size = 1 << 26), &heap));
}

static mp_obj give_heap(void)
{
	return mp_handle(heap);
}

static void take_heap(const mp_obj *given)
{
	heap = mp_obj_heap(given);
}

static void check_block(const unsigned char *block, size_t size, unsigned char with)
{
	for (size_t i = 0; i < size; i++)
		STORM_CHECK(block[i] == with);
}

static void step_heap(void *memory, uint64_t random)
{
	unsigned char *blocks[BLOCKS];
	size_t sizes[BLOCKS];
	unsigned char mine = (unsigned char)(random >> 24);

	(void)memory;
	for (int i = 0; i < BLOCKS; i++) {
		sizes[i] = (random >> (i * 4) & 15) * (random % 128 == 3 ? 6000 : 40) + 1;
		STORM_CALL(i % 4 == 3 ? mp_heap_alloc_aligned(heap, 256, sizes[i], &blocks[i])
				      : mp_heap_alloc(heap, sizes[i], &blocks[i]));
		memset(blocks[i], mine, sizes[i]);
	}
	storm_dawdle(random);
	for (int i = 0; i < BLOCKS; i++) {
		check_block(blocks[i], sizes[i], mine);
		STORM_CALL(mp_heap_free(heap, blocks[i]));
	}
	if (random % 16 == 0)
		STORM_CALL(mp_heap_reclaim(heap));
}

static void finish_heap(void *memory)
{
	mp_heap_stats stats;

	(void)memory;
	STORM_CALL(mp_heap_check(heap));
	STORM_CALL(mp_heap_reclaim(heap));
	STORM_CALL(mp_heap_check(heap));
	STORM_CALL(mp_heap_stat(heap, &stats));
	STORM_IS(STORM_LEAKED, stats.n_used == 0);
	STORM_CALL(mp_heap_close(heap));
}

const struct storm_capability storm_heap = {
	.name = "heap",
	.points = "heap. segment. ",
	.make = make_heap,
	.size = 1,
	.give = give_heap,
	.take = take_heap,
	.step = step_heap,
	.finish = finish_heap,
};

/* --- a shared list: an item is what one writer wrote --------------------------------------------------- */

#define ITEMS 5
#define TEXT 40

static mp_shared_list *list;

static void make_list(void *memory)
{
	mp_obj items[ITEMS];
	static const char text[TEXT + 1] = "........................................";

	(void)memory;
	for (int i = 0; i < ITEMS; i++)
		items[i] = mp_strn(text, TEXT);
	STORM_CALL(mp_shared_list_new(mp_list_of(items, ITEMS), NULL, &list));
}

static mp_obj give_list(void)
{
	return mp_handle(list);
}

static void take_list(const mp_obj *given)
{
	list = mp_obj_shared_list(given);
}

static void step_list(void *memory, uint64_t random)
{
	int64_t at = (int64_t)(random >> 8 & 255) % ITEMS;
	char text[TEXT + 1] = "";
	mp_obj item;

	(void)memory;
	if (random % 2) {
		memset(text, 'a' + (int)(random >> 16 & 15), (random >> 20) % TEXT + 1);
		STORM_CALL(mp_shared_list_set(
			list, at, random % 4 == 1 ? mp_i64((int64_t)random) : mp_str(text)));
		return;
	}
	STORM_CALL(mp_shared_list_get(list, at, &item));
	for (size_t i = 1; item.type == MP_TYPE_STR && i < item.count; i++)
		STORM_CHECK(item.as.str[i] == item.as.str[0]);
	mp_obj_free(&item);
}

static void finish_list(void *memory)
{
	for (uint64_t i = 0; i < 2 * ITEMS; i++)
		step_list(memory, i << 8);
	mp_shared_list_close(list);
}

const struct storm_capability storm_list = {
	.name = "list",
	.points = "list. ",
	.size = 1,
	.make = make_list,
	.give = give_list,
	.take = take_list,
	.step = step_list,
	.finish = finish_list,
};

/* --- names: a block is whole or not there, and goes with its last user --------------------------------- */

#define NAMES 3
#define BLOCK_BYTES 5000

struct names {
	int storm; /* pid, which makes names unique on this machine */
};

static void make_block(void *memory)
{
	((struct names *)memory)->storm = (int)storm_pid;
}

/* The same for queues. */
static void step_named_queue(const struct names *names, uint64_t random)
{
	char name[64];
	mp_queue *q = NULL;
	int r;

	(void)snprintf(name, sizeof(name), "storm-%d-q%d", names->storm, (int)(random >> 8 & 1));
	if (random % 3 == 0)
		r = mp_queue_create(name, NULL, &q);
	else if (random % 16 == 1)
		r = mp_queue_unlink(name);
	else
		r = mp_queue_open(name, &q);
	STORM_IS(r == -EBUSY ? STORM_HUNG : STORM_LOST, r == 0 || r == -ENOENT || r == -EEXIST);
	if (!q)
		return;
	STORM_CALL(mp_queue_put(q, mp_i64(4), STORM_TIMEOUT_MS));
	mp_queue_close(q);
}

static void step_block(void *memory, uint64_t random)
{
	const struct names *names = memory;
	char name[64];
	mp_block *block = NULL;
	int r;

	if (random % 32 >= 24) {
		step_named_queue(names, random >> 5);
		return;
	}
	(void)snprintf(
		name, sizeof(name), "storm-%d-%d", names->storm, (int)(random >> 8 & 255) % NAMES);
	if (random % 3 == 0)
		r = mp_block_create(name, BLOCK_BYTES, MP_BLOCK_OPTIONS(.max_size = 20000), &block);
	else if (random % 16 == 1)
		r = mp_block_unlink(name);
	else
		r = mp_block_open(name, NULL, &block);
	STORM_IS(r == -EBUSY ? STORM_HUNG : STORM_LOST, r == 0 || r == -ENOENT || r == -EEXIST);
	if (!block)
		return;
	STORM_CHECK(mp_block_size(block) >= BLOCK_BYTES);
	if (random % 5 == 0)
		STORM_CALL(mp_block_grow(block, 9000));
	memset(mp_block_data(block), (int)random, mp_block_size(block));
	if (random % 7 == 0)
		STORM_CALL(mp_shm_gc(MP_SHM_REMOVE, NULL, NULL));
	mp_block_close(block);
}

static void finish_block(void *memory)
{
	for (uint64_t i = 0; i < (uint64_t)NAMES * 3; i++)
		step_block(memory, i << 8 | (i % 3 == 0 ? 3 : 2));
}

const struct storm_capability storm_block = {
	.name = "block",
	.points = "block. segment. queue.file queue.filled queue.attach queue.published ",
	.size = sizeof(struct names),
	.make = make_block,
	.step = step_block,
	.finish = finish_block,
};

/* --- one wait for several things --------------------------------------------------------------------------- */

#define SHORT_MS 10

static mp_queue *numbers;
static mp_event *flag;

static void make_wait(void *memory)
{
	(void)memory;
	STORM_CALL(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 4), &numbers));
	STORM_CALL(mp_event_new(NULL, &flag));
}

static mp_obj give_wait(void)
{
	static mp_obj both[2];

	both[0] = mp_handle(numbers);
	both[1] = mp_handle(flag);
	return mp_list_of(both, 2);
}

static void take_wait(const mp_obj *given)
{
	numbers = mp_obj_queue(&given->as.items[0]);
	flag = mp_obj_event(&given->as.items[1]);
}

static void wait_for_one(size_t n)
{
	mp_waitable things[] = {
		MP_WAIT(flag),
		MP_WAIT(numbers),
		MP_WAIT_ROOM(numbers),
	};
	int64_t began = storm_now_ms();
	int r = mp_wait(things, n, SHORT_MS);

	STORM_IN_TIME(began, SHORT_MS);
	STORM_CALL(r);
	for (size_t i = 0; i < n; i++)
		STORM_CHECK(things[i].error == 0);
}

/* The same by a set that is kept. */
static void wait_with_set(void)
{
	mp_waiter *waiter;
	mp_ready ready[2];
	int64_t began = storm_now_ms();

	STORM_CALL(mp_waiter_new(&waiter));
	STORM_CALL(mp_waiter_add(waiter, MP_WAIT(numbers), NULL));
	STORM_CALL(mp_waiter_add(waiter, MP_WAIT(flag), NULL));
	int r = mp_waiter_wait(waiter, ready, 2, SHORT_MS);
	STORM_IN_TIME(began, SHORT_MS);
	STORM_CALL(r);
	STORM_CALL(mp_waiter_close(waiter));
}

/* A queue of one's own, from its beginning to its end. */
static void live_shortly(void)
{
	mp_queue *brief;
	mp_obj item;

	STORM_CALL(mp_queue_new(NULL, &brief));
	STORM_CALL(mp_queue_put(brief, mp_i64(4), MP_NOWAIT));
	STORM_CALL(mp_queue_shutdown(brief, MP_QUEUE_DRAIN));
	STORM_CALL(mp_queue_get(brief, MP_NOWAIT, &item));
	mp_obj_free(&item);
	STORM_CHECK(mp_queue_get(brief, MP_NOWAIT, &item) == -EPIPE);
	STORM_CALL(mp_queue_shutdown(brief, MP_QUEUE_IMMEDIATE));
	mp_queue_close(brief);
}

static void step_wait(void *memory, uint64_t random)
{
	mp_obj item;
	int r;

	(void)memory;
	switch (random % 16) {
	case 0:
		STORM_CALL(mp_event_set(flag));
		break;
	case 1:
	case 6:
	case 7:
		STORM_CALL(mp_event_clear(flag));
		break;
	case 8:
		live_shortly();
		break;
	case 9:
		wait_with_set();
		break;
	case 2:
	case 3:
		r = mp_queue_put(numbers, mp_i64(4), MP_NOWAIT);
		STORM_CHECK(r == 0 || r == -EAGAIN);
		break;
	case 4:
	case 5:
	case 10:
		r = mp_queue_get(numbers, MP_NOWAIT, &item);
		STORM_CHECK(r == 0 || r == -EAGAIN);
		if (r == 0)
			mp_obj_free(&item);
		break;
	default:
		wait_for_one(1 + (random >> 8) % 3);
	}
}

static void finish_wait(void *memory)
{
	(void)memory;
	STORM_CALL(mp_event_set(flag));
	wait_for_one(3);
	mp_event_close(flag);
	mp_queue_close(numbers);
}

const struct storm_capability storm_wait = {
	.name = "wait",
	.points = "wait. waiter. watch. waiting. bell. event. queue. ",
	.size = 1,
	.make = make_wait,
	.give = give_wait,
	.take = take_wait,
	.step = step_wait,
	.finish = finish_wait,
};
