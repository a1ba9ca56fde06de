/* SPDX-License-Identifier: MIT */
/* A consumer dies over its work. Another one gets the message again, is told so, and does it. */
#include <mp.h>
#include <signal.h>
#include <stdio.h>

static int consumer(int argc, const mp_obj *argv)
{
	mp_queue *q = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;
	mp_obj work;
	mp_lease lease;

	while (mp_queue_lease(q, MP_FOREVER, &work, &lease) == 0) {
		if (!lease.redelivered && mp_obj_i64(&work) == 2)
			raise(SIGKILL);
		printf("message %lld, delivery %u\n", (long long)mp_obj_i64(&work),
			lease.deliveries);
		fflush(stdout);
		mp_obj_free(&work);
		mp_queue_ack(q, lease);
	}
	return 0;
}

int main(int argc, char **argv)
{
	mp_queue *q;
	mp_process *p;

	mp_begin(&argc, &argv);
	if (mp_queue_new(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 5), &q) < 0)
		return 1;
	for (int i = 1; i <= 3; i++)
		mp_queue_put(q, mp_i64(i), MP_FOREVER);
	mp_queue_shutdown(q, MP_QUEUE_DRAIN);
	for (int i = 0; i < 2; i++) {
		int code;

		if (mp_process_new(consumer, MP_ARGS(mp_handle(q)), NULL, &p) < 0 ||
			mp_process_start(p) < 0 || mp_process_join(p, MP_FOREVER) < 0 ||
			mp_process_exit_code(p, &code) < 0)
			return 1;
		printf("consumer %d: exit code %d\n", i, code);
		fflush(stdout);
		mp_process_close(p);
	}
	mp_queue_close(q);
	return 0;
}
