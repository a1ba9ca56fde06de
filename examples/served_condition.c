/* SPDX-License-Identifier: MIT */
/* A child waits until there is something in a list, which it looks at with the lock in hand. */
#include <mp.h>
#include <stdio.h>

struct question {
	mp_proxy *list;
};

static int there_is_something(void *data)
{
	struct question *q = data;
	size_t n = 0;
	int r = mp_list_len(q->list, &n);

	return r < 0 ? r : n > 0;
}

static int eater(int argc, const mp_obj *argv)
{
	mp_proxy *served = argc == 2 ? mp_obj_proxy(&argv[0]) : NULL;
	struct question q = {argc == 2 ? mp_obj_proxy(&argv[1]) : NULL};
	mp_obj dish;

	int r = mp_served_condition_acquire(served, MP_FOREVER);
	if (r < 0)
		return 1;
	r = mp_served_condition_wait_for(served, there_is_something, &q, MP_FOREVER);
	if (r >= 0)
		r = mp_list_pop(q.list, 0, &dish);
	mp_served_condition_release(served);
	if (r < 0)
		return 1;
	printf("the child eats: %s\n", mp_obj_str(&dish));
	mp_obj_free(&dish);
	return 0;
}

static int cook(mp_proxy *served, mp_proxy *table)
{
	int r = mp_served_condition_acquire(served, MP_FOREVER);

	if (r < 0)
		return r;
	r = mp_list_append(table, mp_str("noodles"));
	if (r == 0)
		r = mp_served_condition_notify(served, 1);
	mp_served_condition_release(served);
	return r;
}

static int run(mp_manager *m)
{
	mp_proxy *served = NULL;
	mp_proxy *table = NULL;
	mp_process *child = NULL;

	int r = mp_manager_condition(m, "served", NULL, &served); /* with a lock of its own */
	if (r == 0)
		r = mp_manager_list(m, "table", &table);
	if (r == 0)
		r = mp_process_new(
			eater, MP_ARGS(mp_handle(served), mp_handle(table)), NULL, &child);
	if (r == 0)
		r = mp_process_start(child);
	if (r == 0)
		r = cook(served, table);
	if (r == 0)
		r = mp_process_join(child, MP_FOREVER);
	mp_process_close(child);
	mp_proxy_close(table);
	mp_proxy_close(served);
	return r;
}

int main(int argc, char **argv)
{
	mp_manager *m;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = run(m);
		mp_manager_close(m);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
