/* SPDX-License-Identifier: MIT */
/*
 * pool/callback.h - the user's callbacks: who calls them, when, and with what held.
 *
 * A future that ends and has callbacks is put into a list of its pool. Whichever thread passes a
 * place where it holds no lock empties that list: inside each wait, and at the end of each call that
 * may have ended something. So callbacks may do anything, and no thread of our own is needed.
 *
 * A thread that is inside a callback calls no others: a callback that waits would otherwise pile up
 * frame upon frame. They are left for the loop that it came from.
 */
#ifndef MP_POOL_CALLBACK_H
#define MP_POOL_CALLBACK_H

#include "pool/pool.h"

/* It has ended: take over the pool's reference. With pool->lock held. */
void mp__callback_due(mp_future *future);

/* Is there something to call, and may this thread? With pool->lock held. */
bool mp__callback_wanted(mp_pool *pool);

/* Call all that are due. The caller holds a reference to the pool, and no lock. */
void mp__callback_run(mp_pool *pool);

/* Is this thread inside a callback? */
bool mp__callback_is_inside(void);

#endif
