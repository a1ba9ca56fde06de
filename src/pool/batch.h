/* SPDX-License-Identifier: MIT */
/*
 * pool/batch.h - many items as few tasks: the chunks of a map, and the one future they may have.
 *
 * Items go to workers in chunks; each chunk is one task with a future of its own. Results are taken in
 * the order of the items, so that the first error is the first in that order. A batch counts the items
 * that have ended; for mp_pool_map_async() it has a parent as well, a future without a slot, which ends
 * with the last chunk.
 */
#ifndef MP_POOL_BATCH_H
#define MP_POOL_BATCH_H

#include "pool/bytes.h"
#include "pool/future.h"

struct mp__chunk {
	struct mp__future_watch watch;
	struct mp__batch *batch;
	mp_future *future;
	size_t n;
};

#define MP__BATCH_BLOCK 64

struct mp__batch {
	mp_pool *pool;
	struct mp__chunk **blocks; /* of MP__BATCH_BLOCK chunks each, which stay where they are */
	size_t n_blocks;
	size_t n_chunks;
	bool counts; /* the end of each chunk is watched; else what is below means nothing */
	size_t n_items;
	mp_future *parent; /* or NULL; it holds us, not we it */

	/* Under pool->lock. */
	size_t n_open;  /* chunks that have not ended, and 1 while some are still handed out */
	size_t n_ended; /* items */
};

struct mp__batch *mp__batch_new(mp_pool *pool, bool counts);
/* Close the futures of its chunks. NULL is allowed. */
void mp__batch_free(struct mp__batch *batch);

/*
 * Hand out all items, `chunk` at a time (0: choose); `told` may be NULL and is called after each chunk.
 * If it fails, what was handed out is in the batch.
 */
struct mp__progress;
int mp__batch_hand_out(struct mp__batch *batch, mp_task *task, const mp_obj *items, size_t n,
	size_t chunk, bool star, struct mp__progress *progress);

/* Wait for all chunks in turn, and decode their results: the first error in the order of items. */
int mp__batch_take(struct mp__batch *batch, mp__deadline deadline, struct mp__progress *progress,
	mp_obj *results, size_t *n_results);
/* Cancel every chunk that has not ended. Under pool->lock. */
void mp__batch_cancel(struct mp__batch *batch, int flags);
/* All results as a list, after the end. */
int mp__batch_result(struct mp__batch *batch, mp_obj *ret_list);

/* As arguments of a task: the item alone, or what it lists. -EINVAL it is no list. */
int mp__item_args(const mp_obj *item, bool star, mp_obj *ret_args);

#endif
