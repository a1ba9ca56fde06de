/* SPDX-License-Identifier: MIT */
/*
 * A chat server: a pool of three, and each connection is a task. Five customers come at once; three
 * are talked to, the others wait until somebody is free.
 */
#include <ctype.h>
#include <mp.h>
#include <stdio.h>
#include <string.h>

#define WORKERS 3
#define CUSTOMERS 5

/* In a worker: answer in capitals until the customer leaves. The result: how often. */
static int talk(int argc, const mp_obj *argv, mp_obj *ret)
{
	mp_connection *customer = argc == 1 ? mp_obj_connection(&argv[0]) : NULL;
	int64_t answers = 0;
	char text[64];
	size_t n;

	while (mp_connection_recv_bytes_into(customer, text, sizeof(text), MP_FOREVER, &n) == 0) {
		for (size_t i = 0; i < n; i++)
			text[i] = (char)toupper((unsigned char)text[i]);
		if (mp_connection_send_bytes(customer, text, n, 10000) == 0)
			answers++;
	}
	*ret = mp_i64(answers);
	return 0;
}

static int chat(int argc, const mp_obj *argv)
{
	static const char *const lines[] = {"hello", "is anybody there?", "bye"};
	mp_connection *server;
	char text[64];
	size_t n;

	if (argc != 1 || mp_connection_open(mp_obj_str(&argv[0]), NULL, 10000, &server) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		if (mp_connection_send_bytes(server, lines[i], strlen(lines[i]), 10000) < 0 ||
			mp_connection_recv_bytes_into(server, text, sizeof(text), MP_FOREVER, &n) <
				0)
			return 1;
	}
	mp_connection_close(server);
	return n == 3 && memcmp(text, "BYE", 3) == 0 ? 0 : 1;
}

static int serve(mp_listener *listener, mp_pool *pool, mp_future **talks)
{
	for (int i = 0; i < CUSTOMERS; i++) {
		mp_connection *c;
		if (mp_listener_accept(listener, 10000, &c) < 0 ||
			mp_pool_submit(pool, talk, MP_ARGS(mp_handle(c)), &talks[i]) < 0)
			return -1;
		mp_connection_close(c); /* the worker has it now */
	}
	return mp_future_wait(talks, CUSTOMERS, MP_WAIT_ALL, MP_FOREVER);
}

int main(int argc, char **argv)
{
	mp_process *customers[CUSTOMERS];
	mp_future *talks[CUSTOMERS];
	mp_listener *listener;
	mp_pool *pool;

	mp_begin(&argc, &argv);
	if (mp_pool_new(MP_POOL_OPTIONS(.workers = WORKERS), &pool) < 0 ||
		mp_listener_new("tcp:127.0.0.1:0", NULL, &listener) < 0)
		return 1;
	mp_obj address = mp_str(mp_listener_address(listener));
	for (int i = 0; i < CUSTOMERS; i++) {
		if (mp_process_new(chat, MP_ARGS(address), NULL, &customers[i]) < 0 ||
			mp_process_start(customers[i]) < 0)
			return 1;
	}
	if (serve(listener, pool, talks) < 0)
		return fprintf(stderr, "%s\n", mp_error_detail()), 1;
	for (int i = 0; i < CUSTOMERS; i++) {
		mp_obj answers;
		int code = 1;
		mp_process_join(customers[i], MP_FOREVER);
		mp_process_exit_code(customers[i], &code);
		mp_process_close(customers[i]);
		if (mp_future_result(talks[i], MP_FOREVER, &answers) < 0)
			return 1;
		printf("talk %d: %d answers, customer %s\n", i + 1, (int)mp_obj_i64(&answers),
			code == 0 ? "content" : "angry");
		mp_obj_free(&answers);
		mp_future_close(talks[i]);
	}
	mp_listener_close(listener);
	return mp_pool_close(pool);
}
