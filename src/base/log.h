/* SPDX-License-Identifier: MIT */
/* base/log.h - hand a record to the user's handler. Never with one of the library's locks held. */
#ifndef MP_BASE_LOG_H
#define MP_BASE_LOG_H

#include <mp/log.h>

void mp__log(int level, const char *component, const char *format, ...) MP__PRINTF(3, 4);

#endif
