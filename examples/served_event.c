/* SPDX-License-Identifier: MIT */
/* Three children are ready and wait for one event; when it is set, all of them begin. */
#include <mp.h>
#include <stdio.h>

static int child(int argc, const mp_obj *argv)
{
	mp_proxy *start = argc == 2 ? mp_obj_proxy(&argv[0]) : NULL;
	mp_proxy *begun = argc == 2 ? mp_obj_proxy(&argv[1]) : NULL;

	int r = mp_served_event_wait(start, MP_FOREVER);
	if (r == 0)
		r = mp_counter_add(begun, 1, NULL);
	return r < 0;
}

static int start_them(mp_proxy *start, mp_proxy *begun, mp_process **children)
{
	int64_t n;
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++) {
		r = mp_process_new(
			child, MP_ARGS(mp_handle(start), mp_handle(begun)), NULL, &children[i]);
		if (r == 0)
			r = mp_process_start(children[i]);
	}
	if (r == 0)
		r = mp_counter_get(begun, &n);
	if (r == 0)
		printf("%lld have begun\n", (long long)n);
	if (r == 0)
		r = mp_served_event_set(start);
	for (int i = 0; i < 3 && r == 0; i++)
		r = mp_process_join(children[i], MP_FOREVER);
	if (r == 0)
		r = mp_counter_get(begun, &n);
	if (r == 0)
		printf("%lld have begun\n", (long long)n);
	return r;
}

static int run(mp_manager *m)
{
	mp_process *children[3] = {NULL};
	mp_proxy *start = NULL;
	mp_proxy *begun = NULL;

	int r = mp_manager_event(m, "start", &start);
	if (r == 0)
		r = mp_manager_counter(m, NULL, 0, &begun);
	if (r == 0)
		r = start_them(start, begun, children);
	for (int i = 0; i < 3; i++)
		mp_process_close(children[i]);
	mp_proxy_close(begun);
	mp_proxy_close(start);
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
