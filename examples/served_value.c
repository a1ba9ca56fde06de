/* SPDX-License-Identifier: MIT */
/* A counter that four children raise, and a value that one of them replaces. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int child(int argc, const mp_obj *argv)
{
	mp_proxy *visits = argc == 2 ? mp_obj_proxy(&argv[0]) : NULL;
	mp_proxy *latest = argc == 2 ? mp_obj_proxy(&argv[1]) : NULL;
	int64_t n = 0;
	int r = 0;

	for (int i = 0; i < 25 && r == 0; i++)
		r = mp_counter_add(visits, 1, &n); /* n is another one for everybody */
	if (r == 0 && n == 100)
		r = mp_served_value_set(latest, MP_LIST(mp_str("visitor"), mp_i64(n)));
	return r < 0;
}

/* Start n children with these arguments, and wait until all have ended well. */
static int run_children(int n, mp_target *target, mp_obj args)
{
	mp_process *children[8];
	int code = 0;
	int r = 0;
	int started = 0;

	while (r == 0 && started < n) {
		r = mp_process_new(target, args, NULL, &children[started]);
		if (r == 0)
			r = mp_process_start(children[started++]);
	}
	for (int i = 0; i < started; i++) {
		int code_of_one = 1;
		mp_process_join(children[i], MP_FOREVER);
		mp_process_exit_code(children[i], &code_of_one);
		code |= code_of_one;
		mp_process_close(children[i]);
	}
	return r == 0 && code != 0 ? mp_error_set(-ECHILD, "a child has failed") : r;
}

static int run(mp_manager *m)
{
	mp_proxy *visits = NULL;
	mp_proxy *latest = NULL;
	mp_obj content;
	char text[64];
	int64_t n = 0;

	int r = mp_manager_counter(m, "visits", 0, &visits);
	if (r == 0)
		r = mp_manager_value(m, "latest", mp_nil(), &latest);
	if (r == 0)
		r = run_children(4, child, MP_ARGS(mp_handle(visits), mp_handle(latest)));
	if (r == 0)
		r = mp_counter_get(visits, &n);
	if (r == 0)
		r = mp_served_value_exchange(latest, mp_nil(), &content);
	if (r == 0) {
		mp_obj_format(&content, text, sizeof(text));
		printf("%lld visits, the latest: %s\n", (long long)n, text);
		mp_obj_free(&content);
	}
	mp_proxy_close(latest);
	mp_proxy_close(visits);
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
