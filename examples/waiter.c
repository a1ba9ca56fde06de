/* SPDX-License-Identifier: MIT */
/* An echo server for many clients, in one thread: what it waits for is kept in a set. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

#define CLIENTS 20

static int client(int argc, const mp_obj *argv)
{
	mp_connection *c;
	mp_obj answer;

	if (argc != 2 || mp_connection_open(mp_obj_str(&argv[0]), NULL, 10000, &c) < 0 ||
		mp_connection_send(c, argv[1], 10000) < 0 ||
		mp_connection_recv(c, 10000, &answer) < 0)
		return 1;
	int r = !mp_obj_equal(&answer, &argv[1]);
	mp_obj_free(&answer);
	mp_connection_close(c);
	return r;
}

/* 1: the client has left. */
static int echo(mp_waiter *waiter, mp_connection *c)
{
	mp_obj message;
	int r = mp_connection_recv(c, MP_NOWAIT, &message);

	if (r == 0) {
		r = mp_connection_send(c, message, 1000);
		mp_obj_free(&message);
	}
	if (r == 0 || r == -EAGAIN)
		return 0;
	mp_waiter_remove(waiter, MP_WAIT(c));
	mp_connection_close(c);
	return 1;
}

static int serve(mp_waiter *waiter, mp_listener *listener)
{
	mp_ready ready[8];
	mp_connection *c;
	int left = 0;

	while (left < CLIENTS) {
		int n = mp_waiter_wait(waiter, ready, 8, 10000);
		if (n <= 0)
			break;
		for (int i = 0; i < n; i++) {
			if (ready[i].data)
				left += echo(waiter, ready[i].data);
			else if (mp_listener_accept(listener, MP_NOWAIT, &c) == 0 &&
				 mp_waiter_add(waiter, MP_WAIT(c), c) < 0)
				return left;
		}
	}
	return left;
}

int main(int argc, char **argv)
{
	mp_process *children[CLIENTS];
	mp_listener *listener;
	mp_waiter *waiter;

	mp_begin(&argc, &argv);
	if (mp_listener_new(NULL, NULL, &listener) < 0 || mp_waiter_new(&waiter) < 0 ||
		mp_waiter_add(waiter, MP_WAIT(listener), NULL) < 0)
		return 1;
	for (int i = 0; i < CLIENTS; i++)
		if (mp_process_new(client,
			    MP_ARGS(mp_str(mp_listener_address(listener)), mp_i64(i)), NULL,
			    &children[i]) < 0 ||
			mp_process_start(children[i]) < 0)
			return 1;
	printf("%d clients served\n", serve(waiter, listener));
	for (int i = 0; i < CLIENTS; i++) {
		mp_process_join(children[i], MP_FOREVER);
		mp_process_close(children[i]);
	}
	mp_waiter_close(waiter);
	mp_listener_close(listener);
	return 0;
}
