/* SPDX-License-Identifier: MIT */
/*
 * sync/barrier_round.h - what happens inside the guard of a barrier: who comes in, how a round ends,
 * who has died. barrier_wait.c, the wait, and barrier.c, the other calls, stand
 * on it.
 */
#ifndef MP_SYNC_BARRIER_ROUND_H
#define MP_SYNC_BARRIER_ROUND_H

#include "shm/slab.h"
#include "sync/barrier_layout.h"

#include <stdbool.h>

typedef struct mp__barrier_cell mp__cell;

/* A barrier as one call sees it: how many cells it has was read once and checked. */
typedef struct mp__barrier {
	struct mp__barrier_layout *at;
	unsigned parties;
} mp__barrier;

extern const struct mp__slab_type mp__barrier_type; /* in barrier.c */

/* -EINVAL no barrier stands there, or its number of cells can't be. */
int mp__barrier_of(const mp_barrier *barrier, mp__barrier *ret);

/* " NAME" of a barrier that has one, for sentences. */
const char *mp__barrier_label(mp__barrier *b, char buffer[MP__SYNC_NAME_SIZE + 1]);
/* -EPIPE, with who broke it. */
int mp__barrier_broken_error(mp__barrier *b);

static inline size_t mp__barrier_size(unsigned parties)
{
	return sizeof(struct mp__barrier_layout) + parties * sizeof(mp__cell);
}

/* Enter the guard, and repair what a dead one left. 0, or the guard's error. */
int mp__barrier_enter(mp__barrier *b, mp__deadline deadline);
/* Leave it after a change that somebody waits for: all who sleep inside look at their cells. */
void mp__barrier_leave_and_wake(mp__barrier *b);

/* The state of a cell without its flags. Sequentially consistent: read after the bell was told. */
static inline unsigned mp__cell_state(mp__cell *c)
{
	return atomic_load(&c->state) & MP__CELL_STATES;
}

/* --- inside the guard ------------------------------------------------------------------------ */

/* The cell of this thread, or NULL. */
mp__cell *mp__barrier_own(mp__barrier *b);
/* Give the caller a cell that nobody uses, in this state; `c` must be EMPTY or OUTSIDE. */
void mp__barrier_claim(mp__cell *c, uint32_t state);
/* How many are inside, counted anew if the number can't be; does one of them run the action? */
unsigned mp__barrier_arrived(mp__barrier *b);
bool mp__barrier_acting(mp__barrier *b);
/* The first empty one, or NULL; the first whose owner is outside, or NULL. */
mp__cell *mp__barrier_find(mp__barrier *b, unsigned state);

/* The round has ended: everybody inside learns this outcome (a state). */
void mp__barrier_end_round(mp__barrier *b, uint32_t outcome);
/* Break it; `by` did. A cause that stands there already stays. */
void mp__barrier_break(mp__barrier *b, uint32_t cause, const struct mp__barrier_who *by);
void mp__barrier_forget_members(mp__barrier *b);
/* Is everybody inside who was counted? If not, `ret_gone` has given up. */
bool mp__barrier_complete(mp__barrier *b, mp__cell **ret_gone);

/* --- outside --------------------------------------------------------------------------------- */

void mp__barrier_who_am_i(struct mp__barrier_who *ret_who);
/* Has the owner of this cell ended, in a state in which that is of interest? Some 10 us. */
bool mp__barrier_owner_dead(mp__cell *c);
/* Look at `n` cells from `first` on; what the dead left is cleaned up, and the barrier broken. */
void mp__barrier_look(mp__barrier *b, unsigned first, unsigned n);
/* Leave a cell whose state tells the end of a wait. The last access to the barrier. */
void mp__barrier_acknowledge(mp__barrier *b, mp__cell *c);
/* Everybody who has not left a cell yet, since its wait ended, is to wake the door when it does. */
void mp__barrier_want_cells(mp__barrier *b);

#endif
