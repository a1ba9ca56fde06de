/* SPDX-License-Identifier: MIT */
/*
 * tests/storm/storm.h - what a capability needs to be part of the kill storm.
 *
 * The storm runs in rounds. In a round it makes the objects of all capabilities, starts a tree of
 * processes that use them, by fork, spawn and forkserver, and strikes: whoever descends from it, at
 * any instant, is killed, stopped, continued or made to exit, and another one starts in its place.
 * Then it lets them come to their end, asks each capability whether everything is right, and looks
 * whether anything is left. Key idea: who may die notes beforehand, in memory that survives it, what
 * it is about to do; so the storm knows for each message and each update whether it must be there.
 *
 * To add a capability: a file with a struct storm_capability, and its name in tree.c's table.
 */
#ifndef TESTS_STORM_STORM_H
#define TESTS_STORM_STORM_H

#include <errno.h>
#include <mp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A step that takes so long hangs. Longer than any machine needs. */
#ifndef STORM_TIMEOUT_MS
#define STORM_TIMEOUT_MS 60000
#endif
/* So much later than its deadline a wait may return, on a machine that is busy with other things. */
#define STORM_LATE_MS 20000

/* How a process leaves that has found something wrong, or that was told to exit. */
#define STORM_FAILED 99
#define STORM_EXIT 86

/* --- what is shared by all processes of a round --------------------------------------------------- */

enum storm_phase {
	STORM_BLOWS,  /* work */
	STORM_OVER,   /* leave */
	STORM_DRAINS, /* those whose role is `last` take what is left, and leave */
};

enum storm_finding {
	STORM_HUNG,
	STORM_LOST, /* and what is damaged, and what failed that had to work */
	STORM_DUPLICATED,
	STORM_LEAKED,
	STORM_FINDINGS,
};

struct storm_board {
	_Atomic int phase;
	_Atomic int failed;
	_Atomic uint32_t found[STORM_FINDINGS];
	char failure[512];       /* of the first */
	_Atomic uint64_t ended;  /* processes that the storm has ended in this round */
	_Atomic uint64_t timers; /* and processes whose end a timer was set for */
	uint64_t seed;
};

extern struct storm_board *storm_board;
/* In the storm itself its own pid; in others that of the storm, or 0. */
extern pid_t storm_pid;

static inline bool storm_blows(void)
{
	return atomic_load_explicit(&storm_board->phase, memory_order_acquire) == STORM_BLOWS &&
	       !atomic_load_explicit(&storm_board->failed, memory_order_relaxed);
}

static inline bool storm_drains(void)
{
	return atomic_load_explicit(&storm_board->phase, memory_order_acquire) == STORM_DRAINS ||
	       atomic_load_explicit(&storm_board->failed, memory_order_relaxed);
}

/* --- capabilities ------------------------------------------------------------------------------------ */

#define STORM_ROLES_MAX 4

struct storm_role {
	const char *name;
	int count;
	bool last; /* leaves in STORM_DRAINS, not in STORM_OVER */
	/* In a process of its own; number `index` of `count`. */
	void (*run)(void *memory, int index, uint64_t random);
};

struct storm_capability {
	const char *name;
	const char *points; /* where it may die: prefixes of test points, each ended by a space */
	size_t size;        /* in shared memory, zeroed, at a cache line */
	/* By the storm, before there is anybody else. */
	void (*make)(void *memory);
	/* Handles that processes need, as one value; and in the process: where they are. */
	mp_obj (*give)(void);
	void (*take)(const mp_obj *given);
	/* By hands, processes of two threads each, until they are killed. `random` is fresh. */
	void (*step)(void *memory, uint64_t random);
	struct storm_role roles[STORM_ROLES_MAX];
	/* By the storm: process `index` of a role has died. */
	void (*died)(void *memory, int role, int index);
	/* By the storm, when all have ended: is everything there, free and consistent? Drop it. */
	void (*finish)(void *memory);
};

extern const struct storm_capability storm_barrier, storm_condition, storm_counted, storm_dict,
	storm_event, storm_heap, storm_joinable, storm_kin, storm_leased, storm_list, storm_lock,
	storm_managed, storm_permits, storm_pipe, storm_pool, storm_queue, storm_rlock,
	storm_rwlock, storm_single, storm_sorted, storm_socket, storm_value, storm_wait,
	storm_block;

/* --- what they use -------------------------------------------------------------------------------------- */

uint64_t storm_random(uint64_t *state);
/* Some nanoseconds, now and then a microsecond or two. */
void storm_dawdle(uint64_t random);

/*
 * What a lock guards: two numbers that are equal, unless somebody died in between. `made` counts the
 * updates from outside: none of these may be missing.
 */
struct storm_pair {
	volatile uint64_t first;
	volatile uint64_t second;
	_Atomic uint64_t made;
};

/* Holding it alone, after `result` of the acquire: check, or repair after MP_OWNER_DIED; then work. */
void storm_pair_work(struct storm_pair *pair, int result, uint64_t random);
/* Holding it to read. */
void storm_pair_look(struct storm_pair *pair, int result, uint64_t random);
/* In the end: are all updates there, and none twice? */
void storm_pair_finish(const struct storm_pair *pair);

/* The end of the storm, with what was found. Ends the process, unless that is the storm itself. */
void storm_fail(enum storm_finding finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define STORM_IS(finding, condition)                                                          \
	do {                                                                                  \
		if (!(condition))                                                             \
			storm_fail(finding, "%s:%d: %s (%s)", __FILE__, __LINE__, #condition, \
				mp_error_detail());                                           \
	} while (0)
#define STORM_CHECK(condition) STORM_IS(STORM_LOST, condition)
/* A call that waits STORM_TIMEOUT_MS and has to work: -ETIMEDOUT is a hang. */
#define STORM_CALL(call)                                                                      \
	do {                                                                                  \
		int storm_r = (call);                                                         \
		if (storm_r < 0)                                                              \
			storm_fail(storm_r == -ETIMEDOUT ? STORM_HUNG : STORM_LOST,           \
				"%s:%d: %s gave %d (%s)", __FILE__, __LINE__, #call, storm_r, \
				mp_error_detail());                                           \
	} while (0)
/* A call with a short deadline has returned: not much later than that? */
int64_t storm_now_ms(void);
#define STORM_IN_TIME(began_ms, timeout_ms) \
	STORM_IS(STORM_HUNG, storm_now_ms() - (began_ms) <= (timeout_ms) + STORM_LATE_MS)

#endif
