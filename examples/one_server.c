/* SPDX-License-Identifier: MIT */
/* One server, one thread, many connections: it waits for all of them at once. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

#define CLIENTS 5
#define QUESTIONS 3

static int ask(int argc, const mp_obj *argv)
{
	mp_connection *server;
	int wrong = 0;

	if (argc != 1 || mp_connection_open(mp_obj_str(&argv[0]), NULL, 10000, &server) < 0)
		return 1;
	for (int64_t i = 1; i <= QUESTIONS; i++) {
		mp_obj square;
		if (mp_connection_send(server, mp_i64(i), 10000) < 0 ||
			mp_connection_recv(server, 10000, &square) < 0)
			return 1;
		wrong += mp_obj_i64(&square) != i * i;
		mp_obj_free(&square);
	}
	mp_connection_close(server);
	return wrong;
}

/* What came: 1 a question that was answered, 0 nothing yet, or the client's end. */
static int answer(mp_connection *client)
{
	mp_obj n;
	int r = mp_connection_recv(client, MP_NOWAIT, &n);

	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	r = mp_connection_send(client, mp_i64(mp_obj_i64(&n) * mp_obj_i64(&n)), 1000);
	mp_obj_free(&n);
	return r < 0 ? r : 1;
}

/* Item 0 is the listener, the others are the clients. */
static int serve(mp_listener *listener)
{
	mp_waitable items[1 + CLIENTS] = {MP_WAIT(listener)};
	int open = 0, left = 0, answers = 0;
	mp_connection *c;

	while (left < CLIENTS && mp_wait(items, 1 + (size_t)open, 10000) > 0) {
		for (int i = open; i >= 1; i--) {
			int r = items[i].ready ? answer(items[i].object) : 0;
			answers += r == 1;
			if (r >= 0)
				continue;
			mp_connection_close(items[i].object);
			items[i] = items[open--];
			left++;
		}
		if (items[0].ready && mp_listener_accept(listener, MP_NOWAIT, &c) == 0)
			items[++open] = MP_WAIT(c);
	}
	return answers;
}

int main(int argc, char **argv)
{
	mp_process *clients[CLIENTS];
	mp_listener *listener;
	int wrong = 0;

	mp_begin(&argc, &argv);
	if (mp_listener_new("tcp:127.0.0.1:0", NULL, &listener) < 0)
		return fprintf(stderr, "%s\n", mp_error_detail()), 1;
	mp_obj address = mp_str(mp_listener_address(listener));
	for (int i = 0; i < CLIENTS; i++) {
		if (mp_process_new(ask, MP_ARGS(address), NULL, &clients[i]) < 0 ||
			mp_process_start(clients[i]) < 0)
			return 1;
	}
	printf("%d clients, %d answers", CLIENTS, serve(listener));
	for (int i = 0; i < CLIENTS; i++) {
		int code = 1;
		mp_process_join(clients[i], MP_FOREVER);
		mp_process_exit_code(clients[i], &code);
		mp_process_close(clients[i]);
		wrong += code;
	}
	printf(", %d wrong\n", wrong);
	mp_listener_close(listener);
	return wrong;
}
