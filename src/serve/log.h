/* SPDX-License-Identifier: MIT */
/*
 * serve/log.h - remarks for people, handed to whoever the program has that writes them.
 *
 * The library serves in managerd and in programs of others: it has no place to write to itself.
 */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H

#include <mp/cdefs.h>

/* Gets each remark, without a newline. NULL, as it is at first: they are dropped. */
extern void (*serve_log_sink)(const char *text);

void serve_log(const char *format, ...) MP__PRINTF(1, 2);

#endif
