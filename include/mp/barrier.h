/* SPDX-License-Identifier: MIT */
/*
 * mp/barrier.h - a meeting point for processes or threads.
 *
 *	struct shared { mp_barrier meet; ... } *s = memory that all of them share;
 *	mp_barrier_init(&s->meet, 5, NULL);
 *	...
 *	mp_barrier_wait(&s->meet, MP_FOREVER);		each of the five; all go on together
 *
 * Nobody waits for the dead. A barrier one of whose parties was killed becomes broken: all who wait,
 * or come later, get -EPIPE with the name of the dead one in mp_error_detail(), until it is reset.
 * Its parties are those who wait, those who passed its last round, and those who said
 * mp_barrier_join(). A process that ends in order between two rounds, while the others go on with
 * somebody in its place, says mp_barrier_leave() before.
 *
 * It works in every process that has its memory, forked children too, and between threads.
 */
#ifndef MP_BARRIER_H
#define MP_BARRIER_H

#include <mp/cdefs.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

/* For placing into shared memory; nothing in it is public. Aligned to 8 bytes; zero: never made. */
typedef struct mp_barrier {
	uint64_t mp__private[336];
} mp_barrier;

#define MP_BARRIER_PARTIES_MAX 64 /* of one made by mp_barrier_init(); others: 4096 */

typedef struct mp_barrier_options {
	size_t size;      /* set by MP_BARRIER_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for people; cut at 23 bytes */
	int timeout_ms; /* no wait is longer than this, whatever the call says; 0: no such limit */
} mp_barrier_options;

#define MP_BARRIER_OPTIONS(...) \
	(&(const mp_barrier_options){.size = sizeof(mp_barrier_options), __VA_ARGS__})

/* Who broke a barrier: its process, its thread and that one's name, as ps(1) shows it. */
typedef struct mp_barrier_party {
	int pid;
	int tid;
	char name[16];
} mp_barrier_party;

/* What mp_barrier_broken() returns. */
enum mp_barrier_cause {
	MP_BARRIER_WHOLE = 0,
	MP_BARRIER_ABORTED,       /* by mp_barrier_abort() */
	MP_BARRIER_TIMED_OUT,     /* a party waited in vain */
	MP_BARRIER_DIED,          /* a party ended inside, or was expected and ended outside */
	MP_BARRIER_ACTION_FAILED, /* the action of mp_barrier_wait_action() returned an error */
};

/*
 * Run by the last party that comes, before all go on. Returns >= 0, or a negative errno, best through
 * mp_error_set(), which breaks the barrier. It must not wait on the same barrier.
 */
typedef int mp_barrier_action(void *arg);

/*
 * Make a barrier for this many parties in memory of the caller. -EINVAL less than one party, the
 * memory is NULL or misaligned, an unknown flag, a negative timeout; -ENOSPC more than
 * MP_BARRIER_PARTIES_MAX; -E2BIG.
 */
int mp_barrier_init(mp_barrier *barrier, int parties, const mp_barrier_options *options);

/*
 * Make one that is an object of its own, for up to 4096 parties: it travels to other processes as an
 * argument (mp_handle()). As above; -ENOSPC and -EMFILE also: no shared memory; -ENOMEM.
 */
int mp_barrier_new(int parties, const mp_barrier_options *options, mp_barrier **ret_barrier);

/*
 * One reference of this process more; returns its argument. One less: with the last one the memory
 * goes, here; other processes keep theirs. Neither does anything to NULL or to one that was made by
 * mp_barrier_init().
 */
mp_barrier *mp_barrier_ref(mp_barrier *barrier);
void mp_barrier_close(mp_barrier *barrier);

/*
 * End its use: from now on every call is -EINVAL. Waits, a second at most, for those who were let go
 * but have not left yet, so that a party may destroy it right after its wait. -EBUSY somebody waits.
 */
int mp_barrier_destroy(mp_barrier *barrier);

/*
 * Wait until all parties do: the order of arrival, 0 to parties - 1, each once in a round.
 * -EPIPE the barrier is broken, or was broken meanwhile; -ECANCELED it was reset meanwhile;
 * -ETIMEDOUT not all came in time, and now it is broken for everybody. MP_NOWAIT passes if all the
 * others wait already, and is -EAGAIN otherwise, with nothing broken. -EDEADLK this thread is inside.
 */
int mp_barrier_wait(mp_barrier *barrier, int timeout_ms);

/*
 * The same, and the last one to come runs its `action` (NULL: none) first. Usually all parties give
 * the same. When it fails, the one that ran it gets its error, and the others -EPIPE.
 */
int mp_barrier_wait_action(
	mp_barrier *barrier, mp_barrier_action *action, void *arg, int timeout_ms);

/*
 * Break it: all who wait get -EPIPE, and so does every wait until the barrier is reset.
 * This and the calls below: -ETIMEDOUT a process was stopped in the middle of a change of the barrier
 * and did not go on for ten seconds.
 */
int mp_barrier_abort(mp_barrier *barrier);

/*
 * Make it as new. Those who wait get -ECANCELED; who was expected is forgotten: whoever comes next is
 * a party.
 */
int mp_barrier_reset(mp_barrier *barrier);

/*
 * Be expected from now on, before the first wait: if this process dies before it, the barrier breaks.
 * Needed by nobody who is content that his death counts from his first wait on. -EPIPE the barrier
 * is broken; -ENOSPC as many parties as it has are expected already.
 */
int mp_barrier_join(mp_barrier *barrier);

/*
 * Be expected no longer: this thread will not come again, and somebody else will in its place. -EPERM
 * it was not expected; -EDEADLK it is inside, as in an action.
 */
int mp_barrier_leave(mp_barrier *barrier);

/* How many parties it is for; how many of them wait now. -EINVAL no barrier. */
int mp_barrier_parties(mp_barrier *barrier);
int mp_barrier_waiting(mp_barrier *barrier);

/*
 * Why it is broken: enum mp_barrier_cause, 0 if it is not. ret_by (may be NULL): who aborted, timed
 * out, died or failed; written only if it is broken.
 */
int mp_barrier_broken(mp_barrier *barrier, mp_barrier_party *ret_by);

MP__END_DECLS

#endif
