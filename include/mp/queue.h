/* SPDX-License-Identifier: MIT */
/*
 * mp/queue.h - queues of messages between processes.
 *
 *	mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 100), &q);
 *	mp_queue_put(q, MP_LIST(mp_str("square"), mp_i64(12)), MP_FOREVER);
 *	mp_queue_get(q, MP_FOREVER, &message);
 *
 * Any number of processes and threads put and get at the same time. A message is an mp_obj or plain
 * bytes, from nothing to gigabytes; it is in the queue when put has returned, and whoever is killed
 * at whatever instant, no message is lost, doubled or damaged that was in it.
 *
 * A queue is a piece of shared memory. It works in forked children as it is, and travels to others as
 * mp_handle(q). It goes with the last process that has it. Programs that are not related meet by a
 * name: mp_queue_create() and mp_queue_open().
 *
 * Timeouts are milliseconds, MP_FOREVER or MP_NOWAIT. What cannot be done now fails with -EAGAIN
 * (MP_NOWAIT) or -ETIMEDOUT; a queue that has been shut down is -EPIPE; -EBADMSG means that some
 * process has damaged the shared memory.
 */
#ifndef MP_QUEUE_H
#define MP_QUEUE_H

#include <mp/handle.h>
#include <mp/obj.h>
#include <sys/uio.h>

MP__BEGIN_DECLS

/* Which message is got next. */
enum mp_queue_order {
	MP_QUEUE_FIFO = 0, /* the oldest */
	MP_QUEUE_LIFO = 1, /* the newest */
	MP_QUEUE_PRIORITY =
		2, /* of the lowest number, the oldest of these: mp_queue_put_priority() */
};

typedef struct mp_queue_options {
	size_t size;      /* set by MP_QUEUE_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* for people; cut at 23 bytes, copied */
	size_t maxsize; /* most messages in the queue, up to 2^27; 0: as many as max_bytes holds */
	uint64_t
		max_bytes; /* most bytes, up to 2^36; a message counts its size rounded up to 8, and
			     * 8 more; with an order or leases rounded up to 16, and 128 more. 0: 1 GiB -
			     * 64 KiB. Memory is used as messages need it */
	bool joinable;     /* mp_queue_task_done(), mp_queue_join() */
	int order;         /* enum mp_queue_order */
	bool leases;       /* mp_queue_lease() */
	uint32_t max_deliveries; /* leased so often, a message is set aside; 0: never */
	unsigned int mode;       /* create: permissions, whatever the umask is; 0: 0600 */
	bool persist;            /* create: keep it until mp_queue_unlink(), used or not */
} mp_queue_options;

#define MP_QUEUE_OPTIONS(...) \
	(&(const mp_queue_options){.size = sizeof(mp_queue_options), __VA_ARGS__})

/*
 * -EINVAL (unknown flag, limit out of range), -E2BIG, -ENOSPC no shared memory, -EMFILE, -ENFILE,
 * -ENOMEM no address space or memory.
 */
int mp_queue_new(const mp_queue_options *options, mp_queue **ret_queue);

/* --- by name ------------------------------------------------------------------------------------ */

/*
 * A queue with a name, of the names that blocks have (mp/block.h). It appears with this name when it
 * is complete, or not at all. NULL: a name is made up, mp_queue_name() tells it. -EEXIST somebody uses
 * this name, or keeps it; -EINVAL the name is empty or has a slash inside; -ENAMETOOLONG; -EACCES no
 * right to make files in /dev/shm; -EBUSY as in mp_queue_open(); and as
 * mp_queue_new(). Whoever opens it has its order and its leases too.
 */
int mp_queue_create(const char *name, const mp_queue_options *options, mp_queue **ret_queue);

/*
 * The queue of this name. -ENOENT there is none, or its users are all dead; -EACCES it is not for
 * this user to read and write; -EBADMSG it is no queue, is damaged, or of another build of libmp;
 * -EBUSY a stopped process stands in the middle of opening or removing it, for two seconds and more;
 * -EINVAL, -ENAMETOOLONG, -EMFILE, -ENFILE, -ENOMEM.
 */
int mp_queue_open(const char *name, mp_queue **ret_queue);

/*
 * Take the name away, whatever it is of. Who has the queue keeps it; the name is free. -ENOENT,
 * -EACCES, -EINVAL, -ENAMETOOLONG, -EBUSY.
 */
