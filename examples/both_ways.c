/* SPDX-License-Identifier: MIT */
/* A pipe used both ways: each side sends and receives over its one end. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

/* The child guesses a number, and is told where to look. */
static int guess(int argc, const mp_obj *argv)
{
	mp_connection *parent = argc == 1 ? mp_obj_connection(&argv[0]) : NULL;
	int64_t low = 1, high = 100;
	mp_obj hint;

	while (low <= high) {
		int64_t middle = (low + high) / 2;
		if (mp_connection_send(parent, mp_i64(middle), MP_FOREVER) < 0 ||
			mp_connection_recv(parent, MP_FOREVER, &hint) < 0)
			return 1;
		int64_t where = mp_obj_i64(&hint);
		mp_obj_free(&hint);
		if (where == 0)
			return 0;
		if (where > 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return 1;
}

int main(int argc, char **argv)
{
	const int64_t secret = 37;
	mp_connection *here;
	mp_connection *there;
	mp_process *child;
	mp_obj n;
	int r;

	mp_begin(&argc, &argv);
	if (mp_pipe(NULL, &here, &there) < 0 ||
		mp_process_new(guess, MP_ARGS(mp_handle(there)), NULL, &child) < 0 ||
		mp_process_start(child) < 0)
		return 1;
	mp_connection_close(there); /* the child has it: its end is the end of the pipe */
	while ((r = mp_connection_recv(here, MP_FOREVER, &n)) == 0) {
		int64_t where = secret - mp_obj_i64(&n);
		printf("is it %d? %s\n", (int)mp_obj_i64(&n),
			where == 0  ? "yes"
			: where > 0 ? "higher"
				    : "lower");
		mp_obj_free(&n);
		mp_connection_send(here, mp_i64(where), MP_FOREVER);
	}
	printf("%s\n", r == -EPIPE ? "the other end is closed" : mp_error_detail());
	mp_process_join(child, MP_FOREVER);
	mp_process_close(child);
	mp_connection_close(here);
	return 0;
}
