/* SPDX-License-Identifier: MIT */
/* Three children write down their part, meet at a barrier, and only then look at the whole. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int child(int argc, const mp_obj *argv)
{
	mp_proxy *meeting = argc == 2 ? mp_obj_proxy(&argv[0]) : NULL;
	mp_proxy *parts = argc == 2 ? mp_obj_proxy(&argv[1]) : NULL;
	size_t n = 0;

	int r = mp_list_append(parts, mp_str(mp_process_current_name()));
	if (r == 0)
		r = mp_served_barrier_wait(meeting, MP_FOREVER); /* who comes last gets 2 */
	if (r >= 0)
		r = mp_list_len(parts, &n);
	return r < 0 || n != 3;
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
	mp_proxy *meeting = NULL;
	mp_proxy *parts = NULL;

	int r = mp_manager_barrier(m, "meeting", 3, &meeting);
	if (r == 0)
		r = mp_manager_list(m, "parts", &parts);
	if (r == 0)
		r = run_children(3, child, MP_ARGS(mp_handle(meeting), mp_handle(parts)));
	if (r == 0)
		printf("each of the three saw all three parts\n");
	mp_proxy_close(parts);
	mp_proxy_close(meeting);
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
