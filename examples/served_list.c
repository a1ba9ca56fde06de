/* SPDX-License-Identifier: MIT */
/* A list and a namespace in a managerd: three workers write down what they did, in any order. */
#include <mp.h>
#include <stdio.h>

static int work(int argc, const mp_obj *argv)
{
	mp_proxy *log = argc == 3 ? mp_obj_proxy(&argv[0]) : NULL;
	mp_proxy *settings = argc == 3 ? mp_obj_proxy(&argv[1]) : NULL;
	mp_obj factor;

	int r = mp_namespace_get(settings, "factor", &factor);
	if (r == 0)
		r = mp_list_append(log, mp_i64(mp_obj_i64(&argv[2]) * mp_obj_i64(&factor)));
	return r < 0;
}

static int run_workers(mp_proxy *log, mp_proxy *settings)
{
	mp_process *workers[3];
	int r = mp_namespace_set(settings, "factor", mp_i64(100));

	for (int i = 0; i < 3 && r == 0; i++) {
		r = mp_process_new(work,
			MP_ARGS(mp_handle(log), mp_handle(settings), mp_i64(i + 1)), NULL,
			&workers[i]);
		if (r == 0)
			r = mp_process_start(workers[i]);
	}
	for (int i = 0; i < 3 && r == 0; i++) {
		r = mp_process_join(workers[i], MP_FOREVER);
		mp_process_close(workers[i]);
	}
	return r;
}

static int run(mp_manager *m)
{
	mp_proxy *log = NULL;
	mp_proxy *settings = NULL;
	mp_obj all;

	int r = mp_manager_list(m, "log", &log);
	if (r == 0)
		r = mp_manager_namespace(m, "settings", &settings);
	if (r == 0)
		r = run_workers(log, settings);
	if (r == 0)
		r = mp_list_sort(log, false);
	if (r == 0)
		r = mp_list_items(log, &all);
	for (size_t i = 0; r == 0 && i < mp_obj_len(&all); i++)
		printf("%lld\n", (long long)mp_obj_i64(mp_obj_at(&all, i)));
	if (r == 0)
		mp_obj_free(&all);
	mp_proxy_close(log);
	mp_proxy_close(settings);
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
