/* SPDX-License-Identifier: MIT */
/* Daemonic consumers, which end with the program; it goes on when all work is done. */
#include <mp.h>
#include <stdio.h>

static int consumer(int argc, const mp_obj *argv)
{
	mp_queue *work = argc == 2 ? mp_obj_queue(&argv[0]) : NULL;
	mp_queue *results = argc == 2 ? mp_obj_queue(&argv[1]) : NULL;
	mp_obj n;

	while (mp_queue_get(work, MP_FOREVER, &n) == 0) {
		int64_t square = mp_obj_i64(&n) * mp_obj_i64(&n);

		mp_obj_free(&n);
		mp_queue_put(results, mp_i64(square), MP_FOREVER);
		mp_queue_task_done(work);
	}
	return 0;
}

int main(int argc, char **argv)
{
	mp_queue *work;
	mp_queue *results;
	mp_process *p[2];
	int64_t sum = 0;
	mp_obj square;

	mp_begin(&argc, &argv);
	if (mp_queue_new(MP_QUEUE_OPTIONS(.joinable = true), &work) < 0 ||
		mp_queue_new(NULL, &results) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		if (mp_process_new(consumer, MP_ARGS(mp_handle(work), mp_handle(results)),
			    MP_PROCESS_OPTIONS(.daemon = true), &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return 1;
	}
	for (int i = 1; i <= 100; i++)
		mp_queue_put(work, mp_i64(i), MP_FOREVER);
	if (mp_queue_join(work, MP_FOREVER) < 0)
		return 1;
	while (mp_queue_get(results, MP_NOWAIT, &square) == 0) {
		sum += mp_obj_i64(&square);
		mp_obj_free(&square);
	}
	printf("the squares of 1 to 100 add up to %lld\n", (long long)sum);
	mp_queue_close(work);
	mp_queue_close(results);
	for (int i = 0; i < 2; i++) { /* they wait for more work */
		mp_process_kill(p[i]);
		mp_process_join(p[i], MP_FOREVER);
		mp_process_close(p[i]);
	}
	return 0;
}
