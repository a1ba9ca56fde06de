/* SPDX-License-Identifier: MIT */
/*
 * queue/queue.h - the handle of a queue, private to a process, and what its parts use of each other.
 *
 * Key idea: all that can lead somewhere (base, sizes, limits) is copied out of the shared control
 * block and checked once, when the queue is made or attached; later only positions come from there,
 * and each is checked against these copies.
 */
#ifndef MP_QUEUE_QUEUE_H
#define MP_QUEUE_QUEUE_H

#include "base/deadline.h"
#include "base/spin.h"
#include "obj/handle.h"
#include "queue/queue_layout.h"
#include "shm/life.h"
#include "shm/names.h"

#include <mp/queue.h>
#include <stdatomic.h>
#include <stdbool.h>

/* tail or head, unpacked; `at` in bytes from the beginning of the file. */
struct mp__ring_word {
	uint64_t count;
	uint64_t at;
};

/* A place for one record, found by mp__ring_place(). */
struct mp__ring_place {
	uint64_t tail; /* as it is */
	uint64_t at;   /* of the record's header */
	uint64_t need; /* bytes from there */
	bool paced;    /* for a call that waits anyway */
};

/* A record found by mp__ring_next(). */
struct mp__ring_record {
	uint64_t count; /* of head */
	uint64_t at;    /* of its header */
	uint64_t size;
	enum mp__record_kind kind;
	const char *data;
};

struct mp_queue {
	struct mp__handle handle;
	struct mp__segment segment;
	struct mp__name name;
	char *base;                        /* of the segment */
	struct mp__queue_control *control; /* at base */
	struct mp__queue_cell *cells;
	uint64_t file_size;
	uint64_t max_bytes;
	uint64_t maxsize;        /* never more than MP__QUEUE_ITEMS_MAX */
	struct mp__store *store; /* or NULL: messages stand in the ring; set if flags say so */
	unsigned last_region;
	uint32_t flags;
	_Atomic unsigned references;
	_Atomic unsigned cell; /* where this process's was last */
	struct mp__life life;  /* for what this process has got, or leased; inside get_guard */
	/* What this process writes in place: whose turn it is, control->reserved says. */
	struct mp__ring_place place;
	size_t place_size;
	struct mp__ring_record peeked; /* the same for control->lent */
};

extern const struct mp__handle_class mp__queue_class;

/* --- the file (file.c) ------------------------------------------------------------------------- */

/* How large the file of a queue with this limit is, and which region is the last. */
uint64_t mp__queue_geometry(uint64_t max_bytes, unsigned *ret_last_region);
int mp__queue_file_new(const mp_queue_options *options, struct mp_queue *q);
int mp__queue_file_create(const char *name, const mp_queue_options *options, struct mp_queue *q);
int mp__queue_file_open(const char *name, struct mp_queue *q);
/*
 * Of the name in the handle, if there is one: it has no seals then. Takes the descriptor if it
 * succeeds. -EBADMSG it is no queue of this build.
 */
int mp__queue_file_attach(int fd, struct mp_queue *q);
void mp__queue_file_close(struct mp_queue *q);

/* --- one wait of a call ------------------------------------------------------------------------ */

/*
 * The timeout becomes a deadline when something has to be waited for: most calls never ask the
 * clock.
 */
struct mp__queue_wait {
	int timeout_ms;
	bool patient; /* no timeout, but not for ever: as shm/guard.h says */
	bool started;
	bool slept;
	bool suspicious;  /* has waited a while: ask whether others live */
	bool told;        /* of the one below */
	uint64_t foreign; /* who works in place, and cannot be judged from here; or 0 */
	mp__deadline deadline;
};

static inline struct mp__queue_wait mp__queue_wait_of(int timeout_ms)
{
	return (struct mp__queue_wait){.timeout_ms = timeout_ms};
}

/* For calls that only ever wait for who is in the middle of a change. */
static inline struct mp__queue_wait mp__queue_wait_patiently(void)
{
	return (struct mp__queue_wait){.timeout_ms = MP_FOREVER, .patient = true};
}

/*
 * Is there anything to do for a putter, a getter? Looks without a guard; what it says may be old
 * when the caller gets there.
 */
typedef bool mp__queue_condition(struct mp_queue *q, const void *argument);

/*
 * Wait until the condition may hold: 0; -EAGAIN the timeout is MP_NOWAIT; -ETIMEDOUT. Without a
 * sentence.
 */
int mp__queue_wait_for(struct mp_queue *q, struct mp__watched_bell *bell,
	struct mp__queue_wait *wait, mp__queue_condition *condition, const void *argument);
/* Does somebody whose word this is still work in place? Asks only after a while. */
bool mp__queue_in_place(struct mp__queue_wait *wait, uint64_t who);
/* The first part of that alone: has it come true during a short spin? */
bool mp__queue_spin_for(struct mp_queue *q, mp__queue_condition *condition, const void *argument);

/* --- guards (side.c) --------------------------------------------------------------------------- */

int mp__queue_enter_slowly(struct mp_queue *q, mp__guard *guard, struct mp__queue_wait *wait);

/* 0 inside; -ETIMEDOUT, -EDEADLK. */
static inline int mp__queue_enter(struct mp_queue *q, mp__guard *guard, struct mp__queue_wait *wait)
{
	uint64_t nobody = 0;

	/* Partner: the release in mp__queue_leave(), mp__guard_leave(). */
	if (__builtin_expect(atomic_compare_exchange_strong_explicit(guard, &nobody,
				     mp__stamp_self(), memory_order_acquire, memory_order_relaxed),
		    1))
		return 0;
	return mp__queue_enter_slowly(q, guard, wait);
}

/* After a change that others may sleep for: leave, and wake up to `count` of them. */
static inline void mp__queue_leave(mp__guard *guard, struct mp__watched_bell *bell, int count)
{
	mp__guard_leave_and_look(guard);
	mp__watched_bell_ring(bell, count);
}

#endif
