/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/waiting.h"

#include "base/origin.h"
#include "base/testpoint.h"
#include "shm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The time of the last tick: exact enough for people, and a fifth of the cost. */
static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static struct mp__board *_Atomic board; /* NULL: not yet */

/* This thread's cell; of another process before its first wait here. */
static __thread struct {
	mp__origin origin;
	struct mp__board_cell *cell; /* NULL: none was free */
} self __attribute__((tls_model("initial-exec")));

/* --- the board ------------------------------------------------------------------------------------ */

static struct mp__board *make_board(void)
{
	int fd = mp__memory_new(MP__BOARD_NAME, 0, sizeof(struct mp__board),
		sizeof(struct mp__board), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
		"the board of who waits");
	struct mp__board *nobody = NULL;

	if (fd < 0)
		return NULL;
	struct mp__board *made =
		mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (made == MAP_FAILED) {
		close(fd);
		return NULL;
	}
	made->magic = MP__BOARD_MAGIC;
	if (atomic_compare_exchange_strong(&board, &nobody, made))
		return made;
	munmap(made, sizeof(*made)); /* another thread was quicker */
	close(fd);
	return nobody;
}

struct mp__board *mp__waiting_board(void)
{
	struct mp__board *b = atomic_load(&board);

	return b ? b : make_board();
}

/* --- cells ------------------------------------------------------------------------------------------ */

static bool claim(struct mp__board_cell *cell, mp__stamp from, mp__stamp to)
{
	if (!atomic_compare_exchange_strong(&cell->thread, &from, to))
		return false;
	atomic_store(&cell->kind, 0);
	atomic_store(&cell->change, (atomic_load(&cell->change) + 1) & ~UINT32_C(1));
	return true;
}

/* A free one, near to where others of this thread's number would look too; or one of a dead thread. */
static struct mp__board_cell *find_cell(struct mp__board *b, mp__stamp me)
{
	size_t first = (size_t)mp__stamp_tid(me) % MP__BOARD_CELLS;

	for (size_t i = 0; i < MP__BOARD_CELLS; i++) {
		struct mp__board_cell *cell = &b->cells[(first + i) % MP__BOARD_CELLS];
		if (atomic_load(&cell->thread) == 0 && claim(cell, 0, me))
			return cell;
	}
	for (size_t i = 0; i < MP__BOARD_CELLS; i++) {
		struct mp__board_cell *cell = &b->cells[(first + i) % MP__BOARD_CELLS];
		mp__stamp who = atomic_load(&cell->thread);
		if (mp__stamp_thread_dead(who) && claim(cell, who, me))
			return cell;
	}
	return NULL;
}

static struct mp__board_cell *my_cell(void)
{
	if (mp__origin_is_here(self.origin))
		return self.cell;
	struct mp__board *b = mp__waiting_board();
	if (!b)
		return NULL; /* perhaps the next time */
	self.cell = find_cell(b, mp__stamp_self());
	self.origin = mp__origin_here();
	return self.cell;
}

/* Nobody else writes it while this thread lives. */
static void move_on(struct mp__board_cell *cell, memory_order order)
{
	uint32_t change = atomic_load_explicit(&cell->change, memory_order_relaxed);

	atomic_store_explicit(&cell->change, change + 1, order);
}

static struct mp__board_cell *begin_change(void)
{
	struct mp__board_cell *cell = my_cell();

	if (cell) {
		move_on(cell, memory_order_relaxed);
		atomic_thread_fence(memory_order_release);
	}
	return cell;
}

/* Partner: the reads of `change` in mpctl. */
static void end_change(struct mp__board_cell *cell)
{
	move_on(cell, memory_order_release);
}

/* --- records ---------------------------------------------------------------------------------------- */

static void begin(const void *object, uint32_t kind, const char *name, mp__stamp owner, bool again)
{
	int e = errno;
	struct mp__board_cell *cell = begin_change();
	uint64_t text[MP__SYNC_NAME_SIZE / 8] = {0};

	if (cell) {
		if (name)
			memcpy(text, name, strnlen(name, sizeof(text) - 1));
		for (size_t i = 0; i < MP__SYNC_NAME_SIZE / 8; i++)
			atomic_store_explicit(&cell->name[i], text[i], memory_order_relaxed);
		MP__TEST_POINT("waiting.half");
		if (!again)
			atomic_store_explicit(&cell->since_ns, now(), memory_order_relaxed);
		atomic_store_explicit(&cell->object, (uintptr_t)object, memory_order_relaxed);
		atomic_store_explicit(&cell->owner, owner, memory_order_relaxed);
		atomic_store_explicit(&cell->kind, kind, memory_order_relaxed);
		end_change(cell);
	}
	errno = e;
}

void mp__waiting_begin(const struct mp__sync_head *head, mp__stamp owner)
{
	char name[MP__SYNC_NAME_SIZE];

	begin(head, atomic_load_explicit(&head->magic, memory_order_relaxed),
		mp__sync_name(head, name), owner, false);
}

void mp__waiting_begin_for(const void *object, uint32_t kind, const char *name, bool again)
{
	begin(object, kind, name, 0, again);
}

void mp__waiting_update(mp__stamp owner)
{
	struct mp__board_cell *cell = my_cell();

	if (cell)
		atomic_store_explicit(&cell->owner, owner, memory_order_relaxed);
}

void mp__waiting_end(void)
{
	struct mp__board_cell *cell = my_cell();

	if (cell)
		atomic_store_explicit(&cell->kind, 0, memory_order_relaxed);
}
