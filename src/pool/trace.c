/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/trace.h"

#include "base/error.h"
#include "base/fds.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As a JSON string without its quotes. */
static void quote(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; *from && n + 7 < size; from++) {
		unsigned char c = (unsigned char)*from;
		if (c == '"' || c == '\\')
			to[n++] = '\\';
		if (c < 0x20)
			n += (size_t)snprintf(to + n, size - n, "\\u%04x", c);
		else
			to[n++] = (char)c;
	}
	to[n] = '\0';
}

static bool append(int fd, const char *text, size_t size)
{
	ssize_t n;

	do
		n = write(fd, text, size);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)size;
}

/* What viewers call the rows. */
static void name_row(int fd, const char *pool_name, uint32_t worker)
{
	char name[200];
	char line[400];

	quote(name, sizeof(name), pool_name);
	int n = worker == 0
			? snprintf(line, sizeof(line),
				  ",\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"tid\":0,"
				  "\"args\":{\"name\":\"%s\"}}",
				  getpid(), name)
			: snprintf(line, sizeof(line),
				  ",\n{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%u,"
				  "\"args\":{\"name\":\"%s-worker-%u\"}}",
				  getpid(), worker, name, worker);
	append(fd, line, (size_t)n);
}

/* The file begins with an event, so that all others may begin with a comma. */
static int open_file(const char *path)
{
	static const char first[] = "[\n{\"ph\":\"M\",\"name\":\"libmp\",\"pid\":0,\"tid\":0}";
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EEXIST)
		return open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd >= 0)
		append(fd, first, sizeof(first) - 1);
	return fd;
}

int mp__trace_open(const char *pool_name, int n_workers)
{
	const char *path = secure_getenv("MP_POOL_TRACE");

	if (!path || !*path)
		return -1;
	int fd = mp__fd_above_std(open_file(path));
	if (fd < 0) {
		mp__log(MP_LOG_WARNING, "pool", "MP_POOL_TRACE=%s: %s", path,
			strerrordesc_np(errno));
		return -1;
	}
	for (int i = 0; i <= n_workers; i++)
		name_row(fd, pool_name, (uint32_t)i);
	return fd;
}

void mp__trace_write(int fd, const struct mp__trace_event *event)
{
	char line[600];
	char name[200];
	char outcome[200];
	bool span = strcmp(event->phase, "X") == 0;
	double duration = (double)(event->end_ns - event->begin_ns) * 1e-3;

	quote(name, sizeof(name), event->name);
	quote(outcome, sizeof(outcome), event->outcome);
	int n = snprintf(line, sizeof(line),
		",\n{\"ph\":\"%s\",\"name\":\"%s\",\"cat\":\"task\",\"pid\":%d,\"tid\":%u,\"ts\":%."
		"3f,",
		event->phase, name, event->owner, event->worker, (double)event->begin_ns * 1e-3);
	n += span ? snprintf(line + n, sizeof(line) - (size_t)n, "\"dur\":%.3f,",
			    duration > 0 ? duration : 0)
		  : snprintf(line + n, sizeof(line) - (size_t)n, "\"s\":\"t\",");
	n += snprintf(line + n, sizeof(line) - (size_t)n,
		"\"args\":{\"task\":%llu,\"outcome\":\"%s\",\"result\":%d}}",
		(unsigned long long)event->task, outcome, event->result);
	append(fd, line, (size_t)n);
}
