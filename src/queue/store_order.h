/* SPDX-License-Identifier: MIT */
/*
 * queue/store_order.h - which message is next, and in which list the others are.
 *
 * Key idea: all of this follows from the table (queue/store_layout.h) and may be wrong after a death
 * or damage. So nothing here loops for longer than the table is, and nothing touches what is not in
 * it; false says that something was found that does not follow, and that it must be made anew.
 *
 * The ready entries are a binary heap of their numbers, in the slots of the chunks. All inside
 * get_guard.
 */
#ifndef MP_QUEUE_STORE_ORDER_H
#define MP_QUEUE_STORE_ORDER_H

#include "queue/store.h"

/* The entry that is next; false: damaged. Only if something is ready. */
bool mp__order_first(const struct mp__store *s, uint32_t *ret_entry);
/* A READY entry comes in, and counts. */
bool mp__order_add(struct mp__store *s, uint32_t e);
/* The first one goes, and counts no more. */
bool mp__order_remove_first(struct mp__store *s);

/* While the table is looked through: e is the n-th of the ready ones. */
void mp__order_note(struct mp__store *s, uint32_t n, uint32_t e);
/* Then: n of them are in the slots. */
bool mp__order_build(struct mp__store *s, uint32_t n);

/* `first` is root->free, ->leased, or ->poison. */
bool mp__list_add(struct mp__store *s, uint32_t *first, uint32_t e);
bool mp__list_remove(struct mp__store *s, uint32_t *first, uint32_t e);

/* One leased entry more or less, and n bytes of messages. */
void mp__store_count(struct mp__store *s, int ready, int leased, int64_t bytes);

#endif
