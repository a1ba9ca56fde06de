/* SPDX-License-Identifier: MIT */
/*
 * queue/get.h - the getters' side: enter it with a message, leave it without.
 */
#ifndef MP_QUEUE_GET_H
#define MP_QUEUE_GET_H

#include "queue/ring.h"

/* 0: inside get_guard, with a message. Otherwise outside: all errors of mp_queue_get_bytes(). */
int mp__queue_find(struct mp_queue *q, struct mp__queue_wait *wait, struct mp__ring_record *record);

/* The message is copied: it is this process's now. -EUSERS too many processes get, and it stays. */
int mp__queue_take(struct mp_queue *q, const struct mp__ring_record *record);

/* The message as a value, from a private copy. -ENOMEM; errors of mp_obj_decode(). */
int mp__queue_decode(const struct mp__ring_record *record, mp_obj *ret_value);

/*
 * Inside get_guard: the message as a value, and taken out. What is no value is taken out too, unless
 * it is to be kept. -ENOMEM, -EUSERS it stays; errors of mp_obj_decode(). *ret_taken becomes true when
 * something went.
 */
int mp__queue_take_value(struct mp_queue *q, const struct mp__ring_record *record, bool keep,
	mp_obj *ret_value, bool *ret_taken);

/* Inside get_guard, before a message of a joinable queue goes: it is in this process's cell. */
int mp__queue_note_taken(struct mp_queue *q);

/* Leave get_guard; `taken`: something was consumed, and putters may go on. */
void mp__queue_get_done(struct mp_queue *q, const struct mp__queue_wait *wait, bool taken);

#endif
