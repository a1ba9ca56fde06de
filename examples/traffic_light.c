/* SPDX-License-Identifier: MIT */
/* A traffic light and cars: they wait while it is red, and drive while it is green. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

#define CARS 4

/* Waits for green, and drives. Exit code 0: it had to stop. */
static int drive(int argc, const mp_obj *argv)
{
	mp_event *green = argc == 2 ? mp_obj_event(&argv[0]) : NULL;
	mp_semaphore *at_the_light = mp_obj_semaphore(&argv[1]);
	bool stopped = mp_event_wait(green, MP_NOWAIT) == -EAGAIN;

	mp_semaphore_release(at_the_light);
	return mp_event_wait(green, MP_FOREVER) == 0 && stopped ? 0 : 1;
}

static int cars(mp_event *green, bool light_changes)
{
	mp_process *p[CARS];
	mp_semaphore *at_the_light;
	int had_to_stop = 0;

	if (mp_semaphore_new(0, MP_SEMAPHORE_OPTIONS(.ownerless = true), &at_the_light) < 0)
		return -1;
	for (int i = 0; i < CARS; i++) {
		if (mp_process_new(drive, MP_ARGS(mp_handle(green), mp_handle(at_the_light)), NULL,
			    &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return -1;
	}
	for (int i = 0; i < CARS; i++)
		mp_semaphore_acquire(at_the_light, MP_FOREVER);
	if (light_changes)
		mp_event_set(green); /* lets all of them go at once */
	for (int i = 0; i < CARS; i++) {
		int code = 1;
		mp_process_join(p[i], MP_FOREVER);
		mp_process_exit_code(p[i], &code);
		mp_process_close(p[i]);
		had_to_stop += code == 0;
	}
	mp_semaphore_close(at_the_light);
	return had_to_stop;
}

int main(int argc, char **argv)
{
	mp_event *green;

	mp_begin(&argc, &argv);
	if (mp_event_new(MP_EVENT_OPTIONS(.name = "green"), &green) < 0)
		return 1;
	printf("red, then green: %d of %d cars had to stop\n", cars(green, true), CARS);
	printf("green: %d of %d cars had to stop\n", cars(green, false), CARS);
	mp_event_close(green);
	return 0;
}
