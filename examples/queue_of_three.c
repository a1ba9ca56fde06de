/* SPDX-License-Identifier: MIT */
/* A queue with room for three: filled, full, emptied. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static void look(mp_queue *q)
{
	printf("%d in it, %s, %s\n", (int)mp_queue_size(q),
		mp_queue_full(q) == 1 ? "full" : "not full",
		mp_queue_empty(q) == 1 ? "empty" : "not empty");
}

int main(void)
{
	mp_queue *q;
	mp_obj n;

	if (mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 3), &q) < 0)
		return 1;
	look(q);
	for (int i = 1; i <= 3; i++)
		mp_queue_put(q, mp_i64(i), MP_FOREVER);
	look(q);
	if (mp_queue_put(q, mp_i64(4), MP_NOWAIT) == -EAGAIN)
		printf("no room now: %s\n", mp_error_detail());
	if (mp_queue_put(q, mp_i64(4), 10) == -ETIMEDOUT)
		printf("nor within 10 ms\n");
	while (mp_queue_get(q, MP_NOWAIT, &n) == 0) {
		printf("got %d\n", (int)mp_obj_i64(&n));
		mp_obj_free(&n);
	}
	look(q);
	mp_queue_close(q);
	return 0;
}
