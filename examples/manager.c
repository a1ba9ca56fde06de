/* SPDX-License-Identifier: MIT */
/* A managerd of our own; a child finds the dict by its handle, and what it wrote is there. */
#include <mp.h>
#include <stdio.h>

static int count(int argc, const mp_obj *argv)
{
	mp_dict *visits = argc == 1 ? mp_obj_dict(&argv[0]) : NULL;

	return mp_dict_set(visits, mp_str("20210322.log"), mp_i64(1632)) == 0 ? 0 : 1;
}

static int run(mp_manager *m)
{
	mp_process *child;
	mp_dict *visits;
	mp_obj hits;

	int r = mp_manager_dict(m, "visits", &visits);
	if (r < 0)
		return r;
	r = mp_process_new(count, MP_ARGS(mp_handle(visits)), NULL, &child);
	if (r == 0) {
		r = mp_process_start(child);
		if (r == 0)
			r = mp_process_join(child, MP_FOREVER);
		mp_process_close(child);
	}
	if (r == 0)
		r = mp_dict_get(visits, mp_str("20210322.log"), &hits);
	if (r == 0) {
		printf("%lld visits\n", (long long)mp_obj_i64(&hits));
		mp_obj_free(&hits);
	}
	mp_dict_close(visits);
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
