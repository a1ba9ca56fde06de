/* SPDX-License-Identifier: MIT */
/* A child that never ends by itself is asked to, and it is too late for a second signal. */
#include <mp.h>
#include <stdio.h>
#include <unistd.h>

static int run_forever(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	while (pause() < 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	mp_process *p = NULL;
	int code;

	mp_begin(&argc, &argv);
	int r = mp_process_new(run_forever, mp_nil(), MP_PROCESS_OPTIONS(.daemon = true), &p);
	if (r == 0)
		r = mp_process_start(p);
	if (r == 0)
		r = mp_process_join(p, MP_NOWAIT);
	printf("join: %s\n", mp_strerror(r));
	r = mp_process_terminate(p);
	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	if (r == 0 && mp_process_exit_code(p, &code) == 0)
		printf("exit code: %d\n", code);
	printf("kill: %s\n", mp_strerror(mp_process_kill(p)));
	return mp_process_close(p);
}
