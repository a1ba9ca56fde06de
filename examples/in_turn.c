/* SPDX-License-Identifier: MIT */
/* Three processes share the terminal: under the lock the lines of one stay together. */
#include <mp.h>
#include <stdio.h>

static int print_block(int argc, const mp_obj *argv)
{
	mp_lock *terminal = argc == 1 ? mp_obj_lock(&argv[0]) : NULL;

	if (mp_lock_acquire(terminal, MP_FOREVER) < 0)
		return 1;
	for (int line = 1; line <= 3; line++) {
		printf("%d of 3\n", line);
		fflush(stdout);
	}
	return mp_lock_release(terminal) < 0;
}

int main(int argc, char **argv)
{
	mp_process *p[3];
	mp_lock *terminal;

	mp_begin(&argc, &argv);
	if (mp_lock_new(NULL, &terminal) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		if (mp_process_new(print_block, MP_ARGS(mp_handle(terminal)), NULL, &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return 1;
	}
	for (int i = 0; i < 3; i++) {
		mp_process_join(p[i], MP_FOREVER);
		mp_process_close(p[i]);
	}
	mp_lock_close(terminal);
	return 0;
}
