/* SPDX-License-Identifier: MIT */
/* One task that has not begun, one that listens, and one that does not. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>
#include <unistd.h>

static int search(int argc, const mp_obj *argv, mp_obj *result)
{
	(void)argc;
	(void)result;
	mp_event_set(mp_obj_event(&argv[0]));
	while (!mp_task_cancelled())
		usleep(1000); /* one step of something long */
	return mp_error_set(-ECANCELED, "stopped in good order");
}

static int deaf(int argc, const mp_obj *argv, mp_obj *result)
{
	(void)argc;
	(void)result;
	mp_event_set(mp_obj_event(&argv[0]));
	while (pause() < 0) /* signals do not end it */
		;
	return 0;
}

int main(int argc, char **argv)
{
	static mp_task *const tasks[] = {search, deaf};
	mp_pool *pool;
	mp_event *began;
	mp_future *running;
	mp_future *pending;

	mp_begin(&argc, &argv);
	if (mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool) < 0 || mp_event_new(NULL, &began) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		mp_event_clear(began);
		if (mp_pool_submit(pool, tasks[i], MP_ARGS(mp_handle(began)), &running) < 0 ||
			mp_pool_submit(pool, tasks[i], MP_ARGS(mp_handle(began)), &pending) < 0)
			return 1;
		mp_event_wait(began, MP_FOREVER);
		printf("pending: %d\n", mp_future_cancel(pending, 0));
		printf("running: %d\n", mp_future_cancel(running, i == 0 ? 0 : MP_CANCEL_KILL));
		mp_future_result(running, MP_FOREVER, NULL);
		printf("%s\n", mp_error_detail());
		mp_future_close(running);
		mp_future_close(pending);
	}
	mp_event_close(began);
	return mp_pool_close(pool) < 0;
}
