/* SPDX-License-Identifier: MIT */
/* Connect once the server is ready: wait for its event, some attempts of limited time. The server
 * starts slowly, for the sake of the example: it waits for its configuration. */
#include <mp.h>
#include <stdio.h>
#include <unistd.h>

static int serve(int argc, const mp_obj *argv)
{
	mp_event *configured = argc == 3 ? mp_obj_event(&argv[0]) : NULL;
	mp_event *ready = argc == 3 ? mp_obj_event(&argv[1]) : NULL;
	mp_listener *listener;
	mp_connection *client;

	if (mp_event_wait(configured, MP_FOREVER) < 0 ||
		mp_listener_new(mp_obj_str(&argv[2]), NULL, &listener) < 0)
		return 1;
	mp_event_set(ready);
	if (mp_listener_accept(listener, MP_FOREVER, &client) < 0)
		return 1;
	mp_connection_send(client, mp_str("welcome"), MP_FOREVER);
	mp_connection_close(client);
	mp_listener_close(listener);
	return 0;
}

static bool is_ready(mp_event *ready, mp_event *configured)
{
	for (int attempt = 1; attempt <= 100; attempt++) {
		if (mp_event_wait(ready, 100) == 0)
			return true;
		if (attempt == 1)
			printf("not ready yet\n");
		mp_event_set(configured);
	}
	return false;
}

int main(int argc, char **argv)
{
	mp_connection *server;
	mp_process *p;
	char address[64];
	mp_event *configured, *ready;
	mp_obj word;

	mp_begin(&argc, &argv);
	snprintf(address, sizeof(address), "unix:@mp-example-%d", (int)getpid());
	if (mp_event_new(NULL, &configured) < 0 || mp_event_new(NULL, &ready) < 0 ||
		mp_process_new(serve,
			MP_ARGS(mp_handle(configured), mp_handle(ready), mp_str(address)), NULL,
			&p) < 0 ||
		mp_process_start(p) < 0)
		return 1;
	if (!is_ready(ready, configured) || mp_connection_open(address, NULL, 10000, &server) < 0 ||
		mp_connection_recv(server, MP_FOREVER, &word) < 0)
		return 1;
	printf("connected: %s\n", mp_obj_str(&word));
	mp_obj_free(&word);
	mp_connection_close(server);
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	mp_event_close(ready);
	mp_event_close(configured);
	return 0;
}
