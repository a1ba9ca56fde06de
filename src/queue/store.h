/* SPDX-License-Identifier: MIT */
/*
 * queue/store.h - messages of a queue that is not plain first in, first out, or that has leases.
 *
 * Key idea: all state is in a table of entries, and what is beside it follows from it; the story
 * stands in store_layout.h. A queue with a store has q->store; each call of such a queue branches
 * here at its top, so that a plain queue pays one look at its handle.
 */
#ifndef MP_QUEUE_STORE_H
#define MP_QUEUE_STORE_H

#include "queue/queue.h"
#include "queue/store_layout.h"

#include <mp/heap.h>

/* Private to a process. What of it changes, changes inside get_guard. */
struct mp__store {
	mp_heap *heap;
	struct mp__store_root *root;
	enum mp_queue_order order;
	bool leases;
	uint32_t max_deliveries;
	uint32_t generation; /* of the table that is known here */
	uint32_t n_chunks;   /* of it */
	uint32_t capacity;   /* entries in these */
	struct mp__store_entry *entries[MP__STORE_CHUNKS];
	uint32_t *slots[MP__STORE_CHUNKS];
};

/* --- making (store_make.c) ---------------------------------------------------------------------- */

/* Do these options ask for one? */
static inline bool mp__store_is_wanted(const mp_queue_options *options)
{
	return options->order != MP_QUEUE_FIFO || options->leases || options->max_deliveries != 0;
}

/* How large the file of a queue with this limit and a store is. */
uint64_t mp__store_geometry(uint64_t max_bytes);
/* -EINVAL. */
int mp__store_check_options(const mp_queue_options *options);
/* In the new file of a queue, of that size, before it is published. Errors as mp_queue_new(). */
int mp__store_make(struct mp_queue *q, const mp_queue_options *options);
/* Of an attached queue. -EBADMSG, -ENOMEM. */
int mp__store_attach(struct mp_queue *q);
/* NULL is allowed. */
void mp__store_close(struct mp__store *store);

/* --- the table (store.c) ------------------------------------------------------------------------ */

/*
 * Enter get_guard with a table that is whole. -ETIMEDOUT, -EDEADLK; -EBADMSG: outside; messages were
 * lost to damage, or the table is out of reach.
 */
int mp__store_enter(struct mp_queue *q, struct mp__queue_wait *wait);
/* Somebody died inside get_guard, which the caller now has. */
void mp__store_taken_over(struct mp_queue *q);
/* What follows from the table was found wrong: made anew. 0 all messages are there; -EBADMSG. */
int mp__store_repair(struct mp_queue *q);

/* Inside: a FREE entry that is in no list. -ENOSPC. */
int mp__store_free_entry(struct mp_queue *q, uint32_t *ret_entry);
/* Inside, with no message there: what only many of them need of the table goes. */
void mp__store_shrink(struct mp_queue *q);
/* Inside: free the blocks of the dead that no entry names. How many. */
int mp__store_sweep(struct mp_queue *q);

/* The message of an entry that is not FREE, checked; false: it is impossible. */
bool mp__store_message(struct mp_queue *q, uint32_t e, struct mp__ring_record *record,
	struct mp__store_block **ret_block);

/* What a message counts of max_bytes; UINT64_MAX: more than any limit. */
static inline uint64_t mp__store_need(uint64_t size)
{
	if (size > MP__QUEUE_BYTES_MAX)
		return UINT64_MAX;
	return MP__STORE_OVERHEAD +
	       ((size + MP__STORE_ALIGN - 1) & ~(uint64_t)(MP__STORE_ALIGN - 1));
}

static inline unsigned mp__store_chunk(uint32_t e)
{
	return 31u - (unsigned)__builtin_clz(e / MP__STORE_CHUNK_FIRST + 1);
}

/* Its number of the first entry of a chunk. */
static inline uint32_t mp__store_chunk_start(unsigned chunk)
{
	return MP__STORE_CHUNK_FIRST * ((1u << chunk) - 1);
}

/* `e` is below the capacity. */
static inline struct mp__store_entry *mp__store_entry(const struct mp__store *s, uint32_t e)
{
	unsigned chunk = mp__store_chunk(e);

	return &s->entries[chunk][e - mp__store_chunk_start(chunk)];
}

