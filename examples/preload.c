/* SPDX-License-Identifier: MIT */
/* The fork server makes a table once; its children find it made. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int table[1000]; /* filled in the fork server and its children only */

static int make_table(int argc, const mp_obj *argv)
{
	int step = argc > 0 ? (int)mp_obj_i64(&argv[0]) : 0;

	if (step == 0)
		return mp_error_set(-EDOM, "a table of step 0 is of no use");
	for (int i = 0; i < 1000; i++)
		table[i] = i * step;
	return 0;
}

static int look_up(int argc, const mp_obj *argv)
{
	if (argc < 1)
		return 1;
	printf("entry: %d\n", table[mp_obj_i64(&argv[0])]);
	return 0;
}

static int run(mp_process *p)
{
	int r = mp_process_start(p);

	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	if (r < 0)
		printf("%s: %s\n", mp_strerror(r), mp_error_detail());
	fflush(stdout);
	return r;
}

int main(int argc, char **argv)
{
	mp_process *p = NULL;

	mp_begin(&argc, &argv);
	int r = mp_process_new(look_up, MP_ARGS(mp_i64(14)),
		MP_PROCESS_OPTIONS(.start_method = MP_START_FORKSERVER), &p);
	if (r == 0 && mp_forkserver_preload(make_table, MP_ARGS(mp_i64(0))) == 0)
		run(p);
	if (r == 0 && mp_forkserver_preload(make_table, MP_ARGS(mp_i64(3))) == 0)
		run(p);
	return mp_process_close(p);
}
