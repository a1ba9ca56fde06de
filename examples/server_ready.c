/* SPDX-License-Identifier: MIT */
/* Connect once the server is ready: wait for its event, some attempts of limited time. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>
#include <time.h>

#define ADDRESS "unix:@libmp-example-server-ready"

static int serve(int argc, const mp_obj *argv)
{
	mp_event *ready = argc == 1 ? mp_obj_event(&argv[0]) : NULL;
	struct timespec startup = {.tv_nsec = 120 * 1000 * 1000};
	mp_listener *listener;
	mp_connection *client;

	nanosleep(&startup, NULL); /* it reads its configuration */
	if (mp_listener_new(ADDRESS, NULL, &listener) < 0)
		return 1;
	mp_event_set(ready);
	if (mp_listener_accept(listener, MP_FOREVER, &client) < 0)
		return 1;
	mp_connection_send(client, mp_str("welcome"), MP_FOREVER);
	mp_connection_close(client);
	mp_listener_close(listener);
	return 0;
}

static bool is_ready(mp_event *ready)
{
	for (int attempt = 1; attempt <= 100; attempt++) {
		if (mp_event_wait(ready, 100) == 0)
			return true;
		if (attempt == 1)
			printf("not ready yet\n");
	}
	return false;
}

int main(int argc, char **argv)
{
	mp_connection *server;
	mp_process *p;
	mp_event *ready;
	mp_obj word;

	mp_begin(&argc, &argv);
	if (mp_event_new(NULL, &ready) < 0 ||
		mp_process_new(serve, MP_ARGS(mp_handle(ready)), NULL, &p) < 0 ||
		mp_process_start(p) < 0)
		return 1;
	if (!is_ready(ready) || mp_connection_open(ADDRESS, NULL, 1000, &server) < 0 ||
		mp_connection_recv(server, MP_FOREVER, &word) < 0)
		return 1;
	printf("connected: %s\n", mp_obj_str(&word));
	mp_obj_free(&word);
	mp_connection_close(server);
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	mp_event_close(ready);
	return 0;
}
