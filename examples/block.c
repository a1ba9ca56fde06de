/* SPDX-License-Identifier: MIT */
/* Two processes fill the halves of one block. */
#include <mp.h>
#include <stdio.h>

static int fill(int argc, const mp_obj *argv)
{
	int *numbers = mp_block_data(mp_obj_block(&argv[0]));

	(void)argc;
	for (int i = 500; i < 1000; i++)
		numbers[i] = i;
	return 0;
}

int main(int argc, char **argv)
{
	mp_process *p;
	mp_block *block;
	long sum = 0;

	mp_begin(&argc, &argv);
	if (mp_block_new(1000 * sizeof(int), NULL, &block) < 0 ||
		mp_process_new(fill, MP_ARGS(mp_handle(block)), NULL, &p) < 0 ||
		mp_process_start(p) < 0) {
		fprintf(stderr, "block: %s\n", mp_error_detail());
		return 1;
	}
	int *numbers = mp_block_data(block);
	for (int i = 0; i < 500; i++)
		numbers[i] = i;
	mp_process_join(p, MP_FOREVER);
	for (int i = 0; i < 1000; i++)
		sum += numbers[i];
	printf("%ld\n", sum);
	mp_process_close(p);
	mp_block_close(block);
	return 0;
}
