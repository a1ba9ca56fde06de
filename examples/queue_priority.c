/* SPDX-License-Identifier: MIT */
/* Work of several grades of urgency: the most urgent first, and equals in the order of put. */
#include <mp.h>
#include <stdio.h>

static int producer(int argc, const mp_obj *argv)
{
	mp_queue *q = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;

	if (mp_queue_put_priority(q, mp_str("sweep the yard"), 9, MP_FOREVER) < 0 ||
		mp_queue_put_priority(q, mp_str("answer the phone"), 5, MP_FOREVER) < 0 ||
		mp_queue_put_priority(q, mp_str("put out the fire"), 1, MP_FOREVER) < 0 ||
		mp_queue_put_priority(q, mp_str("answer the door"), 5, MP_FOREVER) < 0)
		return 1;
	return 0;
}

int main(int argc, char **argv)
{
	mp_queue *q;
	mp_process *p;
	mp_obj work;

	mp_begin(&argc, &argv);
	if (mp_queue_new(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY), &q) < 0 ||
		mp_process_new(producer, MP_ARGS(mp_handle(q)), NULL, &p) < 0 ||
		mp_process_start(p) < 0 || mp_process_join(p, MP_FOREVER) < 0) {
		fprintf(stderr, "%s\n", mp_error_detail());
		return 1;
	}
	while (mp_queue_get(q, MP_NOWAIT, &work) == 0) {
		printf("%s\n", mp_obj_str(&work));
		mp_obj_free(&work);
	}
	mp_process_close(p);
	mp_queue_close(q);
	return 0;
}
