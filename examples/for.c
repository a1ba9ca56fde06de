/* SPDX-License-Identifier: MIT */
/* A loop over an array that the workers share; nothing is copied. */
#include <mp.h>
#include <stdio.h>

#define N 100000

static int square_all(const mp_range *range)
{
	double *x = mp_array_data(mp_obj_array(&range->argv[0]));

	for (size_t i = range->begin; i < range->end; i++)
		x[i] *= x[i];
	return 0;
}

int main(int argc, char **argv)
{
	mp_pool *pool;
	mp_array *array;
	double sum = 0;

	mp_begin(&argc, &argv);
	if (mp_pool_new(NULL, &pool) < 0 || mp_array_new('d', N, NULL, NULL, &array) < 0)
		return 1;
	double *x = mp_array_data(array);
	for (int i = 0; i < N; i++)
		x[i] = 0.5;
	int r = mp_pool_for(
		pool, square_all, N, NULL, MP_FOR_OPTIONS(.args = MP_ARGS(mp_handle(array))));
	if (r < 0)
		fprintf(stderr, "%s\n", mp_error_detail());
	for (int i = 0; i < N; i++)
		sum += x[i];
	printf("%g\n", sum);
	mp_array_close(array);
	return mp_pool_close(pool) < 0 || r < 0;
}
