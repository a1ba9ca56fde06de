/* SPDX-License-Identifier: MIT */
/*
 * sync/event_layout.h - an event in shared memory: one word.
 *
 *	0                      32     36                          64
 *	+----------------------+------+---------------------------+
 *	| head: magic, name    | word | watch: 7 cells            |
 *	+----------------------+------+---------------------------+
 *
 *	31                            2  1      0
 *	+------------------------------+------+---+
 *	| number of sets, mod 2^30     |sleeps|set|
 *	+------------------------------+------+---+
 *
 * A set counts the number on. Who waits remembers the number and goes on when it has another one,
 * so that it sees a set even if a clear came at once. (If it sleeps through exactly 2^30 sets, it
 * waits for the next one.) The word is what waiters sleep on (futex), and every change is one
 * compare-and-swap by anybody at any time:
 *
 *	set	number + 1, set, not sleeps	only from "not set". Then, if somebody slept, wake all
 *	clear	not set				nobody has to know
 *	wait	sleeps				only while "not set", before sleeping
 *
 * So there is nothing between two stores that a death could leave. It can leave one thing undone: the
 * wake-up after a set. Nobody sleeps longer than MP__BELL_RECHECK_MS without looking at the word.
 *
 * Who waits for other things too leaves a number in a cell of the watch (shm/watch.h), then sets
 * "sleeps"; a set that finds it takes the numbers out and rings there, after the wake-up.
 */
#ifndef MP_SYNC_EVENT_LAYOUT_H
#define MP_SYNC_EVENT_LAYOUT_H

#include "shm/watch.h"
#include "sync/head.h"

#include <mp/event.h>
#include <stddef.h>

#define MP__EVENT_SET 1u
#define MP__EVENT_SLEEPS 2u
#define MP__EVENT_ONE 4u

struct __attribute__((may_alias)) mp__event {
	struct mp__sync_head head;
	_Atomic uint32_t word;
	struct mp__watch watch;
};

_Static_assert(offsetof(struct mp__event, word) == 32, "see the diagram");
_Static_assert(sizeof(struct mp__event) == sizeof(mp_event), "room in the public struct");
_Static_assert(_Alignof(struct mp__event) <= _Alignof(mp_event), "as the public struct");

#endif
