/* SPDX-License-Identifier: MIT */
/* Two slow tasks and a quick one: a callback for each, and results in the order of their ends. */
#include <mp.h>
#include <stdio.h>

static int wait_for(int argc, const mp_obj *argv, mp_obj *result)
{
	(void)argc;
	*result = argv[0];
	return mp_event_wait(mp_obj_event(&argv[1]), MP_FOREVER);
}

static void count(mp_future *future, void *data)
{
	(void)future;
	++*(int *)data;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"first", "second", "third"};
	mp_pool *pool;
	mp_event *events[3];
	mp_future *futures[3];
	mp_future *next;
	mp_as_completed *iterator;
	int called = 0;

	mp_begin(&argc, &argv);
	if (mp_pool_new(MP_POOL_OPTIONS(.workers = 3), &pool) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		if (mp_event_new(NULL, &events[i]) < 0)
			return 1;
		if (mp_pool_submit(pool, wait_for, MP_ARGS(mp_str(names[i]), mp_handle(events[i])),
			    &futures[i]) < 0)
			return 1;
		mp_future_add_done_callback(futures[i], count, &called);
	}
	mp_as_completed_new(futures, 3, &iterator);
	for (int i = 2; i >= 0; i--) { /* the third one may end, then the second, then the first */
		mp_obj result;
		mp_event_set(events[i]);
		mp_as_completed_next(iterator, MP_FOREVER, &next);
		if (mp_future_result(next, MP_NOWAIT, &result) == 0)
			printf("%s\n", mp_obj_str(&result));
		mp_obj_free(&result);
	}
	printf("%d callbacks\n", called);
	mp_as_completed_close(iterator);
	for (int i = 0; i < 3; i++) {
		mp_future_close(futures[i]);
		mp_event_close(events[i]);
	}
	return mp_pool_close(pool) < 0;
}
