/* SPDX-License-Identifier: MIT */
/* A child sends a file: its name, blocks of odd sizes, and the end. Nothing sticks together. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>

static int send_file(int argc, const mp_obj *argv)
{
	mp_connection *out = argc == 1 ? mp_obj_connection(&argv[0]) : NULL;
	static const char content[] = "one line\nand another one\n";
	int r = mp_connection_send(out, MP_DICT(mp_str("name"), mp_str("notes.txt")), MP_FOREVER);

	for (size_t at = 0, n; r == 0 && at < sizeof(content) - 1; at += n) {
		n = at % 7 + 5 < sizeof(content) - 1 - at ? at % 7 + 5 : sizeof(content) - 1 - at;
		r = mp_connection_send_bytes(out, content + at, n, MP_FOREVER);
	}
	return r == 0 ? 0 : 1;
}

static int receive_file(mp_connection *in)
{
	mp_obj head;
	void *block;
	size_t size;
	int r = mp_connection_recv(in, MP_FOREVER, &head);

	if (r < 0)
		return r;
	printf("%s:\n", mp_obj_str(mp_obj_get(&head, mp_str("name"))));
	mp_obj_free(&head);
	while ((r = mp_connection_recv_bytes(in, MP_FOREVER, &block, &size)) == 0) {
		fwrite(block, 1, size, stdout);
		free(block);
	}
	return r == -EPIPE ? 0 : r; /* the end: nobody can send any more */
}

int main(int argc, char **argv)
{
	mp_connection *in, *out;
	mp_process *child;

	mp_begin(&argc, &argv);
	if (mp_connection_pair(MP_CONNECTION_OPTIONS(.direction = MP_CONNECTION_READ), &in, &out) <
		0)
		return 1;
	int r = mp_process_new(send_file, MP_ARGS(mp_handle(out)), NULL, &child);
	if (r == 0)
		r = mp_process_start(child);
	mp_connection_close(out); /* ours: the child has its own, and is the last to have one */
	if (r == 0)
		r = receive_file(in);
	if (r == 0)
		r = mp_process_join(child, MP_FOREVER);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_process_close(child);
	mp_connection_close(in);
	return r < 0;
}
