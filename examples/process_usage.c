/* SPDX-License-Identifier: MIT */
/* What a child has used: memory and time. */
#include <mp.h>
#include <stdio.h>
#include <time.h>

static int work(int argc, const mp_obj *argv)
{
	static volatile char memory[16 << 20];

	(void)argc;
	(void)argv;
	while (clock() < CLOCKS_PER_SEC / 16) {
		for (size_t i = 0; i < sizeof(memory); i += 4096)
			memory[i]++;
	}
	return 0;
}

int main(int argc, char **argv)
{
	mp_process *p = NULL;
	struct rusage u;

	mp_begin(&argc, &argv);
	int r = mp_process_new(work, mp_nil(), NULL, &p);
	if (r == 0)
		r = mp_process_start(p);
	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	if (r == 0)
		r = mp_process_usage(p, &u);
	if (r == 0) {
		double seconds = (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 +
				 (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6;
		printf("at least 16 MiB at once: %d\n", u.ru_maxrss >= 16 << 10);
		printf("at least 0.05 s of processor time: %d\n", seconds >= 0.05);
	} else {
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	}
	mp_process_close(p);
	return r < 0;
}
