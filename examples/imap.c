/* SPDX-License-Identifier: MIT */
/* Numbers without end, of which only as many are made as somebody wants to see. */
#include <mp.h>
#include <stdio.h>

static int collatz(int argc, const mp_obj *argv, mp_obj *result)
{
	int64_t n = argc > 0 ? mp_obj_i64(&argv[0]) : 1;
	int64_t steps = 0;

	for (; n > 1; steps++)
		n = n % 2 ? 3 * n + 1 : n / 2;
	*result = mp_i64(steps);
	return 0;
}

static int next_number(void *data, mp_obj *item)
{
	*item = mp_i64(++*(int64_t *)data);
	return 1;
}

int main(int argc, char **argv)
{
	mp_pool *pool;
	mp_imap *imap;
	mp_obj items[100];
	mp_obj results[100];
	int64_t last = 0;
	int64_t sum = 0;

	mp_begin(&argc, &argv);
	if (mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool) < 0)
		return 1;
	if (mp_pool_imap(pool, collatz, next_number, &last, NULL, &imap) < 0)
		return 1;
	for (int i = 1; i <= 7; i++) {
		mp_obj steps;
		if (mp_imap_next(imap, MP_FOREVER, &steps) == 1)
			printf("%d: %d steps\n", i, (int)mp_obj_i64(&steps));
		mp_obj_free(&steps);
	}
	mp_imap_close(imap);

	/* All at once, with a bar on the terminal. */
	for (int i = 0; i < 100; i++)
		items[i] = mp_i64(i + 1);
	if (mp_pool_map_with(pool, collatz, items, 100, MP_MAP_OPTIONS(.progress = mp_progress_bar),
		    results) == 0) {
		for (int i = 0; i < 100; i++) {
			sum += mp_obj_i64(&results[i]);
			mp_obj_free(&results[i]);
		}
	}
	printf("1 to 100: %d steps\n", (int)sum);
	return mp_pool_close(pool) < 0;
}
