/* SPDX-License-Identifier: MIT */
/*
 * The end of the program: daemonic children are ended with it, the others are waited for. So the
 * main program's last line comes, then only that of the child that is no daemon.
 */
#include <mp.h>
#include <stdio.h>

static int speak(int argc, const mp_obj *argv)
{
	mp_event *main_has_ended = argc == 2 ? mp_obj_event(&argv[0]) : NULL;

	if (mp_event_wait(main_has_ended, MP_FOREVER) < 0)
		return 1;
	printf("%s\n", mp_obj_str(&argv[1]));
	return 0;
}

int main(int argc, char **argv)
{
	static mp_event *never;
	static mp_event *ended;
	static mp_process *daemon;
	static mp_process *child;

	mp_begin(&argc, &argv);
	if (mp_event_new(NULL, &never) < 0 || mp_event_new(NULL, &ended) < 0)
		return 1;
	if (mp_process_new(speak, MP_ARGS(mp_handle(never), mp_str("the daemon: not to be seen")),
		    MP_PROCESS_OPTIONS(.daemon = true), &daemon) < 0 ||
		mp_process_start(daemon) < 0)
		return 1;
	if (mp_process_new(speak, MP_ARGS(mp_handle(ended), mp_str("the other child")), NULL,
		    &child) < 0 ||
		mp_process_start(child) < 0)
		return 1;
	printf("the main program's last line\n");
	fflush(stdout);
	mp_event_set(ended);
	return 0; /* exit(3) waits for the child, and ends the daemon */
}
