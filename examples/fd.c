/* SPDX-License-Identifier: MIT */
/* Hands the writing end of a pipe to a child as one of its arguments. */
#include <mp.h>
#include <stdio.h>
#include <unistd.h>

static int greet(int argc, const mp_obj *argv)
{
	FILE *out = argc == 1 ? fdopen(mp_obj_take_fd(&argv[0]), "w") : NULL;

	if (!out)
		return 1;
	fprintf(out, "hello from the child\n");
	return fclose(out) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	mp_process *child;
	char text[64];
	int ends[2];
	int code = 1;

	mp_begin(&argc, &argv);
	if (pipe(ends) < 0)
		return 1;
	int r = mp_process_new(greet, MP_ARGS(mp_fd(ends[1])), NULL, &child);
	if (r == 0)
		r = mp_process_start(child);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
		return 1;
	}
	close(ends[1]);
	ssize_t n = read(ends[0], text, sizeof(text));
	if (n > 0)
		fwrite(text, 1, (size_t)n, stdout);
	r = mp_process_join(child, MP_FOREVER);
	if (r == 0)
		code = 0;
	mp_process_close(child);
	close(ends[0]);
	return code;
}
