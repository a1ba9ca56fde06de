/* SPDX-License-Identifier: MIT */
/*
 * A program that does not do as it should with mp_begin(): errors, never a fork bomb. Not a
 * Criterion test, because main() itself is the subject.
 */
#include <mp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%d: %s (%s)\n", __LINE__, #condition, mp_error_detail()); \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int target(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static int try(int method, int expected)
{
	mp_process *p;

	CHECK(mp_process_new(target, mp_nil(), MP_PROCESS_OPTIONS(.start_method = method), &p) ==
		0);
	CHECK(mp_process_start(p) == expected);
	if (expected == 0)
		CHECK(mp_process_join(p, MP_FOREVER) == 0);
	CHECK(mp_process_close(p) == 0);
	return 0;
}

/* Each makes mp_begin() refuse; the variable must be gone afterwards. */
static int refuse(const char *marker)
{
	setenv("MP_START", marker, 1);
	int r = mp_begin(NULL, NULL);
	CHECK(r == -EBADMSG);
	CHECK(getenv("MP_START") == NULL);
	return 0;
}

/* argv[0] is copied; here it is too long for that. */
static int begin_without_memory(void)
{
#ifndef __SANITIZE_ADDRESS__ /* which needs its memory */
	const size_t length = 64 * 1024 * 1024;
	char *name = malloc(length);
	char *arguments[] = {name, NULL};
	char **argv = arguments;
	int argc = 1;
	int status;

	CHECK(name != NULL);
	memset(name, 'x', length - 1);
	name[length - 1] = '\0';
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit none = {0, 0};
		if (setrlimit(RLIMIT_AS, &none) < 0)
			_exit(2);
		_exit(mp_begin(&argc, &argv) == -ENOMEM ? 0 : 3);
	}
	free(name);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
#endif
	return 0;
}

int main(int argc, char **argv)
{
	/* In a child: as if mp_begin() were called somewhere else only. */
	if (getenv("MP_START"))
		return 5;
	if (argc > 1) {
		CHECK(refuse(argv[1]) == 0);
		/* From here on the program is what it is without the variable. */
		CHECK(mp_begin(&argc, &argv) == 0);
		return 0;
	}

	CHECK(try(MP_START_SPAWN, -ENOTCONN) == 0);
	CHECK(try(MP_START_FORKSERVER, -ENOTCONN) == 0);
	CHECK(try(MP_START_FORK, 0) == 0);

	char command[4200];
	static const char *const markers[] = {"", "x", "1:", "1:0", "1:1", "3:2", "1:2x", "1:254",
		"1:2", "2:1", "2:2", "1:-1", "01:2"};
	for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++) {
		/* Descriptors 3 and 4 are there, and are not what a child needs. */
		snprintf(command, sizeof(command), "'%s' '%s' 3</dev/null 4</dev/null", argv[0],
			markers[i]);
		if (system(command) != 0) {
			fprintf(stderr, "marker \"%s\" was not refused\n", markers[i]);
			return 1;
		}
	}

	CHECK(begin_without_memory() == 0);
	char **kept_argv = argv;
	CHECK(mp_begin(&argc, &argv) == 0);
	CHECK(argc == 1 && argv == kept_argv);
	CHECK(mp_begin(NULL, NULL) == 0);
	CHECK(try(MP_START_SPAWN, -EOWNERDEAD) == 0);
	CHECK(strstr(mp_error_detail(), "exit code 5"));
	CHECK(try(MP_START_FORKSERVER, -EOWNERDEAD) == 0);
	return 0;
}
