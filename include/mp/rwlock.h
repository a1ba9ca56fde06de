/* SPDX-License-Identifier: MIT */
/*
 * mp/rwlock.h - many readers or one writer, between the threads of any processes.
 *
 *	mp_rwlock_acquire_read(&shared->rwlock, MP_FOREVER);
 *	... look ...
 *	mp_rwlock_release_read(&shared->rwlock);
 *
 * Each reader notes itself in a place of its own, so that readers on many CPUs do not hinder each
 * other. Who wants to write comes before new readers. Holders are threads; one that is killed or ends
 * while it reads is forgotten, after one that wrote the data may be half changed: see MP_OWNER_DIED
 * below. Everything else is as with mp_lock. The page is mp_rwlock(3).
 */
#ifndef MP_RWLOCK_H
#define MP_RWLOCK_H

#include <mp/cdefs.h>
#include <stddef.h>
#include <stdint.h>

MP__BEGIN_DECLS

/* Threads that can hold it for reading at the same time. */
#define MP_RWLOCK_READERS_MAX 128

/* In shared memory as it is: no pointers inside, aligned to 8 bytes (to 64 it is a bit faster). */
typedef struct mp_rwlock {
	uint64_t mp__private[16 + 2 * MP_RWLOCK_READERS_MAX];
} mp_rwlock;

typedef struct mp_rwlock_options {
	size_t size;      /* set by MP_RWLOCK_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for people: mpctl, reports of deadlocks; cut at 23 bytes. NULL: none */
} mp_rwlock_options;

#define MP_RWLOCK_OPTIONS(...) \
	(&(const mp_rwlock_options){.size = sizeof(mp_rwlock_options), __VA_ARGS__})

/*
 * Make one in memory of yours. What stood there is lost: not while somebody uses it. -EINVAL NULL,
 * not aligned, unknown flag; -E2BIG options of a newer libmp.
 */
int mp_rwlock_init(mp_rwlock *rwlock, const mp_rwlock_options *options);

/* None any more: each further call is -EINVAL. -EBUSY somebody who lives holds it; -EINVAL. */
int mp_rwlock_destroy(mp_rwlock *rwlock);

/*
 * An object of its own, in shared memory of the library: works in forked children as it is, and
 * travels to others as an argument (mp_handle()). -EINVAL, -E2BIG as above; -ENOMEM, -ENOSPC, -EMFILE,
 * -ENFILE.
 */
int mp_rwlock_new(const mp_rwlock_options *options, mp_rwlock **ret_rwlock);

/*
 * One more reference, or one less, of this process, to what mp_rwlock_new() or mp_obj_rwlock() gave.
 * For one in memory of yours, and for NULL, both do nothing. ref returns `rwlock`.
 */
mp_rwlock *mp_rwlock_ref(mp_rwlock *rwlock);
void mp_rwlock_close(mp_rwlock *rwlock);

/*
 * Take it together with other readers; once more in the same thread, even while a writer waits. 0, or
 * MP_OWNER_DIED: taken too, but a writer died, and none has had the lock since: the data may be half
 * changed. -EAGAIN (MP_NOWAIT), -ETIMEDOUT a writer has it or wants it; -EDEADLK this thread has it
 * for writing; -EUSERS more than MP_RWLOCK_READERS_MAX threads would read; -EOVERFLOW acquired too
 * often by this thread; -EINVAL.
 */
int mp_rwlock_acquire_read(mp_rwlock *rwlock, int timeout_ms);

/* Give it back, as often as acquired. -EPERM this thread does not have it for reading; -EINVAL. */
int mp_rwlock_release_read(mp_rwlock *rwlock);

/*
 * Take it alone. 0, or MP_OWNER_DIED: taken too, but the writer before died: look at the data, and
 * repair it before you release. -EAGAIN (MP_NOWAIT), -ETIMEDOUT others have it; -EDEADLK this thread
 * has it already, for writing or for reading; -EINVAL.
 */
int mp_rwlock_acquire_write(mp_rwlock *rwlock, int timeout_ms);

/* Give it back. -EPERM this thread does not have it for writing; -EINVAL. */
int mp_rwlock_release_write(mp_rwlock *rwlock);

/*
 * From writing to reading, without a gap in which another could write. -EPERM this thread does not
 * have it for writing; -EUSERS no place for a reader: it still has it for writing; -EINVAL.
 */
int mp_rwlock_downgrade(mp_rwlock *rwlock);

/* The number of the thread that writes, or wants to and is next, dead or alive; 0; -EINVAL. */
int mp_rwlock_writer(const mp_rwlock *rwlock);

/* How many threads read, at this instant; -EINVAL. Both are for people. */
int mp_rwlock_readers(const mp_rwlock *rwlock);

MP__END_DECLS

#endif
