/* SPDX-License-Identifier: MIT */
/* Three ways in which a task can end. */
#include <errno.h>
#include <mp.h>
#include <signal.h>
#include <stdio.h>

static int divide(int argc, const mp_obj *argv, mp_obj *result)
{
	int64_t by = argc == 2 ? mp_obj_i64(&argv[1]) : 0;

	if (by == 0)
		return mp_error_set(-EDOM, "cannot divide by zero");
	if (by < 0)
		raise(SIGKILL); /* as the out-of-memory killer would */
	*result = mp_i64(mp_obj_i64(&argv[0]) / by);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const states[] = {
		"pending", "running", "done", "failed", "crashed", "cancelled"};
	static const int by[] = {3, 0, -1, 4};
	mp_pool *pool;
	mp_future *future;

	mp_begin(&argc, &argv);
	if (mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool) < 0)
		return 1;
	for (int i = 0; i < 4; i++) {
		mp_obj result = mp_nil();
		if (mp_pool_submit(pool, divide, MP_ARGS(mp_i64(12), mp_i64(by[i])), &future) < 0)
			return 1;
		int r = mp_future_result(future, MP_FOREVER, &result);
		printf("12 / %d: %s", by[i], states[mp_future_state(future)]);
		if (r == 0)
			printf(", %d\n", (int)mp_obj_i64(&result));
		else
			printf(", %s\n", r == -EDOM ? mp_error_detail() : mp_strerror(r));
		mp_obj_free(&result);
		mp_future_close(future);
	}
	return mp_pool_close(pool) < 0;
}
