/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/log.h"

#include "base/deadline.h"
#include "base/fds.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_SIZE 512
#define LINES_PER_SECOND 20
#define SECOND_NS ((int64_t)1000 * 1000 * 1000)

static int64_t second_begin;
static unsigned lines;
static unsigned dropped;

static void write_line(const char *text)
{
	char line[LINE_SIZE];
	int n = snprintf(line, sizeof(line), "managerd: %s\n", text);

	if (n >= (int)sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	/* A pipe that is writable takes a line at once; one that nobody reads must not stop us. */
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&out, 1, 0) == 1 && out.revents & POLLOUT)
		(void)mp__write_full(STDERR_FILENO, line, (size_t)n);
}

static int allowed(void)
{
	int64_t now = mp__now_ns();

	if (now - second_begin >= SECOND_NS) {
		char text[64];
		unsigned n = dropped;
		second_begin = now;
		lines = dropped = 0;
		if (n > 0) {
			snprintf(text, sizeof(text), "%u remarks were dropped", n);
			write_line(text);
		}
	}
	if (lines++ < LINES_PER_SECOND)
		return 1;
	dropped++;
	return 0;
}

void md_say(const char *format, ...)
{
	char text[LINE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(text);
}

void md_log(const char *format, ...)
{
	char text[LINE_SIZE];
	va_list args;

	if (!allowed())
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(text);
}
