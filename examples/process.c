/* SPDX-License-Identifier: MIT */
/* Three children, each with its own arguments. */
#include <mp.h>
#include <stdio.h>

static int greet(int argc, const mp_obj *argv)
{
	if (argc != 2)
		return 1;
	printf("hello %s from child %lld\n", mp_obj_str(&argv[0]), (long long)mp_obj_i64(&argv[1]));
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const planets[] = {"Mercury", "Venus", "Earth"};

	mp_begin(&argc, &argv);
	for (int i = 0; i < 3; i++) {
		mp_process *p = NULL;
		int r = mp_process_new(greet, MP_ARGS(mp_str(planets[i]), mp_i64(i)),
			MP_PROCESS_OPTIONS(.name = "greeter"), &p);
		if (r == 0)
			r = mp_process_start(p);
		if (r == 0)
			r = mp_process_join(p, MP_FOREVER); /* one after the other, for the order */
		if (r < 0)
			fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
		mp_process_close(p);
	}
	return 0;
}
