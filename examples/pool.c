/* SPDX-License-Identifier: MIT */
/* Squares, computed by a pool: one with a future, many at once with a map. */
#include <mp.h>
#include <stdio.h>

static int square(int argc, const mp_obj *argv, mp_obj *result)
{
	(void)argc;
	*result = mp_i64(mp_obj_i64(&argv[0]) * mp_obj_i64(&argv[0]));
	return 0;
}

int main(int argc, char **argv)
{
	mp_pool *pool = NULL;
	mp_future *future = NULL;
	mp_obj twelve = mp_nil();
	mp_obj items[5];
	mp_obj results[5];

	mp_begin(&argc, &argv);
	int r = mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool);
	if (r == 0)
		r = mp_pool_submit(pool, square, MP_ARGS(mp_i64(12)), &future);
	if (r == 0)
		r = mp_future_result(future, MP_FOREVER, &twelve);
	if (r == 0)
		printf("12 * 12 = %d\n", (int)mp_obj_i64(&twelve));

	for (int i = 0; i < 5; i++)
		items[i] = mp_i64(i);
	if (r == 0)
		r = mp_pool_map(pool, square, items, 5, 0, results);
	for (int i = 0; i < 5 && r == 0; i++) {
		printf("%d * %d = %d\n", i, i, (int)mp_obj_i64(&results[i]));
		mp_obj_free(&results[i]);
	}

	if (r == 0)
		r = mp_pool_join(pool, MP_FOREVER);
	if (r < 0)
		fprintf(stderr, "%s\n", mp_error_detail());
	mp_future_close(future);
	mp_pool_close(pool);
	return r < 0;
}
