/* SPDX-License-Identifier: MIT */
/* An echo server for many clients: whoever knows the key is served, all at once. */
#include <mp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CLIENTS 3
#define KEY .authkey = "open sesame", .authkey_size = strlen("open sesame")

static int client(int argc, const mp_obj *argv)
{
	mp_connection *c;
	mp_obj answer;

	if (argc != 2 ||
		mp_connection_open(mp_obj_str(&argv[0]), MP_CONNECTION_OPTIONS(KEY), 10000, &c) < 0)
		return 1;
	int r = mp_connection_send(c, argv[1], 10000);
	if (r == 0)
		r = mp_connection_recv(c, 10000, &answer);
	if (r == 0) {
		r = mp_obj_equal(&answer, &argv[1]) ? 0 : -1;
		mp_obj_free(&answer);
	}
	mp_connection_close(c);
	return r < 0;
}

/* Send back what comes, until the client leaves. */
static int echo(mp_connection *c)
{
	mp_obj message;
	int r = mp_connection_recv(c, MP_NOWAIT, &message);

	if (r == 0) {
		r = mp_connection_send(c, message, 1000);
		mp_obj_free(&message);
	}
	return r;
}

static void serve(mp_listener *listener)
{
	struct pollfd polls[1 + CLIENTS] = {{.fd = mp_listener_fileno(listener), .events = POLLIN}};
	mp_connection *connections[1 + CLIENTS];
	int open = 0, left = 0;

	while (left < CLIENTS && poll(polls, 1 + (nfds_t)open, -1) > 0) {
		for (int i = open; i >= 1; i--) {
			if (!polls[i].revents || echo(connections[i]) == 0)
				continue;
			mp_connection_close(connections[i]);
			connections[i] = connections[open];
			polls[i] = polls[open--];
			left++;
		}
		if (polls[0].revents &&
			mp_listener_accept(listener, MP_NOWAIT, &connections[open + 1]) == 0) {
			open++;
			polls[open].fd = mp_connection_fileno(connections[open]);
			polls[open].events = POLLIN;
		}
	}
}

int main(int argc, char **argv)
{
	mp_process *children[CLIENTS];
	mp_listener *listener;
	int failed = 0;

	mp_begin(&argc, &argv);
	if (mp_listener_new(NULL, MP_LISTENER_OPTIONS(KEY), &listener) < 0) {
		fprintf(stderr, "%s\n", mp_error_detail());
		return 1;
	}
	mp_obj address = mp_str(mp_listener_address(listener));
	for (int i = 0; i < CLIENTS; i++) {
		if (mp_process_new(client, MP_ARGS(address, mp_i64(i)), NULL, &children[i]) < 0 ||
			mp_process_start(children[i]) < 0)
			return 1;
	}
	serve(listener);
	for (int i = 0; i < CLIENTS; i++) {
		int code = 1;
		mp_process_join(children[i], MP_FOREVER);
		mp_process_exit_code(children[i], &code);
		mp_process_close(children[i]);
		failed += code != 0;
	}
	mp_listener_close(listener);
	printf("%d clients, %d failed\n", CLIENTS, failed);
	return failed > 0;
}
