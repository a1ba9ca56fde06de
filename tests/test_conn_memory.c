/* SPDX-License-Identifier: MIT */
/* Every allocation of a call on a connection fails once: -ENOMEM, and the connection goes on. */
#include <config.h>

#include "tests/support/conns.h"
#include "tests/support/starve.h"

#include <mp.h>

T_SUITE(conn_memory);

static int receive_long(mp_connection *c)
{
	mp_obj got;

	int r = mp_connection_recv(c, T_TIMEOUT_MS, &got);
	if (r == 0) {
		cr_assert_eq(mp_obj_len(&got), 100000);
		mp_obj_free(&got);
	}
	return r;
}

static int receive_bytes(mp_connection *c)
{
	void *data;
	size_t size;

	int r = mp_connection_recv_bytes(c, T_TIMEOUT_MS, &data, &size);
	if (r == 0) {
		cr_assert_eq(size, 100000);
		free(data);
	}
	return r;
}

/* It stays until there is memory; that may be a descriptor more meanwhile. */
static void until_it_is_there(int (*receive)(mp_connection *), mp_connection *c)
{
	int r = -ENOMEM;
	int n;

	for (n = 0; r == -ENOMEM; n++) {
		t_starve(n);
		r = receive(c);
		t_starve(-1);
	}
	T_OK(r);
	cr_assert_gt(n, 1);
}

EACH_SOCKET(conn_memory, each_failure)
{
	struct conn_pair p = conn_pair(kind, NULL);
	static char data[100000];

	T_EACH_FAILS(mp_connection_send(p.a, mp_bytes(data, sizeof(data)), MP_NOWAIT), (void)0);
	until_it_is_there(receive_long, p.b);
	T_OK(mp_connection_send_bytes(p.a, data, sizeof(data), MP_NOWAIT));
	until_it_is_there(receive_bytes, p.b);
	T_OK(mp_connection_send_bytes(p.a, data, sizeof(data), MP_NOWAIT));
	until_it_is_there(receive_long, p.b);
	conn_close(&p);
}

Test(conn_memory, new_ones)
{
	struct conn_pair p;
	int ends[2];

	T_EACH_FAILS(mp_connection_pair(NULL, &p.a, &p.b), conn_close(&p));
	T_OK(mp__socket_pair(SOCK_STREAM, ends));
	T_EACH_FAILS(mp_connection_from_fd(ends[0], NULL, &p.a), mp_connection_close(p.a));
	close(ends[1]);
}

Test(conn_memory, listeners)
{
	mp_listener *l;
	mp_connection *a, *b;

	T_EACH_FAILS(mp_listener_new(NULL, NULL, &l), (void)0);
	T_EACH_FAILS(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a), (void)0);
	/* Without memory for its connection a guest is lost. */
	t_starve(0);
	int r = mp_listener_accept(l, T_TIMEOUT_MS, &b);
	t_starve(-1);
	T_RESULT(r, -ENOMEM);
	mp_connection_close(a);
	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &b));
	mp_connection_close(a);
	mp_connection_close(b);
	mp_listener_close(l);
}

/* A message with descriptors cannot be read twice: it is lost, and nothing leaks. */
Test(conn_memory, descriptors)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	int r = -ENOMEM;
	mp_obj items[10];
	mp_obj got;

	for (int i = 0; i < 10; i++)
		items[i] = mp_fd(0);
	T_EACH_FAILS(mp_connection_send(p.a, mp_list_of(items, 10), MP_NOWAIT), (void)0);
	T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &got));
	mp_obj_free(&got);
	for (int n = 0; r == -ENOMEM; n++) {
		T_OK(mp_connection_send(p.a, mp_list_of(items, 10), MP_NOWAIT));
		t_starve(n);
		r = mp_connection_recv(p.b, T_TIMEOUT_MS, &got);
		t_starve(-1);
	}
	T_OK(r);
	mp_obj_free(&got);
	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &got), -EAGAIN);
	conn_close(&p);
}
