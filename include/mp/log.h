/* SPDX-License-Identifier: MIT */
/*
 * mp/log.h - where the library's remarks go.
 *
 * The library never prints. What is worth knowing and is no call's result (a worker was replaced,
 * fork was called with threads running) is handed to one handler per process; without one it is
 * dropped. The levels are those of syslog(3).
 */
#ifndef MP_LOG_H
#define MP_LOG_H

#include <mp/cdefs.h>

MP__BEGIN_DECLS

enum mp_log_level { MP_LOG_ERROR = 3, MP_LOG_WARNING = 4, MP_LOG_INFO = 6, MP_LOG_DEBUG = 7 };

/*
 * `component` is the part of the library that speaks ("process", "pool", ...), `message` one line
 * without a newline; both are valid during the call only. Runs in the thread that caused the
 * record, with none of the library's locks held; it may call libmp, and what that remarks is not
 * handed to it again.
 */
typedef void mp_log_handler(int level, const char *component, const char *message, void *data);

/*
 * Hand records of `max_level` and more urgent ones to `handler`; NULL drops them again. Children by
 * fork inherit the handler; spawned ones start without. Returns 0, or -EINVAL for an unknown level.
 */
int mp_log_set_handler(int max_level, mp_log_handler *handler, void *data);

/* A ready-made handler: "libmp: COMPONENT: MESSAGE" on standard error, one write(2) a record. */
void mp_log_stderr(int level, const char *component, const char *message, void *data);

MP__END_DECLS

#endif
