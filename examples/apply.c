/* SPDX-License-Identifier: MIT */
/* One task at a time: call and wait; call and ask later; call and be called back. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int root(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t n = argc == 1 ? mp_obj_i64(&argv[0]) : -1;
	int64_t x = 0;

	if (n < 0)
		return mp_error_set(-EDOM, "no root of %d", (int)n);
	while ((x + 1) * (x + 1) <= n)
		x++;
	*ret = mp_i64(x);
	return 0;
}

/* Runs in this process, in the call that waits; for a failure, too. */
static void tell(mp_future *future, void *name)
{
	mp_failure failure;
	mp_obj result;

	if (mp_future_error(future, MP_FOREVER, &failure) == 1) {
		printf("%s failed: %s\n", (const char *)name, failure.message);
		mp_obj_free(&failure.detail);
	} else if (mp_future_result(future, MP_FOREVER, &result) == 0) {
		printf("%s: %d\n", (const char *)name, (int)mp_obj_i64(&result));
		mp_obj_free(&result);
	}
}

static int run(mp_pool *pool)
{
	static const int numbers[] = {81, -1};
	static char names[][20] = {"the callback", "the error callback"};
	mp_future *later;
	mp_obj result;

	int r = mp_pool_apply(pool, root, MP_ARGS(mp_i64(49)), MP_FOREVER, &result);
	if (r < 0)
		return r;
	printf("apply: %d\n", (int)mp_obj_i64(&result));
	mp_obj_free(&result);

	r = mp_pool_submit(pool, root, MP_ARGS(mp_i64(64)), &later);
	if (r < 0)
		return r;
	r = mp_future_result(later, MP_FOREVER, &result);
	mp_future_close(later);
	if (r < 0)
		return r;
	printf("apply_async and get: %d\n", (int)mp_obj_i64(&result));
	mp_obj_free(&result);

	for (int i = 0; i < 2 && r >= 0; i++) {
		r = mp_pool_submit_with(pool, root, MP_ARGS(mp_i64(numbers[i])),
			MP_TASK_OPTIONS(.callback = tell, .callback_data = names[i]), &later);
		if (r < 0)
			break;
		r = mp_future_wait(&later, 1, MP_WAIT_ALL, MP_FOREVER); /* calls back */
		mp_future_close(later);
	}
	return r;
}

int main(int argc, char **argv)
{
	mp_pool *pool;

	mp_begin(&argc, &argv);
	int r = mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool);
	if (r == 0) {
		r = run(pool);
		mp_pool_close(pool);
	}
	if (r < 0)
		fprintf(stderr, "%s\n", mp_error_detail());
	return r < 0;
}
