/* SPDX-License-Identifier: MIT */
/*
 * managerd/log.h - the daemon's remarks: one line each on standard error, quiet in good times.
 *
 * Clients can cause lines, so lines are counted: beyond some a second they are dropped, and how
 * many were is the next line.
 */
#ifndef MANAGERD_LOG_H
#define MANAGERD_LOG_H

#include <mp/cdefs.h>

/* What the operator asked for or has to know: always. */
void md_say(const char *format, ...) MP__PRINTF(1, 2);
/* What a client has caused. */
void md_log(const char *format, ...) MP__PRINTF(1, 2);

#endif
