/* SPDX-License-Identifier: MIT */
/*
 * managerd/log.h - the daemon's remarks: quiet in good times, and never a flood.
 *
 * A remark has a level, an event (a word that stays the same from release to release, for filters
 * and alarms), and often a peer. Under systemd it goes to the journal with these as fields; else it is a
 * line on standard error. What clients cause is counted by event and uid: after some remarks in
 * a period the others of that period are one remark with a count, when it is over. Nothing here waits:
 * what cannot be written at once is dropped.
 */
#ifndef MANAGERD_LOG_H
#define MANAGERD_LOG_H

#include "serve/timer.h"

#include <mp/cdefs.h>
#include <mp/log.h>
#include <stdint.h>
#include <sys/types.h>

struct md_peer {
	pid_t pid;
	uid_t uid;
};

/* Where remarks go from now on: the journal if standard error is the journal's. */
void md_log_open(void);
void md_log_close(void);
/* From here on counts are told in time, by one of these timers; and no more. */
void md_log_join(struct serve_timers *timers);
void md_log_leave(void);

/* What the operator asked for or has to know: always. */
void md_say(const char *format, ...) MP__PRINTF(1, 2);
void md_say_at(int level, const char *event, const char *format, ...) MP__PRINTF(3, 4);

/* What a client has caused; peer NULL: nobody knows which. */
void md_remark(int level, const char *event, const struct md_peer *peer, const char *format, ...)
	MP__PRINTF(4, 5);

/* --- for tests -------------------------------------------------------------------------------- */

#define MD_LOG_PER_PERIOD 5
#define MD_LOG_PERIOD_MS 10000

/* Is this one to be said, or counted? By the clock that is given. */
int md_log_admit(const char *event, uid_t uid, int64_t now_ns);
/* Say the counts of periods that are over: when the next one will be, or 0. */
int64_t md_log_sum_up(int64_t now_ns);

#endif
