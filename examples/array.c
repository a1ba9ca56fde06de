/* SPDX-License-Identifier: MIT */
/* A child adds up an array in place; the parent reads slices of it. */
#include <mp.h>
#include <stdio.h>

static int add_up(int argc, const mp_obj *argv)
{
	mp_array *array = mp_obj_array(&argv[0]);
	int *items = mp_array_data(array);

	(void)argc;
	for (size_t i = 1; i < mp_array_length(array); i++)
		items[i] += items[i - 1];
	return 0;
}

int main(int argc, char **argv)
{
	mp_array *array;
	mp_process *child;
	int slice[4];
	size_t n = 0;

	mp_begin(&argc, &argv);
	if (mp_array_new('i', 10, (int[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, NULL, &array) < 0 ||
		mp_process_new(add_up, MP_ARGS(mp_handle(array)), NULL, &child) < 0 ||
		mp_process_start(child) < 0 || mp_process_join(child, MP_FOREVER) < 0) {
		fprintf(stderr, "%s\n", mp_error_detail());
		return 1;
	}
	mp_process_close(child);

	/* The last three, then every third from the end: array[-3:], array[::-3] */
	mp_array_get_slice(
		array, MP_SLICE(-3, MP_SLICE_OPEN), slice, sizeof(slice), MP_FOREVER, &n);
	for (size_t i = 0; i < n; i++)
		printf("%d ", slice[i]);
	mp_array_get_slice(array, MP_SLICE_STEP(MP_SLICE_OPEN, MP_SLICE_OPEN, -3), slice,
		sizeof(slice), MP_FOREVER, &n);
	printf("|");
	for (size_t i = 0; i < n; i++)
		printf(" %d", slice[i]);
	printf("\n");
	return mp_array_close(array);
}
