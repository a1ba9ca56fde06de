/* SPDX-License-Identifier: MIT */
/*
 * serve/log.h - remarks for people, handed to whoever the program has that writes them.
 *
 * The library serves in managerd and in programs of others: it has no place to write to itself.
 */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H

#include <mp/cdefs.h>
#include <sys/types.h>

/* Nobody in particular has caused it. */
#define SERVE_LOG_NOBODY 0, (uid_t)-1

/*
 * Gets each remark: a word that says what kind of thing has happened and stays the same, who has
 * caused it, and a sentence without a newline. NULL, as it is at first: they are dropped.
 */
extern void (*serve_log_sink)(const char *event, pid_t pid, uid_t uid, const char *text);

void serve_log(const char *event, pid_t pid, uid_t uid, const char *format, ...) MP__PRINTF(4, 5);

#endif
