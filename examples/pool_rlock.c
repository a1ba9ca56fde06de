/* SPDX-License-Identifier: MIT */
/*
 * A manager's recursive lock inside a pool: tasks in several workers take it, and what they call
 * takes it once more. No sum is lost, although each is read, changed and written in three requests.
 */
#include <mp.h>
#include <stdio.h>

#define TASKS 20

static int add_one(mp_proxy *lock, mp_dict *counts, const char *key)
{
	mp_obj n;
	int r = mp_served_rlock_acquire(lock, MP_FOREVER, NULL);

	if (r < 0)
		return r;
	r = mp_dict_get(counts, mp_str(key), &n);
	if (r == 0)
		r = mp_dict_set(counts, mp_str(key), mp_i64(mp_obj_i64(&n) + 1));
	mp_served_rlock_release(lock);
	return r;
}

/* Both counts go up together: who looks with the lock in hand sees them equal. */
static int task(int argc, const mp_obj *argv, mp_obj *ret_result)
{
	mp_proxy *lock = argc == 2 ? mp_obj_proxy(&argv[0]) : NULL;
	mp_dict *counts = argc == 2 ? mp_obj_dict(&argv[1]) : NULL;
	int r = mp_served_rlock_acquire(lock, MP_FOREVER, NULL);

	if (r < 0)
		return r;
	r = add_one(lock, counts, "begun");
	if (r == 0)
		r = add_one(lock, counts, "ended");
	mp_served_rlock_release(lock);
	*ret_result = mp_bool(true);
	return r;
}

static int run(mp_pool *pool, mp_proxy *lock, mp_dict *counts)
{
	mp_future *futures[TASKS] = {NULL};
	mp_obj all;
	char text[64];
	int r = mp_dict_update(
		counts, MP_DICT(mp_str("begun"), mp_i64(0), mp_str("ended"), mp_i64(0)));

	for (int i = 0; i < TASKS && r == 0; i++)
		r = mp_pool_submit(
			pool, task, MP_ARGS(mp_handle(lock), mp_handle(counts)), &futures[i]);
	for (int i = 0; i < TASKS; i++) {
		if (r == 0)
			r = mp_future_result(futures[i], MP_FOREVER, NULL);
		mp_future_close(futures[i]);
	}
	if (r == 0)
		r = mp_dict_items(counts, &all);
	if (r == 0) {
		mp_obj_format(&all, text, sizeof(text));
		printf("%s\n", text);
		mp_obj_free(&all);
	}
	return r;
}

int main(int argc, char **argv)
{
	mp_manager *m = NULL;
	mp_proxy *lock = NULL;
	mp_dict *counts = NULL;
	mp_pool *pool = NULL;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0)
		r = mp_manager_rlock(m, NULL, &lock);
	if (r == 0)
		r = mp_manager_dict(m, NULL, &counts);
	if (r == 0)
		r = mp_pool_new(MP_POOL_OPTIONS(.workers = 3), &pool);
	if (r == 0)
		r = run(pool, lock, counts);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_pool_close(pool);
	mp_dict_close(counts);
	mp_proxy_close(lock);
	mp_manager_close(m);
	return r < 0;
}
