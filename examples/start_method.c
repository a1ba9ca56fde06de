/* SPDX-License-Identifier: MIT */
/* The start method as an option of the program: start_method [fork|spawn|forkserver]. */
#include <mp.h>
#include <stdio.h>

static int say_method(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	printf("a child by %s\n", mp_start_method_name(mp_start_method_get()));
	return 0;
}

int main(int argc, char **argv)
{
	mp_process *p = NULL;

	mp_begin(&argc, &argv);
	int r = mp_start_method_parse(argc > 1 ? argv[1] : "forkserver");
	if (r >= 0)
		r = mp_start_method_set(r);
	if (r == 0)
		r = mp_process_new(say_method, mp_nil(), NULL, &p);
	if (r == 0)
		r = mp_process_start(p);
	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_process_close(p);
	return r < 0;
}