static inline uint64_t mp__store_state(const struct mp__store_entry *entry)
{
	return atomic_load_explicit(&entry->state, memory_order_relaxed);
}

static inline enum mp__store_kind mp__store_kind_of(uint64_t state)
{
	return (enum mp__store_kind)(state & 0xff);
}

static inline uint32_t mp__store_deliveries(uint64_t state)
{
	return (uint32_t)(state >> MP__STORE_DELIVERIES_SHIFT);
}

/* [the change] of store_layout.h; what was written before is there when it is. */
static inline void mp__store_set_state(
	struct mp__store_entry *entry, enum mp__store_kind kind, uint32_t deliveries)
{
	atomic_store_explicit(&entry->state,
		(uint64_t)kind | (uint64_t)deliveries << MP__STORE_DELIVERIES_SHIFT,
		memory_order_release);
}

/* --- counts, which may be read outside ------------------------------------------------------------ */

static inline uint32_t mp__store_ready(const struct mp__store *s)
{
	return (uint32_t)atomic_load_explicit(&s->root->counts, memory_order_acquire);
}

static inline uint32_t mp__store_leased(const struct mp__store *s)
{
	return (uint32_t)(atomic_load_explicit(&s->root->counts, memory_order_acquire) >> 32);
}

/* Nothing is in it or leased; *ret_mark is the same for as long as nothing is put. Enters. */
bool mp__store_is_idle(struct mp_queue *q, uint64_t *ret_mark);
/* For mp_queue_size() and its like: repairs first, if somebody has died in the middle of a change. */
size_t mp__store_size(struct mp_queue *q);
uint64_t mp__store_bytes(struct mp_queue *q);
bool mp__store_full(struct mp_queue *q);

/* --- putting (store_put.c) ------------------------------------------------------------------------ */

int mp__store_check_size(struct mp_queue *q, uint64_t size);
/* Errors as mp_queue_put_bytes(). */
int mp__store_put(struct mp_queue *q, enum mp__record_kind kind, const void *data, size_t size,
	int64_t priority, struct mp__queue_wait *wait);
int mp__store_put_many(struct mp_queue *q, enum mp__record_kind kind, const struct iovec *messages,
	size_t n, struct mp__queue_wait *wait);

/* --- getting (store_get.c) ------------------------------------------------------------------------ */

/*
 * What a getter does with a message that it is shown, inside the guard: copy it. An error leaves the
 * message in the queue, but for one that says that it is no value.
 */
typedef int mp__store_receive(void *argument, const struct mp__ring_record *record);

/*
 * The next message goes to `receive`, and out of the queue; or it is leased, if there is a place for
 * the lease. When this fails, `receive` may have been called.
 */
int mp__store_get(struct mp_queue *q, struct mp__queue_wait *wait, mp__store_receive *receive,
	void *argument, mp_lease *ret_lease);
/* What is no value never becomes one: it goes, so that others come to theirs. */
bool mp__store_goes(int received);

/*
 * Inside: the message of entry `e` goes; `is_got`: out to somebody, which a joinable queue counts. Its
 * block, or NULL, is for mp__store_forget(). -EUSERS, -EBADMSG and the errors of the heap.
 */
int mp__store_take(struct mp_queue *q, uint32_t e, bool is_got, struct mp__store_block **ret_block);
void mp__store_forget(struct mp_queue *q, struct mp__store_block *block);

/* The end: what is ready goes. Inside. */
int mp__store_drop_all(struct mp_queue *q);

/* --- what is received (store_receive.c) ------------------------------------------------------------- */

/* As the public ones of these names; ret_lease may be NULL. */
int mp__store_get_into(
	struct mp_queue *q, void *buffer, size_t size, int timeout_ms, size_t *ret_size);
int mp__store_get_bytes(
	struct mp_queue *q, int timeout_ms, void **ret_data, size_t *ret_size, mp_lease *ret_lease);
int mp__store_get_value(struct mp_queue *q, int timeout_ms, mp_obj *ret_value, mp_lease *ret_lease);
int mp__store_get_many_values(struct mp_queue *q, int timeout_ms, mp_obj *ret_values, size_t max);
int mp__store_get_many(struct mp_queue *q, int timeout_ms, void *buffer, size_t size,
	struct iovec *ret_messages, size_t max);

#endif
