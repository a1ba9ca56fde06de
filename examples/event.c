/* SPDX-License-Identifier: MIT */
/* A child that begins when it is told to. */
#include <mp.h>
#include <stdio.h>

static int runner(int argc, const mp_obj *argv)
{
	if (argc != 2 || mp_event_wait(mp_obj_event(&argv[0]), MP_FOREVER) < 0)
		return 1;
	puts("running");
	fflush(stdout);
	return mp_event_set(mp_obj_event(&argv[1])) < 0;
}

int main(int argc, char **argv)
{
	mp_event *go, *there;
	mp_process *p;

	mp_begin(&argc, &argv);
	if (mp_event_new(NULL, &go) < 0 || mp_event_new(NULL, &there) < 0)
		return 1;
	if (mp_process_new(runner, MP_ARGS(mp_handle(go), mp_handle(there)), NULL, &p) < 0 ||
		mp_process_start(p) < 0)
		return 1;
	puts("ready, steady, go");
	fflush(stdout);
	mp_event_set(go);
	if (mp_event_wait(there, 10000) < 0)
		return 1;
	puts("there");
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	mp_event_close(go);
	mp_event_close(there);
	return 0;
}
