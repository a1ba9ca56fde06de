/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/log.h"

#include <stdarg.h>
#include <stdio.h>

#define TEXT_SIZE 512

void (*serve_log_sink)(const char *event, pid_t pid, uid_t uid, const char *text);

void serve_log(const char *event, pid_t pid, uid_t uid, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list args;

	if (!serve_log_sink)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	serve_log_sink(event, pid, uid, text);
}
