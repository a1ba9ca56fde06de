/* SPDX-License-Identifier: MIT */
/* A child in a fresh execution of this program: it knows nothing but its arguments. */
#include <mp.h>
#include <stdio.h>

static int counter;

static int look(int argc, const mp_obj *argv)
{
	printf("child: counter %d, argument %lld\n", counter,
		argc > 0 ? (long long)mp_obj_i64(&argv[0]) : 0);
	return 0;
}

int main(int argc, char **argv)
{
	mp_process *p = NULL;

	/* In the child this does not return. */
	int r = mp_begin(&argc, &argv);

	counter = 5;
	if (r == 0)
		r = mp_process_new(look, MP_ARGS(mp_i64(counter)),
			MP_PROCESS_OPTIONS(.start_method = MP_START_SPAWN), &p);
	if (r == 0)
		r = mp_process_start(p);
	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_process_close(p);
	return r < 0;
}
