/* SPDX-License-Identifier: MIT */
/* A process that keeps state of its own, and answers over a pipe: what a class is for elsewhere. */
#include <mp.h>
#include <stdio.h>

/* Adds up what it gets, until the other end is closed. */
static int accumulator(int argc, const mp_obj *argv)
{
	mp_connection *parent = argc == 1 ? mp_obj_connection(&argv[0]) : NULL;
	int64_t total = 0;
	mp_obj n;

	while (mp_connection_recv(parent, MP_FOREVER, &n) == 0) {
		total += mp_obj_i64(&n);
		mp_obj_free(&n);
		mp_connection_send(parent, mp_i64(total), MP_FOREVER);
	}
	return 0;
}

int main(int argc, char **argv)
{
	mp_connection *here[2];
	mp_process *p[2];

	mp_begin(&argc, &argv);
	for (int i = 0; i < 2; i++) {
		mp_connection *there;
		/* Spawned, it has its own end only; a forked one would keep ours open, too. */
		if (mp_pipe(NULL, &here[i], &there) < 0 ||
			mp_process_new(accumulator, MP_ARGS(mp_handle(there)),
				MP_PROCESS_OPTIONS(.start_method = MP_START_SPAWN), &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return 1;
		mp_connection_close(there);
	}
	for (int n = 1; n <= 3; n++) {
		for (int i = 0; i < 2; i++) {
			mp_obj total;
			mp_connection_send(here[i], mp_i64(n * (i ? 100 : 1)), MP_FOREVER);
			if (mp_connection_recv(here[i], MP_FOREVER, &total) < 0)
				return 1;
			printf("process %d has %lld\n", i, (long long)mp_obj_i64(&total));
			mp_obj_free(&total);
		}
	}
	for (int i = 0; i < 2; i++)
		mp_connection_close(here[i]); /* the end of their work */
	for (int i = 0; i < 2; i++) {
		mp_process_join(p[i], MP_FOREVER);
		mp_process_close(p[i]);
	}
	return 0;
}
