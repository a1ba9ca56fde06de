/* SPDX-License-Identifier: MIT */
/* What fails below the calls on pipes, connections and listeners. */
#include <config.h>

#include "tests/support/faults.h"

#include <mp.h>

T_SUITE(faults_conn);

#define PAGES "mp_connection mp_obj_encode"

static mp_connection *here;
static mp_connection *there;

static void both_closed(void)
{
	T_CHECK(mp_connection_close(here) == 0);
	T_CHECK(mp_connection_close(there) == 0);
}

static int pair_new(void)
{
	return mp_connection_pair(NULL, &here, &there);
}

FAULTS(faults_conn, pair, PAGES, NULL, pair_new, both_closed)

static int pipe_new(void)
{
	return mp_pipe(NULL, &here, &there);
}

FAULTS(faults_conn, pipe, PAGES, NULL, pipe_new, both_closed)

static void pair_made(void)
{
	T_CHECK(pair_new() == 0);
}

static void pipe_made(void)
{
	T_CHECK(pipe_new() == 0);
}

/* --- messages ---------------------------------------------------------------------------------- */

static int send_value(void)
{
	return mp_connection_send(here, MP_LIST(mp_str("a message"), mp_i64(7)), T_TIMEOUT_MS);
}

FAULTS(faults_conn, send, PAGES, pair_made, send_value, both_closed)
FAULTS(faults_conn, pipe_send, PAGES, pipe_made, send_value, both_closed)

static int send_descriptor(void)
{
	return mp_connection_send(here, MP_LIST(mp_fd(STDERR_FILENO)), T_TIMEOUT_MS);
}

FAULTS(faults_conn, send_descriptor, PAGES, pair_made, send_descriptor, both_closed)
FAULTS(faults_conn, pipe_send_descriptor, PAGES, pipe_made, send_descriptor, both_closed)

static char large[1 << 20];

static int send_large(void)
{
	return mp_connection_send_bytes(here, large, sizeof(large), T_TIMEOUT_MS);
}

FAULTS(faults_conn, send_large, PAGES, pair_made, send_large, both_closed)
FAULTS(faults_conn, pipe_send_large, PAGES, pipe_made, send_large, both_closed)

static int recv_value(void)
{
	mp_obj value;
	int code = mp_connection_recv(there, 0, &value);

	if (code == 0)
		mp_obj_free(&value);
	return code;
}

static void pair_sent(void)
{
	pair_made();
	T_CHECK(send_value() == 0);
}

static void pipe_sent(void)
{
	pipe_made();
	T_CHECK(send_value() == 0);
}

FAULTS(faults_conn, recv, PAGES, pair_sent, recv_value, both_closed)
FAULTS(faults_conn, pipe_recv, PAGES, pipe_sent, recv_value, both_closed)

static void pair_sent_descriptor(void)
{
	pair_made();
	T_CHECK(send_descriptor() == 0);
}

static void pipe_sent_descriptor(void)
{
	pipe_made();
	T_CHECK(send_descriptor() == 0);
}

/* Such a message goes with the failure, as the page says; the next one comes. */
static int recv_next_value(void)
{
	T_CHECK(send_descriptor() == 0);
	return recv_value();
}

FAULTS(faults_conn, recv_descriptor, PAGES, pair_sent_descriptor, recv_value, both_closed,
	recv_next_value)
FAULTS(faults_conn, pipe_recv_descriptor, PAGES, pipe_sent_descriptor, recv_value, both_closed,
	recv_next_value)

static int recv_bytes(void)
{
	void *data;
	size_t size;
	int code = mp_connection_recv_bytes(there, 0, &data, &size);

	if (code == 0) {
		T_CHECK(size == sizeof(large));
		free(data);
	}
	return code;
}

static void pair_sent_large(void)
{
	pair_made();
	T_CHECK(send_large() == 0);
}

static void pipe_sent_large(void)
{
	pipe_made();
	T_CHECK(send_large() == 0);
}

FAULTS(faults_conn, recv_large, PAGES, pair_sent_large, recv_bytes, both_closed)
FAULTS(faults_conn, pipe_recv_large, PAGES, pipe_sent_large, recv_bytes, both_closed)

/* --- listeners ------------------------------------------------------------------------------------ */

static mp_listener *listener;
static char address[80];

static int listener_new(void)
{
	snprintf(address, sizeof(address), "unix:@mp-faults-%d", (int)getpid());
	return mp_listener_new(address, NULL, &listener);
}

static void listener_closed(void)
{
	T_CHECK(mp_listener_close(listener) == 0);
}

FAULTS(faults_conn, listener_new, "mp_listener", NULL, listener_new, listener_closed)

static void listener_made(void)
{
	T_CHECK(listener_new() == 0);
}

static int connection_open(void)
{
	return mp_connection_open(address, NULL, T_TIMEOUT_MS, &here);
}

static void connection_opened(void)
{
	T_CHECK(mp_connection_close(here) == 0);
	listener_closed();
}

FAULTS(faults_conn, open, "mp_listener", listener_made, connection_open, connection_opened)

#ifdef HAVE_NETTLE

/* Accept somebody who proves a key, and who comes again when he was dropped. */

#define KEY "a key that both know"

static struct t_child client;

static int connect_until_welcome(void *argument)
{
	bool welcome = false;

	(void)argument;
	for (int tries = 0; !welcome && tries < 100; tries++) {
		mp_connection *connection;
		mp_obj word;
		if (mp_connection_open(address,
			    MP_CONNECTION_OPTIONS(.authkey = KEY, .authkey_size = sizeof(KEY)),
			    T_TIMEOUT_MS, &connection) < 0)
			continue;
		welcome = mp_connection_recv(connection, T_TIMEOUT_MS, &word) == 0;
		T_CHECK(mp_connection_close(connection) == 0);
	}
	return welcome ? 0 : T_CHILD_FAILED;
}

static void client_comes(void)
{
	snprintf(address, sizeof(address), "unix:@mp-faults-%d", (int)getpid());
	T_CHECK(mp_listener_new(address,
			MP_LISTENER_OPTIONS(.authkey = KEY, .authkey_size = sizeof(KEY)),
			&listener) == 0);
	client = t_spawn(connect_until_welcome, NULL);
}

static int listener_accept(void)
{
	return mp_listener_accept(listener, T_TIMEOUT_MS, &here);
}

static void client_served(void)
{
	T_CHECK(mp_connection_send(here, mp_nil(), T_TIMEOUT_MS) == 0);
	t_expect_exit(&client, 0);
	connection_opened();
}

FAULTS(faults_conn, accept, "mp_listener", client_comes, listener_accept, client_served)

#endif
