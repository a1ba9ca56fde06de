/* SPDX-License-Identifier: MIT */
/* A queue of three places: filled by a child, found full, emptied in order. */
#include <mp.h>
#include <stdio.h>

static int producer(int argc, const mp_obj *argv)
{
	mp_queue *q = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;

	for (int i = 0; i < 3; i++) {
		if (mp_queue_put(q, mp_i64(i), MP_FOREVER) < 0)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	mp_queue *q;
	mp_process *p;
	mp_obj item;

	mp_begin(&argc, &argv);
	if (mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 3), &q) < 0 ||
		mp_process_new(producer, MP_ARGS(mp_handle(q)), NULL, &p) < 0 ||
		mp_process_start(p) < 0 || mp_process_join(p, MP_FOREVER) < 0) {
		fprintf(stderr, "%s\n", mp_error_detail());
		return 1;
	}
	printf("%zu messages, full: %d\n", mp_queue_size(q), mp_queue_full(q));
	if (mp_queue_put(q, mp_i64(3), MP_NOWAIT) < 0)
		printf("%s\n", mp_error_detail());
	while (mp_queue_get(q, MP_NOWAIT, &item) == 0) {
		printf("%lld\n", (long long)mp_obj_i64(&item));
		mp_obj_free(&item);
	}
	printf("empty: %d\n", mp_queue_empty(q));
	mp_process_close(p);
	mp_queue_close(q);
	return 0;
}
