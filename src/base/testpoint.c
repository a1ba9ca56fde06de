/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/testpoint.h"

#ifdef MP_TEST_POINTS

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_CODE 86

void mp__test_point(const char *name)
{
	int saved_errno = errno;
	const char *wanted = getenv("MP_TEST_POINT");
	size_t length = strlen(name);

	if (!wanted || strncmp(wanted, name, length) != 0 || wanted[length] != ':')
		return;
	const char *spares = getenv("MP_TEST_POINT_SPARES");
	if (spares && atoi(spares) == getpid())
		return;
	const char *token = getenv("MP_TEST_POINT_TOKEN");
	if (token && unlink(token) < 0) {
		errno = saved_errno;
		return;
	}

	const char *action = wanted + length + 1;
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(action, "stop") == 0)
		kill(getpid(), SIGSTOP);
	else if (strcmp(action, "exit") == 0)
		_exit(EXIT_CODE);
}

#else

/* ISO C wants a declaration in every file. */
typedef int mp__no_test_points;

#endif
