/* SPDX-License-Identifier: MIT */
/* Hears what the library has to say: here, that fork does not go together with threads. */
#include <mp.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void show(int level, const char *component, const char *message, void *program)
{
	printf("%s: <%d> %s: %s\n", (char *)program, level, component, message);
	fflush(stdout);
}

static void *wait_for_end(void *fd)
{
	char byte;

	return read(*(int *)fd, &byte, 1) < 0 ? fd : NULL;
}

static int target(int argc, const mp_obj *argv)
{
	(void)argv;
	return argc;
}

int main(int argc, char **argv)
{
	char name[] = "example";
	mp_process *child = NULL;
	pthread_t thread;
	int ends[2];

	mp_begin(&argc, &argv);
	mp_log_set_handler(MP_LOG_WARNING, show, name);
	if (pipe(ends) < 0 || pthread_create(&thread, NULL, wait_for_end, &ends[0]) != 0)
		return 1;
	int r = mp_process_new(target, MP_ARGS(),
		MP_PROCESS_OPTIONS(.name = "child", .start_method = MP_START_FORK), &child);
	if (r == 0)
		r = mp_process_start(child);
	if (r == 0)
		r = mp_process_join(child, MP_FOREVER);
	mp_process_close(child);
	close(ends[1]);
	pthread_join(thread, NULL);
	return r < 0;
}
