/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/log.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/fds.h"
#include "managerd/journal.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define TEXT_SIZE 512
#define PERIOD_NS ((int64_t)MD_LOG_PERIOD_MS * 1000 * 1000)

/*
 * Who floods with what. There are few events and few users that misbehave at a time; when there are
 * more, the last place is for all that find none.
 */
#define PLACES 64
#define UID_ANY ((uid_t)-1)

struct place {
	char event[32]; /* "": free */
	uid_t uid;
	int64_t begin_ns;
	uint32_t n;
};

static struct place places[PLACES];
static bool journaled; /* standard error is the journal's */
static struct md_journal journal = {.fd = -1};
static struct serve_timers *timers; /* NULL: there is no loop */
static struct serve_timer timer;

/* --- where it goes ---------------------------------------------------------------------------- */

/* A line; if the journal reads it, as systemd marks levels in lines. */
static void write_line(int level, const char *text)
{
	char line[TEXT_SIZE + 32];
	int n = journaled ? snprintf(line, sizeof(line), "<%d>managerd: %s\n", level, text)
			  : snprintf(line, sizeof(line), "managerd: %s\n", text);

	/* A pipe that is writable takes a line at once; one that nobody reads must not stop us. */
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (n > 0 && poll(&out, 1, 0) == 1 && out.revents & POLLOUT)
		(void)mp__write_full(STDERR_FILENO, line, (size_t)n);
}

static void emit(int level, const char *event, const struct md_peer *peer, const char *text)
{
	if (journal.fd >= 0) {
		md_journal_begin(&journal);
		md_journal_number(&journal, "PRIORITY", level);
		md_journal_field(&journal, "SYSLOG_IDENTIFIER", "managerd");
		md_journal_field(&journal, "MANAGERD_EVENT", event);
		if (peer && peer->pid > 0)
			md_journal_number(&journal, "MANAGERD_PEER_PID", peer->pid);
		if (peer)
			md_journal_number(&journal, "MANAGERD_PEER_UID", peer->uid);
		md_journal_field(&journal, "MESSAGE", text);
		int r = md_journal_send(&journal);
		if (r == 0 || r == -EAGAIN)
			return;
		/* The journal was started anew: its socket is another one. */
		md_journal_close(&journal);
		(void)md_journal_open(&journal, MD_JOURNAL_PATH);
	}
	write_line(level, text);
}

void md_log_open(void)
{
	journaled = md_journal_is_stderr();
	if (journaled)
		(void)md_journal_open(&journal, MD_JOURNAL_PATH);
}

void md_log_close(void)
{
	(void)md_log_sum_up(INT64_MAX);
	md_journal_close(&journal);
}

/* --- floods ----------------------------------------------------------------------------------- */

static bool is_over(const struct place *place, int64_t now)
{
	return now - place->begin_ns >= PERIOD_NS;
}

static void sum_up(struct place *place)
{
	struct place was = *place;
	char text[TEXT_SIZE];
	char whom[32] = "";

	place->event[0] = '\0';
	place->n = 0;
	if (was.n <= MD_LOG_PER_PERIOD)
		return;
	if (was.uid != UID_ANY)
		snprintf(whom, sizeof(whom), " about uid %u", (unsigned)was.uid);
	snprintf(text, sizeof(text), "%u more remarks%s within %d s: %s", was.n - MD_LOG_PER_PERIOD,
		whom, MD_LOG_PERIOD_MS / 1000, was.event);
	emit(MP_LOG_WARNING, was.event, was.uid == UID_ANY ? NULL : &(struct md_peer){0, was.uid},
		text);
}

static struct place *find_place(const char *event, uid_t uid)
{
	struct place *found = NULL;

	for (struct place *p = places; p < places + PLACES - 1; p++) {
		if (p->event[0] == '\0')
			found = found ? found : p;
		else if (p->uid == uid && strcmp(p->event, event) == 0)
			return p;
	}
	if (!found) {
		found = &places[PLACES - 1];
		event = "others";
		uid = UID_ANY;
	}
	snprintf(found->event, sizeof(found->event), "%s", event);
	found->uid = uid;
	return found;
}

int md_log_admit(const char *event, uid_t uid, int64_t now)
{
	struct place *place = find_place(event, uid);

	if (place == &places[PLACES - 1] || (place->n > 0 && is_over(place, now))) {
		(void)md_log_sum_up(now);
		place = find_place(event, uid);
	}
	if (place->n == 0)
		place->begin_ns = now;
	return place->n++ < MD_LOG_PER_PERIOD;
}

int64_t md_log_sum_up(int64_t now)
{
	int64_t next = 0;

	for (struct place *p = places; p < places + PLACES; p++) {
		if (p->n == 0)
			continue;
		if (is_over(p, now))
			sum_up(p);
		else if (next == 0 || p->begin_ns + PERIOD_NS < next)
			next = p->begin_ns + PERIOD_NS;
	}
	return next;
}

static void period_is_over(struct serve_timer *unused)
{
	int64_t next = md_log_sum_up(mp__now_ns());

	(void)unused;
	if (next != 0)
		(void)serve_timer_set(timers, &timer, next);
}

void md_log_join(struct serve_timers *of_loop)
{
	timers = of_loop;
	timer = (struct serve_timer){.fire = period_is_over};
}

void md_log_leave(void)
{
	if (timers)
		serve_timer_stop(timers, &timer);
	timers = NULL;
}

/* --- remarks ---------------------------------------------------------------------------------- */

void md_say(const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	emit(MP_LOG_ERROR, "managerd", NULL, text);
}

void md_say_at(int level, const char *event, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	emit(level, event, NULL, text);
}

MP__PRINTF(4, 0)
static void remark(
	int level, const char *event, const struct md_peer *peer, const char *format, va_list args)
{
	char text[TEXT_SIZE];
	int64_t now = mp__now_ns();

	if (!md_log_admit(event, peer ? peer->uid : UID_ANY, now)) {
		if (timers && timer.place == 0)
			(void)serve_timer_set(timers, &timer, now + PERIOD_NS);
		return;
	}
	vsnprintf(text, sizeof(text), format, args);
	emit(level, event, peer, text);
}

void md_remark(int level, const char *event, const struct md_peer *peer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	remark(level, event, peer, format, args);
	va_end(args);
}
