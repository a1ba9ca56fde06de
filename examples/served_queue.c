/* SPDX-License-Identifier: MIT */
/* A queue by priority in a managerd: what is urgent overtakes; join waits until all is done. */
#include <mp.h>
#include <stdio.h>

static int serve(int argc, const mp_obj *argv)
{
	mp_proxy *q = argc == 1 ? mp_obj_proxy(&argv[0]) : NULL;
	mp_obj order;

	while (mp_served_queue_get(q, MP_FOREVER, &order) == 0) {
		printf("%s\n", mp_obj_str(&order));
		mp_obj_free(&order);
		mp_served_queue_task_done(q);
	}
	return 0; /* it has been shut down */
}

static int run(mp_manager *m)
{
	mp_process *waiter;
	mp_proxy *q;

	int r = mp_manager_queue(
		m, "orders", MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY, .joinable = true), &q);
	if (r < 0)
		return r;
	mp_served_queue_put_priority(q, mp_str("coffee"), 5, MP_FOREVER);
	mp_served_queue_put_priority(q, mp_str("cake"), 5, MP_FOREVER);
	mp_served_queue_put_priority(q, mp_str("put out the fire"), 1, MP_FOREVER);
	r = mp_process_new(serve, MP_ARGS(mp_handle(q)), NULL, &waiter);
	if (r == 0) {
		r = mp_process_start(waiter);
		if (r == 0)
			r = mp_served_queue_join(q, MP_FOREVER);
		mp_served_queue_shutdown(q, MP_QUEUE_DRAIN);
		if (r == 0)
			r = mp_process_join(waiter, MP_FOREVER);
		mp_process_close(waiter);
	}
	mp_proxy_close(q);
	return r;
}

int main(int argc, char **argv)
{
	mp_manager *m;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = run(m);
		mp_manager_close(m);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
