/* SPDX-License-Identifier: MIT */
/* Three processes work in step until one of them is killed: the others learn it. */
#include <errno.h>
#include <mp.h>
#include <signal.h>
#include <stdio.h>

static int work(int argc, const mp_obj *argv)
{
	mp_barrier *barrier = mp_obj_barrier(&argv[0]);
	int rounds = (int)mp_obj_i64(&argv[1]);
	int r = 0;

	(void)argc;
	for (int i = 0; r >= 0 && i < rounds; i++)
		r = mp_barrier_wait(barrier, MP_FOREVER); /* all have done step i */
	return r == -EPIPE ? 3 : 0;
}

static int die(int argc, const mp_obj *argv)
{
	(void)argc;
	mp_barrier_wait(mp_obj_barrier(&argv[0]), MP_FOREVER);
	raise(SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	mp_barrier *barrier;
	mp_process *p[3];
	int code;

	mp_begin(&argc, &argv);
	if (mp_barrier_new(3, MP_BARRIER_OPTIONS(.name = "steps"), &barrier) < 0)
		return 1;
	mp_obj args = MP_ARGS(mp_handle(barrier), mp_i64(10));
	for (int i = 0; i < 3; i++) {
		if (mp_process_new(i < 2 ? work : die, args, NULL, &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return 1;
	}
	for (int i = 0; i < 3; i++) {
		mp_process_join(p[i], MP_FOREVER);
		mp_process_exit_code(p[i], &code);
		printf("process %d: %d\n", i, code);
		mp_process_close(p[i]);
	}
	printf("broken because one died: %s\n",
		mp_barrier_broken(barrier, NULL) == MP_BARRIER_DIED ? "yes" : "no");
	mp_barrier_close(barrier);
	return 0;
}