int mp_queue_unlink(const char *name);

/* The name, or NULL. */
const char *mp_queue_name(const mp_queue *queue);

/* --- handles ------------------------------------------------------------------------------------ */

/* References of this process: one more, returning `queue`; one less. NULL is allowed. */
mp_queue *mp_queue_ref(mp_queue *queue);
void mp_queue_close(mp_queue *queue);

/* --- one message ------------------------------------------------------------------------------ */

/*
 * Put one message. 0; -EAGAIN, -ETIMEDOUT the queue is full; -EMSGSIZE it is larger than max_bytes;
 * -EPIPE; -ENOSPC no memory to grow; -EBADMSG; -EDEADLK this thread writes or reads in place, or is
 * a signal handler that interrupted a call on this queue; for values also the errors of
 * mp_obj_encode(): handles and descriptors are -ENOTSUP.
 */
int mp_queue_put(mp_queue *queue, mp_obj value, int timeout_ms);
int mp_queue_put_bytes(mp_queue *queue, const void *data, size_t size, int timeout_ms);

/*
 * The same with a priority, in a queue of that order: the lowest number is got first. What is put
 * without has priority 0. -EINVAL also: a queue of another order.
 */
int mp_queue_put_priority(mp_queue *queue, mp_obj value, int64_t priority, int timeout_ms);
int mp_queue_put_priority_bytes(
	mp_queue *queue, const void *data, size_t size, int64_t priority, int timeout_ms);

/*
 * Get the oldest message, or that of the queue's order: 0; -EAGAIN, -ETIMEDOUT the queue is empty; -EPIPE it is shut down and
 * there is nothing left; -EBADMSG; -EDEADLK; -ENOMEM and the message stays; -EUSERS, joinable only:
 * more than 1024 processes get.
 * mp_queue_get() gives what was put as bytes as a value of type bytes, and the _bytes forms give
 * the encoding of what was put as a value (mp_obj_decode() reads it).
 */
int mp_queue_get(mp_queue *queue, int timeout_ms, mp_obj *ret_value);
/* *ret_data is malloc'ed: free() it. Behind its last byte stands a NUL that does not count. */
int mp_queue_get_bytes(mp_queue *queue, int timeout_ms, void **ret_data, size_t *ret_size);
/* Into the caller's buffer. -EMSGSIZE the message is larger: it stays, *ret_size says its size. */
int mp_queue_get_bytes_into(
	mp_queue *queue, void *buffer, size_t size, int timeout_ms, size_t *ret_size);

/* --- batches ------------------------------------------------------------------------------------- */

/*
 * Put n messages in order, one directly behind the other as far as there is room at once; waits for
 * more room until the deadline. How many were put: fewer than n when the time was over, the queue
 * was shut down or memory ran out; the error if none was. Each of them is checked (and encoded)
 * before the first is put.
 */
int mp_queue_put_many(mp_queue *queue, const mp_obj *values, size_t n, int timeout_ms);
int mp_queue_put_many_bytes(
	mp_queue *queue, const struct iovec *messages, size_t n, int timeout_ms);

/*
 * Wait for one message, and get up to `max` that are there. How many: each is to be freed; less than
 * there are when memory ran out or a message is no value: the next call tells. As mp_queue_get().
 */
int mp_queue_get_many(mp_queue *queue, int timeout_ms, mp_obj *ret_values, size_t max);

/*
 * The same, one behind the other into the buffer, as far as they fit; ret_messages says where each
 * stands. -EMSGSIZE the first one does not fit: it stays. Else as mp_queue_get_bytes_into().
 */
int mp_queue_get_many_bytes(mp_queue *queue, int timeout_ms, void *buffer, size_t size,
	struct iovec *ret_messages, size_t max);

/* --- in place ----------------------------------------------------------------------------------- */

/*
 * Write a message where it will lie: *ret_data is room for `size` bytes (aligned to 8), until this
 * thread calls mp_queue_commit() with what it has used of it, or mp_queue_abandon(). Other putters
 * wait meanwhile; if the thread dies, the message was never there. Errors as mp_queue_put_bytes().
 */
