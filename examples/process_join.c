/* SPDX-License-Identifier: MIT */
/* Waits for the end of a child by its sentinel, with poll(2), and asks how it ended. */
#include <mp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static int seven(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return 7;
}

static int crash(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	abort();
}

static void show_end(mp_target *target)
{
	mp_process *p = NULL;
	int code;

	int r = mp_process_new(target, mp_nil(), NULL, &p);
	if (r == 0)
		r = mp_process_start(p);
	if (r == 0) {
		struct pollfd end = {.fd = mp_process_sentinel(p), .events = POLLIN};
		poll(&end, 1, -1);
		printf("alive: %d\n", mp_process_is_alive(p));
		r = mp_process_exit_code(p, &code);
	}
	if (r == 0)
		printf("exit code: %d\n", code);
	else
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_process_close(p);
}

int main(int argc, char **argv)
{
	mp_begin(&argc, &argv);
	show_end(seven);
	show_end(crash);
	return 0;
}
