/* SPDX-License-Identifier: MIT */
/*
 * sync/cells.h - what values and arrays have in common: typed items in shared memory beside a lock.
 *
 * The handle is private to a process: sizes and type stand in it, where nobody else can change them.
 * One piece of shared memory may have several handles here; each has one reference to it.
 */
#ifndef MP_SYNC_CELLS_H
#define MP_SYNC_CELLS_H

#include "shm/slab.h"
#include "sync/cell.h"
#include "sync/cells_layout.h"

#include <mp/value.h>
#include <stdbool.h>

struct mp__cells {
	struct mp__handle handle;
	_Atomic int references;
	enum mp__cell cell;
	int type;
	bool raw;
	size_t item_size;
	size_t length;
	unsigned char *items;
	struct mp__cells_shared *shared;
};

struct mp_value {
	struct mp__cells cells;
};
struct mp_array {
	struct mp__cells cells;
};

extern const struct mp__handle_class mp__value_class;
extern const struct mp__handle_class mp__array_class;

/* item_size 0: that of the type. */
struct mp__cells_plan {
	enum mp__handle_kind kind;
	int type;
	size_t item_size;
	size_t length;
	bool raw;
	char name[MP__SYNC_NAME_SIZE];
};

int mp__cells_plan(enum mp__handle_kind kind, int type, size_t item_size, size_t length,
	const mp_value_options *options, struct mp__cells_plan *ret_plan);
int mp__cells_new(
	const struct mp__cells_plan *plan, const void *initial, struct mp__cells **ret_cells);
int mp__cells_copy(struct mp__cells *cells, int timeout_ms, struct mp__cells **ret_copy);

struct mp__cells *mp__cells_ref(struct mp__cells *cells);
void mp__cells_close(struct mp__cells *cells);

/* -EINVAL for NULL; `what`: "value", "array". */
int mp__cells_missing(const char *what);

/* The lock; where there is none, `enter` and `leave` do nothing, the others are -ENOTSUP. */
int mp__cells_acquire(struct mp__cells *cells, int timeout_ms);
int mp__cells_release(struct mp__cells *cells);
int mp__cells_enter(struct mp__cells *cells, int timeout_ms);
void mp__cells_leave(struct mp__cells *cells);
/* The call fails after all: if it was told of a death (`entered`), the next one shall be, too. */
void mp__cells_leave_undone(struct mp__cells *cells, int entered);

/*
 * Copy one item; a typed one in one access. Who reads what another wrote sees what that one did before
 * (release, acquire), also where there is no lock.
 */
void mp__cells_read(const struct mp__cells *cells, size_t index, void *to);
void mp__cells_write(struct mp__cells *cells, size_t index, const void *from);

#endif
