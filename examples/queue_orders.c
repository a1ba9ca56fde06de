/* SPDX-License-Identifier: MIT */
/* The same four things through three queues: first in first out, last in first out, by priority. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int show(const char *name, enum mp_queue_order order)
{
	static const struct {
		int64_t priority;
		const char *name;
	} things[] = {{2, "lorry"}, {3, "car"}, {1, "ambulance"}, {2, "bus"}};
	mp_queue *q;
	mp_obj thing;

	int r = mp_queue_new(MP_QUEUE_OPTIONS(.order = order), &q);
	if (r < 0)
		return r;
	for (int i = 0; i < 4 && r == 0; i++) {
		if (order == MP_QUEUE_PRIORITY)
			r = mp_queue_put_priority(
				q, mp_str(things[i].name), things[i].priority, MP_FOREVER);
		else
			r = mp_queue_put(q, mp_str(things[i].name), MP_FOREVER);
	}
	printf("%-10s", name);
	while (r == 0 && (r = mp_queue_get(q, MP_NOWAIT, &thing)) == 0) {
		printf(" %s", mp_obj_str(&thing));
		mp_obj_free(&thing);
	}
	printf("\n");
	mp_queue_close(q);
	return r == -EAGAIN ? 0 : r; /* it is empty, as it should be */
}

int main(void)
{
	int r = show("FIFO:", MP_QUEUE_FIFO);

	if (r == 0)
		r = show("LIFO:", MP_QUEUE_LIFO);
	if (r == 0)
		r = show("priority:", MP_QUEUE_PRIORITY);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
