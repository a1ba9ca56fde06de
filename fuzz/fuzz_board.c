/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: what libmp notes in shared memory for people to look at, changed by any who shares it. The
 * board of who waits and the slabs of locks, as mpctl reads them: whatever stands there, what it has read
 * is sound. The same board, used by a thread that waits. The order of locks, as MP_LOCK_DEBUG keeps it. And
 * handles of each class, of any bytes and with descriptors of other things. Input: which of these, then
 * (offset, byte) triples.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "base/fds.h"
#include "obj/handle.h"
#include "sync/order.h"
#include "sync/order_layout.h"
#include "sync/waiting.h"

#include <mp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the reader would find in /proc is made up here. */
static FILE *open_proc(const char *path, const char *mode);
#define fopen open_proc
#include "mpctl/scene.c"
#undef fopen

#define CELLS 16 /* that are changed */
#define SLAB_SIZE 8192
#define EDGES 12
#define THINGS 15

static void mutate(void *at, size_t room, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 3 <= size; i += 3)
		((char *)at)[(size_t)(data[i] | data[i + 1] << 8) % room] = (char)data[i + 2];
}

/* --- mpctl looks -------------------------------------------------------------------------------------- */

static FILE *open_proc(const char *path, const char *mode)
{
	static char maps[] = "1000-3000 rw-s 00000000 00:01 7          /memfd:mp-slab (deleted)\n"
			     "4000-5000 rw-s 00001000 00:01 7          /memfd:mp-slab (deleted)\n"
			     "8000-9000 rw-p 00000000 00:00 0\n";
	static char status[64];

	if (strstr(path, "/maps"))
		return fmemopen(maps, sizeof(maps) - 1, mode);
	int n = snprintf(status, sizeof(status), "Name:\tfuzz\nTgid:\t%d\n", (int)getpid());
	return fmemopen(status, (size_t)n, mode);
}

