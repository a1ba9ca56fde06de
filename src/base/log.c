/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/log.h"

#include "base/error.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define MESSAGE_SIZE 512

/*
 * One handler per process. The mutex guards the three words only and is not held while the handler
 * runs. A fork takes it around itself, so that the child never inherits it locked.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sink {
	mp_log_handler *handler;
	void *data;
	int max_level;
} sink;

/* What a handler causes is not handed to it again, or it might never come to an end. */
static _Thread_local bool in_handler;

static void lock_for_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void keep_lock_sane_over_fork(void)
{
	pthread_atfork(lock_for_fork, unlock_after_fork, unlock_after_fork);
}

int mp_log_set_handler(int max_level, mp_log_handler *handler, void *data)
{
	if (max_level < MP_LOG_ERROR || max_level > MP_LOG_DEBUG)
		return mp_error_set(
			-EINVAL, "log level %d is none of enum mp_log_level", max_level);

	pthread_mutex_lock(&lock);
	sink = (struct sink){handler, data, max_level};
	pthread_mutex_unlock(&lock);
	return 0;
}

void mp_log_stderr(int level, const char *component, const char *message, void *data)
{
	char line[MESSAGE_SIZE + 64];

	(void)level;
	(void)data;
	int length = snprintf(line, sizeof(line), "libmp: %s: %s\n", component, message);
	if (length >= (int)sizeof(line)) {
		length = sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return; /* nowhere left to say it */
}

/*
 * The handler may call libmp, and the record may come in the middle of a failure: errno and the
 * sentence stay those of the call that had something to say.
 */
static void hand_over(const struct sink *to, int level, const char *component, const char *message)
{
	char detail[MP__DETAIL_SIZE];
	int before = errno;

	strcpy(detail, mp_error_detail());
	in_handler = true;
	to->handler(level, component, message, to->data);
	in_handler = false;
	mp_error_set(0, "%s", detail);
	errno = before;
}

bool mp__log_is_heard(int level)
{
	pthread_mutex_lock(&lock);
	bool heard = sink.handler && level <= sink.max_level;
	pthread_mutex_unlock(&lock);
	return heard;
}

void mp__log(int level, const char *component, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list args;

	if (in_handler)
		return;
	pthread_mutex_lock(&lock);
	struct sink to = sink;
	pthread_mutex_unlock(&lock);
	if (!to.handler || level > to.max_level)
		return;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	hand_over(&to, level, component, message);
}
