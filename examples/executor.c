/* SPDX-License-Identifier: MIT */
/* submit(), map() and add_done_callback() of an executor: words are counted by three workers. */
#include <mp.h>
#include <stdio.h>

static const char *const lines[] = {
	"kill anything at any instant",
	"every wait has a deadline",
	"nothing is hidden",
	"hostile input is only an error",
};
#define LINES 4

static int count_words(int argc, const mp_obj *argv, mp_obj *ret)
{
	const char *line = argc == 1 ? mp_obj_str(&argv[0]) : NULL;
	int words = 0;

	for (const char *p = line; p && *p; p++)
		words += *p != ' ' && (p == line || p[-1] == ' ');
	*ret = mp_i64(words);
	return 0;
}

static void add_up(mp_future *future, void *total)
{
	mp_obj words;

	if (mp_future_result(future, MP_NOWAIT, &words) == 0) {
		*(int64_t *)total += mp_obj_i64(&words);
		mp_obj_free(&words);
	}
}

static int by_submit(mp_pool *pool)
{
	mp_future *futures[LINES];
	int64_t total = 0;
	int r = 0;

	for (int i = 0; i < LINES; i++) {
		r = mp_pool_submit(pool, count_words, MP_ARGS(mp_str(lines[i])), &futures[i]);
		if (r == 0)
			r = mp_future_add_done_callback(futures[i], add_up, &total);
		if (r < 0)
			return r;
	}
	r = mp_future_wait(futures, LINES, MP_WAIT_ALL, MP_FOREVER);
	printf("submit: %lld words\n", (long long)total);
	for (int i = 0; i < LINES; i++)
		mp_future_close(futures[i]);
	return r;
}

static int by_map(mp_pool *pool)
{
	mp_obj items[LINES];
	mp_obj words[LINES];

	for (int i = 0; i < LINES; i++)
		items[i] = mp_str(lines[i]);
	int r = mp_pool_map(pool, count_words, items, LINES, 1, words);
	for (int i = 0; i < LINES && r == 0; i++) {
		printf("map: %d in '%s'\n", (int)mp_obj_i64(&words[i]), lines[i]);
		mp_obj_free(&words[i]);
	}
	return r;
}

int main(int argc, char **argv)
{
	mp_pool *pool;

	mp_begin(&argc, &argv);
	int r = mp_pool_new(MP_POOL_OPTIONS(.workers = 3), &pool);
	if (r == 0) {
		r = by_submit(pool);
		if (r >= 0)
			r = by_map(pool);
		mp_pool_close(pool); /* "with": all tasks have ended, so nothing is cut off */
	}
	if (r < 0)
		fprintf(stderr, "%s\n", mp_error_detail());
	return r < 0;
}
