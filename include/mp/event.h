/* SPDX-License-Identifier: MIT */
/*
 * mp/event.h - something that happens once, or again after a clear: processes and threads wait for it.
 *
 *	mp_event_new(NULL, &ready);
 *	...
 *	mp_event_set(ready);                     here
 *	mp_event_wait(ready, MP_FOREVER);        there, as many as like
 *
 * A set releases everyone who waits at that time, also when it is followed at once by a clear.
 * mp_event_set() may be called from a signal handler, whatever that has interrupted.
 *
 * An event is an object of its own (mp_event_new) or stands in shared memory of the program's own
 * (mp_event_init), aligned to 8 bytes. It works in forked children as it is.
 */
#ifndef MP_EVENT_H
#define MP_EVENT_H

#include <mp/cdefs.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

/* Opaque; zero bytes are no event. */
typedef struct mp_event {
	uint64_t mp__private[8];
} mp_event;

typedef struct mp_event_options {
	size_t size;      /* set by MP_EVENT_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for people: in error details and mpctl; cut at 23 bytes */
} mp_event_options;

#define MP_EVENT_OPTIONS(...) \
	(&(const mp_event_options){.size = sizeof(mp_event_options), __VA_ARGS__})

/*
 * Make one that is not set, in memory of the caller's own. -EINVAL `event` is NULL or not aligned
 * to 8 bytes, unknown flag; -E2BIG.
 */
int mp_event_init(mp_event *event, const mp_event_options *options);

/*
 * Make one as an object of its own. The errors of mp_event_init(), and -ENOSPC, -EMFILE, -ENFILE,
 * -ENOMEM no shared memory.
 */
int mp_event_new(const mp_event_options *options, mp_event **ret_event);

/*
 * One reference of this process more, or less; with the last one here the pointer is no longer
 * valid. Others go on using the event. They do nothing for one that mp_event_init() made.
 */
mp_event *mp_event_ref(mp_event *event);
void mp_event_close(mp_event *event);

/*
 * The end of an event; every call on it is -EINVAL from now on. -EBUSY somebody waits for it, and
 * nothing happened; -EINVAL no event.
 */
int mp_event_destroy(mp_event *event);

/*
 * It has happened: whoever waits goes on, and later waits return at once. Async-signal-safe.
 * -EINVAL no event; this call alone sets no mp_error_detail().
 */
int mp_event_set(mp_event *event);

/* It has not happened (yet, or again). -EINVAL no event. */
int mp_event_clear(mp_event *event);

/* 1 it is set, 0 it is not; -EINVAL no event. */
int mp_event_is_set(mp_event *event);

/*
 * Wait until it is set, or was set since this call began. 0; -EAGAIN it is not (MP_NOWAIT);
 * -ETIMEDOUT; -EINVAL no event, or it was destroyed meanwhile.
 */
int mp_event_wait(mp_event *event, int timeout_ms);

MP__END_DECLS

#endif
