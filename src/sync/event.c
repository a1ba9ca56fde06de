/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/event.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/futex.h"
#include "base/options.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "shm/bell.h"
#include "sync/event_layout.h"
#include "sync/object.h"
#include "sync/waiting.h"

#include <limits.h>

static int check(const struct mp__event *e)
{
	/* The head comes first; `e` may be NULL or misaligned. */
	return mp__sync_check((const struct mp__sync_head *)e, MP__MAGIC_EVENT);
}

static uint32_t look(struct mp__event *e)
{
	/* Partner: the release in mp_event_set(); who sees it set sees what was done before. */
	return atomic_load_explicit(&e->word, memory_order_acquire);
}

/* Is it set, or was it since the word was `first`? */
static bool happened(uint32_t word, uint32_t first)
{
	return word & MP__EVENT_SET || (word ^ first) >= MP__EVENT_ONE;
}

int mp_event_init(mp_event *event, const mp_event_options *options)
{
	struct mp__event *e = (struct mp__event *)event;
	mp_event_options o;

	int r = mp__options_load(&o, sizeof(o), 0, options);
	if (r < 0)
		return r;
	r = mp__sync_place((const struct mp__sync_head *)e, MP__MAGIC_EVENT);
	if (r < 0)
		return r;
	mp__sync_prepare(&e->head, o.name, 0);
	memset(&e->watch, 0, sizeof(e->watch));
	atomic_store_explicit(&e->word, 0, memory_order_relaxed);
	mp__sync_publish(&e->head, MP__MAGIC_EVENT);
	return 0;
}

int mp_event_destroy(mp_event *event)
{
	struct mp__event *e = (struct mp__event *)event;
	char label[MP__SYNC_LABEL_SIZE];

	int r = check(e);
	if (r < 0)
		return r;
	/* Who is woken looks, and sleeps again. */
	if ((look(e) & MP__EVENT_SLEEPS && mp__futex_wake(&e->word, INT_MAX) > 0) ||
		mp__watch_is_used(&e->watch))
		return mp_error_set(-EBUSY, "destroying event%s: somebody waits for it",
			mp__sync_label(&e->head, label));
	mp__sync_publish(&e->head, 0);
	/* Who was about to sleep finds another word, and then no event. */
	atomic_fetch_add_explicit(&e->word, MP__EVENT_ONE, memory_order_relaxed);
	return 0;
}

/* Async-signal-safe: no lock, no sentence. */
int mp_event_set(mp_event *event)
{
	struct mp__event *e = (struct mp__event *)event;

	if (!e || (uintptr_t)e % _Alignof(mp_event) != 0 ||
		atomic_load_explicit(&e->head.magic, memory_order_acquire) != MP__MAGIC_EVENT)
		return -EINVAL;
	uint32_t word = atomic_load_explicit(&e->word, memory_order_relaxed);
	uint32_t then;
	do {
		then = (word + MP__EVENT_ONE) | MP__EVENT_SET;
		if (word & MP__EVENT_SET)
			then = word; /* still a store: who sees it set sees what we did before */
		then &= ~MP__EVENT_SLEEPS;
	} while (!atomic_compare_exchange_weak_explicit(
		&e->word, &word, then, memory_order_acq_rel, memory_order_relaxed));
	MP__TEST_POINT("event.set");
	if (word & MP__EVENT_SLEEPS) {
		mp__futex_wake(&e->word, INT_MAX);
		/* Partner: the announcement in mp__event_arm(), behind the cell. */
		mp__watch_ring(&e->watch);
	}
	return 0;
}

int mp_event_clear(mp_event *event)
{
	struct mp__event *e = (struct mp__event *)event;

	int r = check(e);
	if (r < 0)
		return r;
	atomic_fetch_and_explicit(&e->word, ~MP__EVENT_SET, memory_order_acq_rel);
	return 0;
}

int mp_event_is_set(mp_event *event)
{
	struct mp__event *e = (struct mp__event *)event;

	int r = check(e);
	return r < 0 ? r : (int)(look(e) & MP__EVENT_SET);
}

static int not_set(struct mp__event *e, int result)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(
		result, "waiting for event%s: it is not set", mp__sync_label(&e->head, label));
}

static bool spin_for_it(struct mp__event *e, uint32_t first)
{
	struct mp__spin spin = mp__spin_begin();
	bool there;

	while (!(there = happened(look(e), first)) && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, there);
	return there;
}

/* Say in the word that somebody sleeps; false: it was set meanwhile. */
static bool announce(struct mp__event *e, uint32_t first, uint32_t *ret_word)
{
	uint32_t word = look(e);

	while (!(word & MP__EVENT_SLEEPS)) {
		if (happened(word, first))
			return false;
		if (atomic_compare_exchange_weak_explicit(&e->word, &word, word | MP__EVENT_SLEEPS,
			    memory_order_acquire, memory_order_acquire))
			word |= MP__EVENT_SLEEPS;
	}
	*ret_word = word;
	return !happened(word, first);
}

static int sleep_for_it(struct mp__event *e, uint32_t first, mp__deadline deadline)
{
	uint32_t word;

	while (announce(e, first, &word)) {
		MP__TEST_POINT("event.announced");
		if (mp__deadline_passed(deadline))
			return not_set(e, -ETIMEDOUT);
		mp__futex_wait(&e->word, word, mp__deadline_slice(deadline, MP__BELL_RECHECK_MS));
		MP__TEST_POINT("event.woken");
	}
	return 0;
}

static int wait_slowly(struct mp__event *e, uint32_t first, int timeout_ms)
{
	if (timeout_ms == MP_NOWAIT)
		return not_set(e, -EAGAIN);
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	int r = 0;

	if (!spin_for_it(e, first)) {
		mp__waiting_begin(&e->head, 0);
		r = sleep_for_it(e, first, deadline);
		mp__waiting_end();
	}
	/* What was counted on last may have been the end of the event. */
	return r < 0 ? r : check(e);
}

int mp_event_wait(mp_event *event, int timeout_ms)
{
	struct mp__event *e = (struct mp__event *)event;

	int r = check(e);
	if (r < 0)
		return r;
	uint32_t first = look(e);
	return first & MP__EVENT_SET ? 0 : wait_slowly(e, first, timeout_ms);
}

/* --- together with other things -------------------------------------------------------------------- */

uint32_t mp__event_now(mp_event *event)
{
	return look((struct mp__event *)event);
}

int mp__event_happened(mp_event *event, uint32_t since)
{
	struct mp__event *e = (struct mp__event *)event;
	int r = check(e);

	return r < 0 ? r : happened(look(e), since);
}

bool mp__event_arm(mp_event *event, uint32_t id)
{
	struct mp__event *e = (struct mp__event *)event;
	bool armed = mp__watch_arm(&e->watch, id);
	uint32_t word = look(e);

	while (!(word & (MP__EVENT_SLEEPS | MP__EVENT_SET)) &&
		!atomic_compare_exchange_weak(&e->word, &word, word | MP__EVENT_SLEEPS))
		;
	return armed;
}

void mp__event_disarm(mp_event *event, uint32_t id)
{
	mp__watch_disarm(&((struct mp__event *)event)->watch, id);
}

/* --- an object of its own ----------------------------------------------------------------------- */

MP__SYNC_OBJECT(event, EVENT)

int mp_event_new(const mp_event_options *options, mp_event **ret_event)
{
	void *object = NULL;
	int r = mp__object_place(&mp__event_type, sizeof(mp_event), ret_event, &object);

	if (r == 0)
		r = mp__object_keep(object, mp_event_init(object, options));
	if (r == 0)
		*ret_event = object;
	return r;
}
