/* SPDX-License-Identifier: MIT */
/*
 * Messages and a file over TCP. A stream knows no messages: two short ones may come as one, a long
 * one in pieces. A connection keeps them apart, so that each receive is what one send was.
 */
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)64 * 1024)

static char content[300007];

static void fill(void)
{
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)(i * 2654435761u >> 13);
}

static int upload(int argc, const mp_obj *argv)
{
	mp_connection *server;
	mp_obj answer;

	if (argc != 1 || mp_connection_open(mp_obj_str(&argv[0]), NULL, 10000, &server) < 0)
		return 1;
	mp_connection_send(server, mp_str("one"), MP_FOREVER); /* at once, one behind the other */
	mp_connection_send(server, mp_str("two"), MP_FOREVER);

	fill();
	mp_connection_send(server,
		MP_DICT(mp_str("name"), mp_str("photo.raw"), mp_str("size"),
			mp_u64(sizeof(content))),
		MP_FOREVER);
	for (size_t at = 0; at < sizeof(content); at += BLOCK) {
		size_t n = sizeof(content) - at < BLOCK ? sizeof(content) - at : BLOCK;
		if (mp_connection_send_bytes(server, content + at, n, MP_FOREVER) < 0)
			return 1;
	}
	if (mp_connection_recv(server, MP_FOREVER, &answer) < 0)
		return 1;
	int r = strcmp(mp_obj_str(&answer), "stored");
	mp_obj_free(&answer);
	mp_connection_close(server);
	return r != 0;
}

static int receive(mp_connection *client)
{
	mp_obj message;
	size_t size, at = 0;
	int blocks = 0;

	for (int i = 0; i < 2; i++) {
		if (mp_connection_recv(client, 10000, &message) < 0)
			return -1;
		printf("a message: %s\n", mp_obj_str(&message));
		mp_obj_free(&message);
	}
	if (mp_connection_recv(client, 10000, &message) < 0)
		return -1;
	size = (size_t)mp_obj_i64(mp_obj_get(&message, mp_str("size")));
	printf("a file: %s, %zu bytes\n", mp_obj_str(mp_obj_get(&message, mp_str("name"))), size);
	mp_obj_free(&message);

	char *file = malloc(size);
	while (file && at < size) {
		size_t n;
		if (mp_connection_recv_bytes_into(client, file + at, size - at, 10000, &n) < 0)
			break;
		at += n;
		blocks++;
	}
	fill();
	bool same = file && at == sizeof(content) && memcmp(file, content, at) == 0;
	printf("%d blocks, %s\n", blocks, same ? "as it was sent" : "damaged");
	free(file);
	return mp_connection_send(client, mp_str(same ? "stored" : "damaged"), 10000);
}

int main(int argc, char **argv)
{
	mp_listener *listener;
	mp_connection *client;
	mp_process *child;

	mp_begin(&argc, &argv);
	if (mp_listener_new("tcp:127.0.0.1:0", NULL, &listener) < 0 ||
		mp_process_new(
			upload, MP_ARGS(mp_str(mp_listener_address(listener))), NULL, &child) < 0 ||
		mp_process_start(child) < 0 || mp_listener_accept(listener, 10000, &client) < 0 ||
		receive(client) < 0)
		return fprintf(stderr, "%s\n", mp_error_detail()), 1;
	mp_process_join(child, MP_FOREVER);
	mp_process_close(child);
	mp_connection_close(client);
	mp_listener_close(listener);
	return 0;
}