/* A file that is changed and brought back to what it was. */
static int file_of(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	expect(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

/* This thread waits for four things, dead ones for the others. */
static void fill_board(struct mp__board *board)
{
	board->magic = MP__BOARD_MAGIC;
	for (uint64_t i = 0; i < CELLS; i++) {
		struct mp__board_cell *cell = &board->cells[i];
		atomic_store(&cell->thread, i % 4 ? 1 + i * 77 : mp__stamp_self());
		atomic_store(&cell->kind, i % 3 ? MP__MAGIC_LOCK : MP__MAGIC_SEMAPHORE);
		atomic_store(&cell->object, 0x1000 + i * 0x400);
		atomic_store(&cell->owner, i);
		atomic_store(&cell->since_ns, (int64_t)i);
	}
}

/* A board of the right size, but for the cells behind those that are changed: those are always free. */
static void try_board(struct scene *s, const uint8_t *data, size_t size)
{
	static struct mp__board start;
	static int fd = -1;
	const size_t room = offsetof(struct mp__board, cells[CELLS]);

	if (fd < 0) {
		fd = file_of("board", sizeof(start));
		fill_board(&start);
	}
	struct mp__board *board = malloc(room);
	expect(board != NULL);
	memcpy(board, &start, room);
	mutate(board, room, data, size);
	expect(pwrite(fd, board, room, 0) == (ssize_t)room);
	free(board);
	read_board(s, getpid(), fd);
}

static void try_slab(struct scene *s, const uint8_t *data, size_t size)
{
	static _Alignas(64) char start[SLAB_SIZE];
	static _Alignas(64) char slab[SLAB_SIZE];
	static int fd = -1;
	struct stat st;

	if (fd < 0) {
		struct mp__segment_header *header = (struct mp__segment_header *)(void *)start;
		fd = file_of("slab", SLAB_SIZE);
		header->magic = MP__SEGMENT_MAGIC;
		header->kind = MP__SEGMENT_SLAB;
		atomic_store(&header->size, SLAB_SIZE);
		expect(mp_lock_init((mp_lock *)(void *)(start + 64), NULL) == 0 &&
			mp_lock_acquire((mp_lock *)(void *)(start + 64), MP_NOWAIT) == 0 &&
			mp_rlock_init((mp_rlock *)(void *)(start + 128), NULL) == 0 &&
			mp_semaphore_init((mp_semaphore *)(void *)(start + 192), 3, NULL) == 0 &&
			mp_rwlock_init((mp_rwlock *)(void *)(start + 4096), NULL) == 0 &&
			mp_rwlock_acquire_read((mp_rwlock *)(void *)(start + 4096), MP_NOWAIT) ==
				0);
	}
	memcpy(slab, start, sizeof(slab));
	mutate(slab, sizeof(slab), data, size);
	expect(pwrite(fd, slab, sizeof(slab), 0) == SLAB_SIZE && fstat(fd, &st) == 0);
	read_slab(s, fd, &st);
}

/* What everything in mpctl that looks at a scene relies on. */
static void expect_sound(const struct scene *s)
{
	size_t held = 0;

	for (size_t i = 0; i < s->n_holders; i++)
		expect(s->holders[i].object < s->n_objects && s->holders[i].stamp != 0 &&
			(i == 0 || compare_holders(&s->holders[i - 1], &s->holders[i]) < 0));
	for (size_t i = 0; i < s->n_waiters; i++)
		expect(s->waiters[i].object < s->n_objects &&
			(i == 0 || s->waiters[i - 1].stamp < s->waiters[i].stamp) &&
			scene_wait_of(s, s->waiters[i].stamp) == &s->waiters[i]);
	for (size_t i = 0; i < s->n_objects; i++) {
		const struct object *o = &s->objects[i];
		expect(memchr(o->name, '\0', sizeof(o->name)) != NULL && !o->served);
		for (size_t k = 0; k < o->n_holders; k++)
			expect(s->holders[o->first_holder + k].object == i);
		held += o->n_holders;
	}
	expect(held == s->n_holders);
}

static void look(bool both, bool board, const uint8_t *data, size_t size)
{
	struct scene s = {0};

	if (both || !board)
		try_slab(&s, data, size);
	if (both || board)
		try_board(&s, data, size);
	tdestroy(s.places, free);
	s.places = NULL;
	sort_waiters(&s);
	sort_holders(&s);
	expect_sound(&s);
	scene_free(&s);
}

/* --- a thread waits ----------------------------------------------------------------------------------- */

static void *wait_a_while(void *lock)
{
	expect(mp_lock_acquire(lock, 1) == -ETIMEDOUT);
	return NULL;
}

/* Its cell is looked for near its number; all of them are taken by whom the input says. */
static void try_waiting(const uint8_t *data, size_t size)
{
	static mp_lock *lock;
	struct mp__board *board = mp__waiting_board();
	pthread_t thread;

	if (!lock)
		expect(mp_lock_new(NULL, &lock) == 0 && mp_lock_acquire(lock, MP_NOWAIT) == 0);
	expect(board != NULL);
	for (size_t i = 0; i < MP__BOARD_CELLS && size > 8; i++)
		memcpy(&board->cells[i], data + i % (size - 8), 8);
	mutate(board, sizeof(*board), data, size);
	expect(pthread_create(&thread, NULL, wait_a_while, lock) == 0 &&
		pthread_join(thread, NULL) == 0);
	memset(board->cells, 0, sizeof(board->cells));
}

/* --- the order of locks -------------------------------------------------------------------------------- */

static void drop(int level, const char *component, const char *message, void *data)
{
	(void)level;
	(void)component;
	(void)data;
	expect(strlen(message) > 0);
}

/* The memory that MP_LOCK_DEBUG has made in this process. */
static struct mp__order *find_order(void)
{
	const char wanted[] = "/memfd:" MP__ORDER_NAME " (deleted)";
	struct mp__order *order = MAP_FAILED;
	char path[64];
	char target[64];

	mp__order_begin("1");
	mp_log_set_handler(MP_LOG_WARNING, drop, NULL);
	for (int fd = 0; fd < 64 && order == MAP_FAILED; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, target, sizeof(target));
		if (n == sizeof(wanted) - 1 && memcmp(target, wanted, (size_t)n) == 0)
			order = mmap(
				NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	expect(order != MAP_FAILED);
	return order;
}

/* One after the other with the one before in hand; a lock's number is new each time. */
static void take_in_turn(mp_lock *a, mp_lock *b)
{
	expect(mp_lock_acquire(a, MP_NOWAIT) == 0);
	expect(mp_lock_acquire(b, MP_NOWAIT) == 0);
	mp_lock_release(b);
	mp_lock_release(a);
}

static void try_order(const uint8_t *data, size_t size)
{
	static struct mp__order *order;
	static uint64_t number;
	mp_lock locks[3];

	if (!order)
		order = find_order();
	mp__order_on = true;
	memset(order->edges, 0, sizeof(order->edges[0]) * (EDGES + 8));
	atomic_store(&order->used, EDGES);
	for (uint64_t i = 0; i < EDGES; i++) {
		order->edges[i].from.id = number + i % 4;
		order->edges[i].to.id = number + i / 4 + 1;
		order->edges[i].state = MP__ORDER_READY;
	}
	for (uint64_t i = 0; i < 3; i++) {
		expect(mp_lock_init(&locks[i], NULL) == 0);
		atomic_store(&((struct mp__lock *)&locks[i])->order_id, number + i);
	}
	number += 8;
	mutate(order->edges, sizeof(order->edges[0]) * EDGES, data, size);
	mutate(&order->used,
		sizeof(*order) - offsetof(struct mp__order, used) - sizeof(order->edges), data,
		size > 3 ? 3 : 0);
	take_in_turn(&locks[0], &locks[1]);
	take_in_turn(&locks[1], &locks[2]);
	take_in_turn(&locks[2], &locks[0]);
	mp__order_on = false;
}

/* --- handles -------------------------------------------------------------------------------------------- */

static struct mp__handle_wire wires[THINGS];
static const struct mp__handle_class *classes[THINGS];

/* One of each kind, for good; what its handle takes along is lent by it. */
static void keep(size_t at, mp_obj value)
{
	struct mp__handle *handle = value.as.handle;

	expect(value.type == MP_TYPE_HANDLE && handle != NULL);
	classes[at] = handle->class;
	expect(handle->class->export(handle, &wires[at]) == 0);
}

static void make_things(void)
{
	static mp_lock *lock;
	static mp_rlock *rlock;
	static mp_rwlock *rwlock;
	static mp_semaphore *semaphore;
	static mp_condition *condition;
	static mp_event *event;
	static mp_barrier *barrier;
	static mp_value *value;
	static mp_array *array;
	static mp_block *block;
	static mp_heap *heap;
	static mp_shared_list *list;
	static mp_queue *queue;
	static mp_connection *ends[4];

	expect(mp_lock_new(NULL, &lock) == 0 && mp_rlock_new(NULL, &rlock) == 0 &&
		mp_rwlock_new(NULL, &rwlock) == 0 && mp_semaphore_new(1, NULL, &semaphore) == 0 &&
		mp_condition_new(NULL, &condition) == 0 && mp_event_new(NULL, &event) == 0 &&
		mp_barrier_new(2, NULL, &barrier) == 0 &&
		mp_value_new('i', NULL, NULL, &value) == 0 &&
		mp_array_new('i', 10, NULL, NULL, &array) == 0 &&
		mp_block_new(100, NULL, &block) == 0 && mp_heap_new(8000, NULL, &heap) == 0 &&
		mp_shared_list_new(MP_LIST(mp_i64(1)), NULL, &list) == 0 &&
		mp_queue_new(NULL, &queue) == 0 && mp_pipe(NULL, &ends[0], &ends[1]) == 0 &&
		mp_connection_pair(NULL, &ends[2], &ends[3]) == 0);
	keep(0, mp_handle(lock));
	keep(1, mp_handle(rlock));
	keep(2, mp_handle(rwlock));
	keep(3, mp_handle(semaphore));
	keep(4, mp_handle(condition));
	keep(5, mp_handle(event));
	keep(6, mp_handle(barrier));
	keep(7, mp_handle(value));
	keep(8, mp_handle(array));
	keep(9, mp_handle(block));
	keep(10, mp_handle(heap));
	keep(11, mp_handle(list));
	keep(12, mp_handle(queue));
	keep(13, mp_handle(ends[0]));
	keep(14, mp_handle(ends[2]));
}

/* The bytes of a true one, changed, with the descriptors of that thing or of others. */
static void try_handle(const uint8_t *data, size_t size)
{
	struct mp__handle *taken;

	if (!classes[0])
		make_things();
	if (size < 4)
		return;
	const struct mp__handle_class *class = classes[data[0] % THINGS];
	struct mp__handle_wire wire = wires[data[0] % THINGS];
	const struct mp__handle_wire *other = &wires[data[1] % THINGS];
	wire.n_fds = data[2] % (MP__HANDLE_FDS_MAX + 1);
	for (size_t i = 0; i < wire.n_fds; i++) {
		wire.fds[i] = mp__fd_dup(other->n_fds > 0 ? other->fds[i % other->n_fds] : 2);
		expect(wire.fds[i] >= 0);
	}
	if (data[3] > 128)
		wire.size = (size_t)(data[3] - 128) * 4;
	mutate(wire.data, wire.size > 0 ? wire.size : 1, data + 4, size - 4);
	if (class->import(&wire, &taken) == 0)
		taken->class->unref(taken);
	mp__fds_close(wire.fds, wire.n_fds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const uint8_t *rest = data + 1;
	size_t n = size - 1;
	switch (data[0] % 16) {
	case 0: /* it needs a thread, and some time */
		try_waiting(rest, n);
		break;
	case 1:
	case 2:
	case 3:
		look(data[0] % 16 == 3, data[0] % 16 == 2, rest, n);
		break;
	case 4:
	case 5:
		try_order(rest, n);
		break;
	default:
		try_handle(rest, n);
		break;
	}
	return 0;
}
