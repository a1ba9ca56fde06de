/* SPDX-License-Identifier: MIT */
/*
 * mp_wait(): everything is looked at, and if nothing is ready poll(2) sleeps for all. For what lives
 * in shared memory it sleeps on a doorbell, which is made for the call and gone with it: nothing is
 * left that a fork or the end of a thread would have to see to. Without a doorbell (no descriptor is
 * left) it looks around every MP__BELL_RECHECK_MS, as it does anyway.
 */
#include <config.h>

#include "base/deadline.h"
#include "base/error.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "wait/waitable.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* So many items need no memory. */
#define FEW 16
/* With more than this a look takes too long to be repeated while spinning. */
#define SPIN_MAX 8

/* One call. */
struct wait {
	mp_waitable *items;
	size_t n;
	struct mp__waited *waited; /* one for each item */
	struct pollfd
		*fds; /* those of them that have a descriptor, in the same order; doorbell last */
	size_t n_fds;
	size_t n_watched; /* how many depend on shared memory */
	bool armed;
	struct mp__doorbell doorbell; /* fd -1: there is none */
	int error;                    /* of the first item that cannot be waited for */
	struct mp__waited few_waited[FEW];
	struct pollfd few_fds[FEW + 1];
};

/* --- beginning and end ---------------------------------------------------------------------------- */

static int make_room(struct wait *w)
{
	w->waited = w->few_waited;
	w->fds = w->few_fds;
	if (w->n <= FEW)
		return 0;
	w->waited = malloc(w->n * sizeof(*w->waited));
	w->fds = malloc((w->n + 1) * sizeof(*w->fds));
	if (w->waited && w->fds)
		return 0;
	free(w->waited);
	free(w->fds);
	return mp_error_set(-ENOMEM, "no memory to wait for %zu things", w->n);
}

static void free_room(struct wait *w)
{
	if (w->n > FEW) {
		free(w->waited);
		free(w->fds);
	}
}

/* The sentence of the first one stays, with its number. */
static void note_error(struct wait *w, size_t i, int error)
{
	char why[MP__DETAIL_SIZE];

	w->items[i].error = error;
	if (w->error < 0)
		return;
	memcpy(why, mp_error_detail(), sizeof(why));
	w->error = mp_error_set(error, "waiting for item %zu: %s", i, why);
}

static int open_all(struct wait *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct mp__waited *waited = &w->waited[i];
		w->items[i].ready = w->items[i].error = 0;
		waited->class = NULL;
		int r = mp__waitable_open(&w->items[i], waited);
		if (r < 0)
			note_error(w, i, r);
		else if (waited->fd >= 0)
			w->fds[w->n_fds++] = (struct pollfd){waited->fd, waited->events, 0};
		w->n_watched += r == 0 && mp__waitable_is_watched(waited);
	}
	return w->error;
}

static void close_all(struct wait *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->waited[i].class)
			mp__waitable_close(&w->waited[i]);
}

/* --- looking -------------------------------------------------------------------------------------- */

/* Have done what has to be done; what stands together in the same pool is done once. */
static void work(struct wait *w)
{
	const void *done = NULL;

	for (size_t i = 0; i < w->n; i++) {
		struct mp__waited *waited = &w->waited[i];
		if (waited->work && waited->work != done && waited->class->turn(waited))
			done = waited->work;
	}
}

/* What is ready as far as memory says: how many. */
static int look(struct wait *w, bool suspicious)
{
	int ready = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct mp__waited *waited = &w->waited[i];
		int r = waited->class->look ? waited->class->look(waited, suspicious) : 0;
		if (r < 0)
			note_error(w, i, r);
		w->items[i].ready = r > 0 ? r : 0;
		ready += r > 0;
	}
	return w->error < 0 ? w->error : ready;
}

/*
 * Descriptors have said something. What was done in memory before is told with it: a child that has
 * ended has put its last message.
 */
static int look_behind(struct wait *w)
{
	int ready = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct mp__waited *waited = &w->waited[i];
		mp_waitable *item = &w->items[i];
		if (item->ready == 0 && waited->class->look) {
			int r = waited->class->look(waited, false);
			item->ready = r > 0 ? r : 0;
		}
		ready += item->ready != 0;
	}
	return ready;
}

/* What poll(2) found, added to what is ready: how many are. */
static int add_polled(struct wait *w)
{
	int ready = 0;
	size_t f = 0;

	for (size_t i = 0; i < w->n; i++) {
		mp_waitable *item = &w->items[i];
		if (w->waited[i].fd >= 0) {
			int r = mp__waitable_polled(&w->waited[i], w->fds[f++].revents);
			if (r < 0)
				note_error(w, i, r);
			else
				item->ready |= r;
		}
		ready += item->ready != 0;
	}
	return w->error < 0 ? w->error : ready;
}

static size_t place_of(const struct pollfd *fds, size_t n, int fd)
{
	size_t at = 0;

	while (at < n && fds[at].fd != fd)
		at++;
	return at;
}

/*
 * poll(2) takes no more items than descriptors may be open, even if many of them are the same: then
 * each is asked for once.
 */
