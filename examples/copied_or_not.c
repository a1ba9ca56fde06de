/* SPDX-License-Identifier: MIT */
/*
 * What a child finds of its parent: by fork a copy of all memory as it was at the start; by spawn a
 * fresh program, and its arguments. Neither sees what the parent changes afterwards.
 */
#include <mp.h>
#include <stdio.h>

static int numbers[3] = {1, 2, 3};

static int show(int argc, const mp_obj *argv)
{
	mp_event *changed = argc == 2 ? mp_obj_event(&argv[0]) : NULL;

	if (mp_event_wait(changed, MP_FOREVER) < 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("  numbers here: %d %d %d; the argument: %s\n", numbers[0], numbers[1], numbers[2],
		mp_obj_str(&argv[1]));
	return 0;
}

static int try(int method, const char *name)
{
	mp_event *changed;
	mp_process *p;

	if (mp_event_new(NULL, &changed) < 0)
		return -1;
	printf("%s\n", name);
	numbers[0] = 100; /* before the start */
	if (mp_process_new(show, MP_ARGS(mp_handle(changed), mp_str("a copy")),
		    MP_PROCESS_OPTIONS(.start_method = method), &p) < 0 ||
		mp_process_start(p) < 0)
		return -1;
	numbers[1] = 200; /* after it */
	mp_event_set(changed);
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	mp_event_close(changed);
	numbers[1] = 2;
	return 0;
}

int main(int argc, char **argv)
{
	mp_begin(&argc, &argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (try(MP_START_FORK, "fork") < 0 || try(MP_START_SPAWN, "spawn") < 0)
		return 1;
	printf("numbers in the parent: %d %d %d\n", numbers[0], numbers[1], numbers[2]);
	return 0;
}
