/* SPDX-License-Identifier: MIT */
/* What fails below the calls on pipes, connections and listeners. */
#include <config.h>

#include "tests/support/faults.h"

#include <sys/socket.h>

FAULTS_SUITE(faults_conn);

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

FAULTS(faults_conn, pair, NULL, pair_new, both_closed)

static int pipe_new(void)
{
	return mp_pipe(NULL, &here, &there);
}

FAULTS(faults_conn, pipe, NULL, pipe_new, both_closed)

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

FAULTS(faults_conn, send, pair_made, send_value, both_closed)
FAULTS(faults_conn, pipe_send, pipe_made, send_value, both_closed)

static int send_descriptor(void)
{
	return mp_connection_send(here, MP_LIST(mp_fd(STDERR_FILENO)), T_TIMEOUT_MS);
}

FAULTS(faults_conn, send_descriptor, pair_made, send_descriptor, both_closed)
FAULTS(faults_conn, pipe_send_descriptor, pipe_made, send_descriptor, both_closed)

static char large[1 << 20];

static int send_large(void)
{
	return mp_connection_send_bytes(here, large, sizeof(large), T_TIMEOUT_MS);
}

FAULTS(faults_conn, send_large, pair_made, send_large, both_closed)
FAULTS(faults_conn, pipe_send_large, pipe_made, send_large, both_closed)

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

FAULTS(faults_conn, recv, pair_sent, recv_value, both_closed)
FAULTS(faults_conn, pipe_recv, pipe_sent, recv_value, both_closed)

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

FAULTS(faults_conn, recv_descriptor, pair_sent_descriptor, recv_value, both_closed, recv_next_value)
FAULTS(faults_conn, pipe_recv_descriptor, pipe_sent_descriptor, recv_value, both_closed,
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

FAULTS(faults_conn, recv_large, pair_sent_large, recv_bytes, both_closed)
FAULTS(faults_conn, pipe_recv_large, pipe_sent_large, recv_bytes, both_closed)

/* --- the rest of what can be done with one ------------------------------------------------------- */

static int ends[2];

static void ends_made(void)
{
	T_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
}

static int from_fd(void)
{
	return mp_connection_from_fd(ends[0], NULL, &here);
}

static void from_fd_closed(void)
{
	close(ends[1]);
	T_CHECK(mp_connection_close(here) == 0);
}

FAULTS(faults_conn, from_fd, ends_made, from_fd, from_fd_closed)

static int recv_into(void)
{
	static char buffer[sizeof(large)];
	size_t size;

	T_STEP(mp_connection_poll(there, T_TIMEOUT_MS));
	return mp_connection_recv_bytes_into(there, buffer, sizeof(buffer), T_TIMEOUT_MS, &size);
}

FAULTS(faults_conn, recv_into, pair_sent_large, recv_into, both_closed)
FAULTS(faults_conn, pipe_recv_into, pipe_sent_large, recv_into, both_closed)

static int poll_in_vain(void)
{
	T_STEP(mp_connection_poll(here, 3));
	return 0;
}

FAULTS(faults_conn, poll, pair_made, poll_in_vain, both_closed)
FAULTS(faults_conn, pipe_poll, pipe_made, poll_in_vain, both_closed)

static int ask_and_shut_down(void)
{
	char text[100];
	pid_t pid;
	uid_t uid;
	gid_t gid;

	T_STEP(mp_connection_peer_credentials(here, &pid, &uid, &gid));
	T_STEP(mp_connection_peer_address(here, text, sizeof(text)));
	return mp_connection_shutdown(here);
}

QUIET(faults_conn, asks_the_socket, pair_made, ask_and_shut_down, both_closed)

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

FAULTS(faults_conn, listener_new, NULL, listener_new, listener_closed)

static int listener_life(void)
{
	T_STEP(listener_new());
	return mp_listener_close(listener);
}

FAULTS(faults_conn, listener_life, NULL, listener_life)

static void listener_made(void)
{
	T_CHECK(listener_new() == 0);
}

static int ask_listener(void)
{
	mp_listener_stats stats = {.size = sizeof(stats)};

	T_CHECK(strcmp(mp_listener_address(listener), address) == 0);
	T_STEP(mp_listener_fileno(listener));
	return mp_listener_get_stats(listener, &stats);
}

QUIET(faults_conn, reads_what_the_listener_knows, listener_made, ask_listener, listener_closed)

static int connection_open(void)
{
	return mp_connection_open(address, NULL, T_TIMEOUT_MS, &here);
}

static void connection_opened(void)
{
	T_CHECK(mp_connection_close(here) == 0);
	listener_closed();
}

FAULTS(faults_conn, open, listener_made, connection_open, connection_opened)

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

FAULTS(faults_conn, accept, client_comes, listener_accept, client_served)

#endif