static int poll_united(struct wait *w, int timeout_ms)
{
	struct pollfd *fds = calloc(w->n_fds, sizeof(*fds));
	size_t n = 0;

	if (!fds) {
		errno = ENOMEM;
		return -1;
	}
	for (size_t i = 0; i < w->n_fds; i++) {
		size_t at = place_of(fds, n, w->fds[i].fd);
		fds[at].fd = w->fds[i].fd;
		fds[at].events = (short)(fds[at].events | w->fds[i].events);
		n += at == n;
	}
	int r = poll(fds, n, timeout_ms);
	for (size_t i = 0; i < w->n_fds && r >= 0; i++) {
		struct pollfd *p = &w->fds[i];
		int revents = fds[place_of(fds, n, p->fd)].revents;
		p->revents = (short)(revents & (p->events | POLLERR | POLLHUP | POLLNVAL));
	}
	free(fds);
	return r;
}

/* 0 when a signal handler ran, or the time is over. */
static int poll_all(struct wait *w, int timeout_ms)
{
	int n = poll(w->fds, w->n_fds, timeout_ms);

	if (n < 0 && errno == EINVAL)
		n = poll_united(w, timeout_ms);
	if (n < 0 && errno != EINTR)
		return mp__error_errno("waiting for descriptors");
	if (n < 0)
		for (size_t i = 0; i < w->n_fds; i++)
			w->fds[i].revents = 0;
	return add_polled(w);
}

/* --- sleeping ------------------------------------------------------------------------------------- */

static int spin(struct wait *w)
{
	struct mp__spin spin = mp__spin_begin();
	int r;

	while ((r = look(w, false)) == 0 && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, r != 0);
	return r;
}

/* From here on what changes rings. Each ring takes away a number: so again before each sleep. */
static void arm(struct wait *w)
{
	if (!w->armed && mp__doorbell_open(&w->doorbell) < 0)
		w->doorbell.fd = -1;
	if (!w->armed && w->doorbell.fd >= 0)
		w->fds[w->n_fds++] = (struct pollfd){w->doorbell.fd, POLLIN, 0};
	w->armed = true;
	for (size_t i = 0; i < w->n && w->doorbell.fd >= 0; i++)
		if (mp__waitable_is_watched(&w->waited[i]))
			(void)mp__waitable_arm(&w->waited[i], w->doorbell.id);
	MP__TEST_POINT("wait.armed");
}

static void disarm(struct wait *w)
{
	if (!w->armed || w->doorbell.fd < 0)
		return;
	for (size_t i = 0; i < w->n; i++)
		if (mp__waitable_is_watched(&w->waited[i]))
			mp__waitable_disarm(&w->waited[i], w->doorbell.id);
	mp__doorbell_close(&w->doorbell);
}

/* Look at everything, sleep if nothing is ready, and look at descriptors: how many are ready. */
static int turn(struct wait *w, mp__deadline deadline, bool suspicious)
{
	work(w);
	int ready = look(w, suspicious);
	int ms = 0;

	if (ready < 0)
		return ready;
	if (ready == 0 && w->n_watched == 0)
		ms = mp__deadline_poll_ms(deadline);
	else if (ready == 0 && w->armed)
		ms = mp__deadline_poll_ms(mp__deadline_slice(deadline, MP__BELL_RECHECK_MS));
	if (ms == 0 && w->n_fds == 0)
		return ready;
	int r = poll_all(w, ms);
	return r > 0 && w->n_watched > 0 ? look_behind(w) : r;
}

static int wait_for_one(struct wait *w, mp__deadline deadline)
{
	bool suspicious = false;

	for (;;) {
		bool last = mp__deadline_passed(deadline);
		if (w->armed)
			arm(w);
		int64_t before = w->armed ? mp__now_ns() : 0;
		/* The last look asks in any case: a wait may be too short for another one. */
		int r = turn(w, deadline, suspicious || last);
		if (r != 0 || last)
			return r;
		if (w->armed) {
			if (w->doorbell.fd >= 0)
				(void)mp__doorbell_hear(&w->doorbell, NULL);
			suspicious = mp__now_ns() - before >= MP__BELL_RECHECK_MS * INT64_C(900000);
			continue;
		}
		if (w->n_watched == 0)
			continue;
		if (w->n_watched <= SPIN_MAX && spin(w) != 0)
			continue;
		arm(w);
	}
}

int mp_wait(mp_waitable *items, size_t n, int timeout_ms)
{
	struct wait w; /* what is large is filled in as it is used */

	if ((!items && n > 0) || n > INT_MAX)
		return mp_error_set(-EINVAL, "waiting for %zu things at %p", n, (void *)items);
	if (n == 0 && timeout_ms < 0)
		return mp_error_set(
			-EINVAL, "waiting for nothing, for ever: give items or a timeout");
	w.items = items;
	w.n = n;
	w.n_fds = w.n_watched = 0;
	w.armed = false;
	w.doorbell.fd = -1;
	w.error = 0;
	int r = make_room(&w);
	if (r < 0)
		return r;
	r = open_all(&w);
	if (r == 0)
		r = wait_for_one(&w, mp__deadline_in(timeout_ms));
	if (r < 0)
		for (size_t i = 0; i < n; i++)
			items[i].ready = 0;
	disarm(&w);
	close_all(&w);
	free_room(&w);
	return r;
}
