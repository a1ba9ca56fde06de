/* SPDX-License-Identifier: MIT */
/*
 * mp/semaphore.h - a number of permits, shared by processes and threads.
 *
 *	mp_semaphore_new(3, MP_SEMAPHORE_OPTIONS(.bounded = true), &s);
 *	...
 *	mp_semaphore_acquire(s, MP_FOREVER);
 *	(at most three are here)
 *	mp_semaphore_release(s);
 *
 * The permits that a process holds are written down in the semaphore, for all of its threads
 * together. When the process ends, however it ends, they come back to the others. A release by a
 * process that holds none gives back one that another process holds, so that a semaphore may also
 * be released by somebody else; one that is used for signals only is made with `ownerless`.
 *
 * A semaphore is an object of its own (mp_semaphore_new) or stands in shared memory of the program's
 * own (mp_semaphore_init), aligned to 8 bytes. It works in forked children as it is; a child
 * holds nothing of what its parent held.
 */
#ifndef MP_SEMAPHORE_H
#define MP_SEMAPHORE_H

#include <mp/cdefs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

/* Opaque; zero bytes are no semaphore. */
typedef struct mp_semaphore {
	uint64_t mp__private[72];
} mp_semaphore;

/* As many processes may hold permits of one semaphore at the same time; with the option, more. */
#define MP_SEMAPHORE_HOLDERS 32
#define MP_SEMAPHORE_HOLDERS_MAX 4096
/* The most permits. */
#define MP_SEMAPHORE_MAX INT32_MAX

typedef struct mp_semaphore_options {
	size_t size;      /* set by MP_SEMAPHORE_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for people: in error details and mpctl; cut at 23 bytes */
	bool bounded;     /* never more permits than at the start: a release beyond is -EOVERFLOW */
	bool ownerless; /* permits are counted, not held: those of a dead process do not come back */
	/*
	 * As many processes may hold permits at the same time. 0: MP_SEMAPHORE_HOLDERS, which is also
	 * the most for mp_semaphore_init(); for mp_semaphore_new() it is MP_SEMAPHORE_HOLDERS_MAX.
	 */
	uint32_t holders;
} mp_semaphore_options;

#define MP_SEMAPHORE_OPTIONS(...) \
	(&(const mp_semaphore_options){.size = sizeof(mp_semaphore_options), __VA_ARGS__})

/*
 * Make one with `value` permits in memory of the caller's own. -EINVAL `semaphore` is NULL or not
 * aligned to 8 bytes, value below 0, unknown flag; -EOVERFLOW value above MP_SEMAPHORE_MAX;
 * -ENOSPC more holders than there is room for; -E2BIG.
 */
int mp_semaphore_init(mp_semaphore *semaphore, int64_t value, const mp_semaphore_options *options);

/*
 * Make one as an object of its own. The errors of mp_semaphore_init(), and -ENOSPC, -EMFILE, -ENFILE,
 * -ENOMEM no shared memory.
 */
int mp_semaphore_new(
	int64_t value, const mp_semaphore_options *options, mp_semaphore **ret_semaphore);

/*
 * One reference of this process more, or less; with the last one here the pointer is no longer
 * valid. Others go on using the semaphore. They do nothing for one that mp_semaphore_init() made.
 */
mp_semaphore *mp_semaphore_ref(mp_semaphore *semaphore);
void mp_semaphore_close(mp_semaphore *semaphore);

/*
 * The end of a semaphore; every call on it is -EINVAL from now on. Permits may be out, but nobody
 * may wait: -EBUSY, and nothing happened. -EINVAL no semaphore; -ETIMEDOUT as for release.
 */
int mp_semaphore_destroy(mp_semaphore *semaphore);

/*
 * Take a permit. -EAGAIN there is none (MP_NOWAIT); -ETIMEDOUT there was none in time; -EUSERS as
 * many other processes hold permits as may (option `holders`); -EDEADLK a signal handler that interrupted
 * this library on the same semaphore; -EINVAL no semaphore, or it was destroyed meanwhile; -EBADMSG
 * its memory is damaged.
 */
int mp_semaphore_acquire(mp_semaphore *semaphore, int timeout_ms);

/*
 * Give one permit, or n, back. -EOVERFLOW more than MP_SEMAPHORE_MAX, or than at the start if it is
 * bounded; nothing was released then. -ETIMEDOUT somebody was stopped (SIGSTOP) in the middle of a
 * change and did not go on within 10 seconds; -EDEADLK as for acquire; -EINVAL no semaphore, n below 1.
 */
int mp_semaphore_release(mp_semaphore *semaphore);
int mp_semaphore_release_n(mp_semaphore *semaphore, int64_t n);

/*
 * How many permits are there to take; those of processes that have ended are. Old news when more
 * than one uses it. -EINVAL, -EDEADLK, -ETIMEDOUT as above.
 */
int mp_semaphore_value(mp_semaphore *semaphore);

MP__END_DECLS

#endif