int mp_queue_reserve(mp_queue *queue, size_t size, int timeout_ms, void **ret_data);
/* -EPERM this thread has reserved nothing; -EMSGSIZE it reserved less: still reserved; -EPIPE the
 * queue was shut down meanwhile: nothing is reserved any more; -EBADMSG. */
int mp_queue_commit(mp_queue *queue, size_t size);
int mp_queue_abandon(mp_queue *queue);

/*
 * Read the oldest message where it lies, until this thread calls mp_queue_consume(), which takes it
 * out, or mp_queue_unpeek(), which leaves it. Other getters wait meanwhile; if the thread dies, the
 * message is still there for them. A hostile process could change the bytes while they are read.
 */
int mp_queue_peek(mp_queue *queue, int timeout_ms, const void **ret_data, size_t *ret_size);
/* -EPERM this thread has peeked at nothing; -EPIPE shut down at once meanwhile; -EBADMSG. */
int mp_queue_consume(mp_queue *queue);
int mp_queue_unpeek(mp_queue *queue);

/* --- the end ------------------------------------------------------------------------------------ */

enum mp_queue_shutdown_how {
	MP_QUEUE_DRAIN = 1,     /* no more puts; gets go on until nothing is left */
	MP_QUEUE_IMMEDIATE = 2, /* what is in the queue is dropped */
};

/*
 * From here on puts fail with -EPIPE; so do gets, at once or when the queue is empty. All who wait
 * are woken. DRAIN may be followed by IMMEDIATE; there is no way back. -EINVAL; -ETIMEDOUT a stopped
 * process stands in the middle of a change, for ten seconds and more.
 */
int mp_queue_shutdown(mp_queue *queue, int how);
/* 0 no; or how: enum mp_queue_shutdown_how. */
int mp_queue_is_shutdown(mp_queue *queue);

/* --- leases -------------------------------------------------------------------------------------- */

/*
 * A message that is leased and not out of the queue yet: a consumer that has done its work says so by
 * mp_queue_ack(). If it dies before, or says mp_queue_nack(), another one gets the message.
 */
typedef struct mp_lease {
	uint64_t id;
	uint32_t deliveries; /* how often it was leased, this time included */
	bool redelivered;    /* deliveries > 1: somebody may have done a part of the work */
} mp_lease;

/* Get as mp_queue_get(), mp_queue_get_bytes() do, with a lease. -EINVAL also: not a queue with leases. */
int mp_queue_lease(mp_queue *queue, int timeout_ms, mp_obj *ret_value, mp_lease *ret_lease);
int mp_queue_lease_bytes(
	mp_queue *queue, int timeout_ms, void **ret_data, size_t *ret_size, mp_lease *ret_lease);

/*
 * The message is done with, and gone; or it is ready again for others, or set aside, if this was the
 * last delivery allowed. By the process that has the lease, any thread: -EPERM another one; -ESTALE it
 * has ended; -EINVAL it is none; -EBADMSG, -EDEADLK, -ETIMEDOUT.
 */
int mp_queue_ack(mp_queue *queue, mp_lease lease);
int mp_queue_nack(mp_queue *queue, mp_lease lease);

/* How many are leased now, and how many were set aside. */
size_t mp_queue_leased(mp_queue *queue);
size_t mp_queue_poison_count(mp_queue *queue);
/* Take out one that was set aside, also when the queue was shut down. -EAGAIN there is none. */
int mp_queue_poison_get(mp_queue *queue, mp_obj *ret_value);

/* --- joinable ----------------------------------------------------------------------------------- */

/*
 * A message that was got is done: once for each. -ERANGE none is out; -EINVAL the queue is not
 * joinable. It is taken from those of this process first, then from others'.
 */
int mp_queue_task_done(mp_queue *queue);

/*
 * Wait until every message that was put has been got and is done. What a process had got that died
 * counts as done. 0, -EAGAIN, -ETIMEDOUT, -EINVAL.
 */
int mp_queue_join(mp_queue *queue, int timeout_ms);

/* --- without waiting ---------------------------------------------------------------------------- */

/* Messages in the queue, and the bytes that they take of max_bytes; exact for one instant. */
size_t mp_queue_size(mp_queue *queue);
uint64_t mp_queue_bytes(mp_queue *queue);
bool mp_queue_empty(mp_queue *queue);
/* Would an empty message find no room now? */
bool mp_queue_full(mp_queue *queue);

MP__END_DECLS

#endif
