/* SPDX-License-Identifier: MIT */
/* base/log.h - hand a record to the user's handler. Never with one of the library's locks held. */
#ifndef MP_BASE_LOG_H
#define MP_BASE_LOG_H

#include <mp/log.h>
#include <stdbool.h>

void mp__log(int level, const char *component, const char *format, ...) MP__PRINTF(3, 4);

/* Is there a handler for records of this level? */
bool mp__log_is_heard(int level);

#endif
