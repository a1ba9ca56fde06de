/* SPDX-License-Identifier: MIT */
/* A child is killed with both permits; they come back. */
#include <mp.h>
#include <stdio.h>

static int work(int argc, const mp_obj *argv)
{
	mp_semaphore *permits = mp_obj_semaphore(&argv[0]);

	if (argc != 2 || mp_semaphore_acquire(permits, MP_FOREVER) < 0 ||
		mp_semaphore_acquire(permits, MP_FOREVER) < 0)
		return 1;
	mp_event_set(mp_obj_event(&argv[1]));
	return mp_semaphore_acquire(permits, MP_FOREVER) < 0; /* a third: there is none */
}

int main(int argc, char **argv)
{
	mp_semaphore *permits;
	mp_event *taken;
	mp_process *p;

	mp_begin(&argc, &argv);
	if (mp_semaphore_new(2, MP_SEMAPHORE_OPTIONS(.bounded = true), &permits) < 0 ||
		mp_event_new(NULL, &taken) < 0)
		return 1;
	if (mp_process_new(work, MP_ARGS(mp_handle(permits), mp_handle(taken)), NULL, &p) < 0 ||
		mp_process_start(p) < 0 || mp_event_wait(taken, MP_FOREVER) < 0)
		return 1;
	printf("left: %d\n", mp_semaphore_value(permits));
	mp_process_kill(p);
	mp_process_join(p, MP_FOREVER);
	printf("after its death: %d\n", mp_semaphore_value(permits));
	if (mp_semaphore_release(permits) < 0)
		puts(mp_error_detail());
	mp_process_close(p);
	mp_semaphore_close(permits);
	mp_event_close(taken);
	return 0;
}
