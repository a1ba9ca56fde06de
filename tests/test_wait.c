/* SPDX-License-Identifier: MIT */
/* Waiting for several things: as CPython's tests have it, every kind of thing, every misuse. */
#include <config.h>

#include "tests/support/conns.h"
#include "tests/support/starts.h"

#include "base/deadline.h"

#include <fcntl.h>
#include <limits.h>
#include <mp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

T_SUITE(wait);

#define WRITERS 4
#define MESSAGES 10

static void msleep(long ms)
{
	struct timespec t = {.tv_nsec = ms * 1000000};

	nanosleep(&t, NULL);
}

/* --- as CPython has them ------------------------------------------------------------------------- */

/* argv: connection, number, slow. */
static int writer(int argc, const mp_obj *argv)
{
	mp_connection *c = mp_obj_connection(&argv[0]);

	for (int i = 0; argc == 3 && i < MESSAGES; i++) {
		if (mp_obj_i64(&argv[2]))
			msleep(rand() % 10);
		if (mp_connection_send(c, MP_LIST(mp_i64(i), argv[1]), T_TIMEOUT_MS) < 0)
			return 1;
	}
	return 0;
}

/* Collect what all writers say, and the end of each. */
static void collect(mp_connection **readers)
{
	mp_waitable items[WRITERS];
	int received[WRITERS] = {0};
	int open = WRITERS;
	mp_obj message;

	while (open > 0) {
		int n = 0;
		int of[WRITERS];
		for (int i = 0; i < WRITERS; i++)
			if (readers[i]) {
				of[n] = i;
				items[n++] = MP_WAIT(readers[i]);
			}
		cr_assert_gt(mp_wait(items, n, T_TIMEOUT_MS), 0);
		for (int k = 0; k < n; k++) {
			int i = of[k];
			if (!items[k].ready)
				continue;
			int r = mp_connection_recv(readers[i], T_TIMEOUT_MS, &message);
			if (r == -EPIPE) {
				mp_connection_close(readers[i]);
				readers[i] = NULL;
				open--;
				continue;
			}
			T_OK(r);
			cr_assert_eq(mp_obj_i64(mp_obj_at(&message, 0)), received[i]++);
			cr_assert_eq(mp_obj_i64(mp_obj_at(&message, 1)), i);
			mp_obj_free(&message);
		}
	}
	for (int i = 0; i < WRITERS; i++)
		cr_assert_eq(received[i], MESSAGES);
}

static void wait_for_writers(int kind, bool slow)
{
	mp_connection *readers[WRITERS];
	mp_process *children[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		struct conn_pair p = conn_pair(kind, NULL);
		readers[i] = p.a;
		children[i] = start(writer, MP_ARGS(mp_handle(p.b), mp_i64(i), mp_i64(slow)),
			BY(MP_START_FORK));
		T_OK(mp_connection_close(p.b));
	}
	collect(readers);
	for (int i = 0; i < WRITERS; i++)
		finish(children[i], 0);
}

EACH_SOCKET(wait, test_wait)
{
	wait_for_writers(kind, false);
}

EACH_SOCKET(wait, test_wait_slow)
{
	wait_for_writers(kind, true);
}

/* argv: address, number, slow. */
static int socket_writer(int argc, const mp_obj *argv)
{
	mp_connection *c;

	if (argc != 3 || mp_connection_open(mp_obj_str(&argv[0]), NULL, T_TIMEOUT_MS, &c) < 0)
		return 1;
	mp_obj args[] = {mp_handle(c), argv[1], argv[2]};
	int r = writer(3, args);
	mp_connection_close(c);
	return r;
}

static void wait_for_sockets(bool slow)
{
	mp_connection *readers[WRITERS];
	mp_process *children[WRITERS];
	mp_listener *listener;

	T_OK(mp_listener_new("tcp:127.0.0.1:0", NULL, &listener));
	for (int i = 0; i < WRITERS; i++) {
		children[i] = start(socket_writer,
			MP_ARGS(mp_str(mp_listener_address(listener)), mp_i64(i), mp_i64(slow)),
			BY(MP_START_FORK));
		T_OK(mp_listener_accept(listener, T_TIMEOUT_MS, &readers[i]));
	}
	collect(readers);
	for (int i = 0; i < WRITERS; i++)
		finish(children[i], 0);
	T_OK(mp_listener_close(listener));
}

Test(wait, test_wait_socket)
{
	wait_for_sockets(false);
}

Test(wait, test_wait_socket_slow)
{
	wait_for_sockets(true);
}

EACH_SOCKET(wait, test_wait_timeout)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_waitable items[] = {MP_WAIT(p.a), MP_WAIT(p.b)};

	int64_t began = mp__now_ns();
	T_RESULT(mp_wait(items, 2, 30), 0);
	cr_assert_geq(mp__now_ns() - began, 30000000);
	cr_assert(!items[0].ready && !items[1].ready);
	T_OK(mp_connection_send(p.b, mp_nil(), T_TIMEOUT_MS));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	cr_assert(items[0].ready == POLLIN && !items[1].ready);
	conn_close(&p);
}

static int wait_for_byte(int argc, const mp_obj *argv)
{
	char c;

	(void)argc;
	return read(mp_obj_fd(&argv[0]), &c, 1) < 0;
}

static int integer_is_ready(mp_connection *a, int sentinel, mp_connection *b, int *ready)
{
	mp_waitable items[] = {MP_WAIT(a), MP_WAIT(sentinel), MP_WAIT(b)};

	int r = mp_wait(items, 3, T_TIMEOUT_MS);
	for (int i = 0; i < 3; i++)
		ready[i] = items[i].ready != 0;
	return r;
}

EACH_SOCKET(wait, test_wait_integer)
{
	struct conn_pair p = conn_pair(kind, NULL);
	int ends[2];
	int ready[3];
	mp_obj message;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	mp_process *child = start(wait_for_byte, MP_ARGS(mp_fd(ends[0])), BY(MP_START_FORK));
	int sentinel = mp_process_sentinel(child);
	mp_waitable items[] = {MP_WAIT(p.a), MP_WAIT(sentinel), MP_WAIT(p.b)};
	T_RESULT(mp_wait(items, 3, 10), 0);
	cr_assert_eq(write(ends[1], "", 1), 1);
	T_RESULT(integer_is_ready(p.a, sentinel, p.b, ready), 1);
	cr_assert(!ready[0] && ready[1] && !ready[2]);
	T_OK(mp_connection_send(p.a, mp_nil(), T_TIMEOUT_MS));
	T_RESULT(integer_is_ready(p.a, sentinel, p.b, ready), 2);
	cr_assert(!ready[0] && ready[1] && ready[2]);
	T_OK(mp_connection_send(p.b, mp_nil(), T_TIMEOUT_MS));
	T_RESULT(integer_is_ready(p.a, sentinel, p.b, ready), 3);
	T_OK(mp_connection_recv(p.a, T_TIMEOUT_MS, &message));
	T_RESULT(integer_is_ready(p.a, sentinel, p.b, ready), 2);
	cr_assert(!ready[0] && ready[1] && ready[2]);
	finish(child, 0);
	close(ends[0]);
	close(ends[1]);
	conn_close(&p);
}

EACH_SOCKET(wait, test_neg_timeout)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_waitable items[] = {MP_WAIT(p.a)};

	/* Python's negative timeout is "at once"; here that is MP_NOWAIT, and negative is for ever. */
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 0);
	T_OK(mp_connection_close(p.b));
	T_RESULT(mp_wait(items, 1, MP_FOREVER), 1);
	T_OK(mp_connection_close(p.a));
}

/* --- what there is to wait for ------------------------------------------------------------------- */

EACH_SOCKET(wait, what_is_ready_stays_so)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_waitable items[] = {MP_WAIT(p.b)};
	char small[1];
	size_t size;

	T_OK(mp_connection_send_bytes(p.a, "four", 4, T_TIMEOUT_MS));
	for (int i = 0; i < 3; i++)
		T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	/* Looked at, and too long: it is in the memory of this process, and in no descriptor. */
	T_RESULT(mp_connection_recv_bytes_into(p.b, small, 1, T_TIMEOUT_MS, &size), -EMSGSIZE);
	for (int i = 0; i < 3; i++)
		T_RESULT(mp_wait(items, 1, MP_NOWAIT), 1);
	char four[4];
	T_OK(mp_connection_recv_bytes_into(p.b, four, 4, MP_NOWAIT, &size));
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 0);
	conn_close(&p);
}

EACH_SOCKET(wait, the_end_of_the_other_side_is_ready)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_waitable items[] = {MP_WAIT(p.b)};
	mp_obj message;

	T_OK(mp_connection_send(p.a, mp_i64(1), T_TIMEOUT_MS));
	T_OK(mp_connection_close(p.a));
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	T_OK(mp_connection_recv(p.b, MP_NOWAIT, &message));
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	T_RESULT(mp_connection_recv(p.b, MP_NOWAIT, &message), -EPIPE);
	T_OK(mp_connection_close(p.b));
}

static int until_killed(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	t_hang();
}

EACH_METHOD_AND_THREAD(wait, process_is_ready_when_it_has_ended)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	mp_process *child = start(wait_for_byte, MP_ARGS(mp_fd(ends[0])), BY(method));
	mp_waitable items[] = {MP_WAIT(child), MP_WAIT(child)};
	T_RESULT(mp_wait(items, 2, 10), 0);
	cr_assert_eq(write(ends[1], "", 1), 1);
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 2);
	T_OK(mp_process_join(child, T_TIMEOUT_MS));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 2);
	finish(child, 0);
	close(ends[0]);
	close(ends[1]);
}

Test(wait, a_killed_process_is_ready)
{
	mp_process *child = start(until_killed, mp_nil(), BY(MP_START_FORK));
	mp_waitable items[] = {MP_WAIT(child)};

	T_OK(mp_process_kill(child));
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	finish(child, -SIGKILL);
}

static void *open_one(void *address)
{
	mp_connection *c = NULL;

	(void)mp_connection_open(address, MP_CONNECTION_OPTIONS(.authkey = "k", .authkey_size = 1),
		T_TIMEOUT_MS, &c);
	return c;
}

Test(wait, listener_is_ready_when_somebody_comes)
{
	mp_listener *listener;
	mp_connection *here;
	void *there;
	pthread_t thread;
	int r;

#ifndef HAVE_NETTLE
	cr_skip_test("built without keys");
#endif
	T_OK(mp_listener_new(
		NULL, MP_LISTENER_OPTIONS(.authkey = "k", .authkey_size = 1), &listener));
	mp_waitable items[] = {MP_WAIT(listener)};
	T_RESULT(mp_wait(items, 1, 10), 0);
	cr_assert_eq(pthread_create(&thread, NULL, open_one,
			     (void *)(uintptr_t)mp_listener_address(listener)),
		0);
	do {
		T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
		r = mp_listener_accept(listener, MP_NOWAIT, &here);
	} while (r == -EAGAIN);
	T_OK(r);
	pthread_join(thread, &there);
	T_OK(mp_connection_close(here));
	T_OK(mp_connection_close(there));
	T_OK(mp_listener_close(listener));
}

Test(wait, descriptors_say_what_poll_says)
{
	int ends[2];

	T_OK(mp__socket_pair(SOCK_STREAM, ends));
	mp_waitable items[] = {MP_WAIT_FD(ends[0], POLLIN | POLLOUT), MP_WAIT(ends[0]),
		MP_WAIT_FD(ends[0], POLLRDHUP)};
	T_RESULT(mp_wait(items, 3, T_TIMEOUT_MS), 1);
	cr_assert(items[0].ready == POLLOUT && !items[1].ready && !items[2].ready);
	close(ends[1]);
	T_RESULT(mp_wait(items, 3, T_TIMEOUT_MS), 3);
	cr_assert_eq(items[0].ready, POLLIN | POLLOUT | POLLHUP);
	cr_assert_eq(items[1].ready, POLLIN | POLLHUP);
	cr_assert_eq(items[2].ready, POLLRDHUP | POLLHUP);
	close(ends[0]);
}

#define MANY 300
#define ITEMS (3 * (size_t)MANY)

Test(wait, hundreds_and_the_same_thing_many_times)
{
	static struct conn_pair pairs[MANY];
	static mp_waitable items[ITEMS];
	mp_obj message;

	for (int i = 0; i < MANY; i++) {
		pairs[i] = conn_pair(SOCK_SEQPACKET, NULL);
		mp_waitable *three = &items[3 * (size_t)i];
		three[0] = three[1] = MP_WAIT(pairs[i].b);
		three[2] = MP_WAIT(mp_connection_fileno(pairs[i].b));
	}
	T_RESULT(mp_wait(items, ITEMS, 0), 0);
	for (int i = 7; i < MANY; i += 100) {
		T_OK(mp_connection_send(pairs[i].a, mp_i64(i), T_TIMEOUT_MS));
		T_RESULT(mp_wait(items, ITEMS, T_TIMEOUT_MS), 3);
		for (size_t k = 0; k < ITEMS; k++)
			cr_assert_eq(!!items[k].ready, k / 3 == (size_t)i);
		T_OK(mp_connection_recv(pairs[i].b, MP_NOWAIT, &message));
	}
	for (int i = 0; i < MANY; i++)
		conn_close(&pairs[i]);
}

Test(wait, more_items_than_descriptors_may_be_open)
{
	struct rlimit before;
	int ends[2];
	mp_waitable items[100];

	T_OK(mp__socket_pair(SOCK_STREAM, ends));
	T_OK(getrlimit(RLIMIT_NOFILE, &before));
	struct rlimit few = {.rlim_cur = (rlim_t)ends[1] + 5, .rlim_max = before.rlim_max};
	for (int i = 0; i < 100; i++)
		items[i] = MP_WAIT_FD(ends[i % 2], i % 4 < 2 ? POLLIN : POLLOUT);
	T_OK(setrlimit(RLIMIT_NOFILE, &few));
	int r = mp_wait(items, 100, T_TIMEOUT_MS);
	T_OK(setrlimit(RLIMIT_NOFILE, &before));
	T_RESULT(r, 50);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(items[i].ready, i % 4 < 2 ? 0 : POLLOUT);
	close(ends[0]);
	close(ends[1]);
}

/* --- time ----------------------------------------------------------------------------------------- */

static void on_alarm(int signal)
{
	(void)signal;
}

Test(wait, signal_handlers_do_not_stretch_it)
{
	const struct itimerval often = {{0, 500}, {0, 500}};
	const struct itimerval never = {{0, 0}, {0, 0}};
	const struct sigaction act = {.sa_handler = on_alarm};
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	mp_waitable items[] = {MP_WAIT(p.a)};

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	int64_t began = mp__now_ns();
	int r = mp_wait(items, 1, 100);
	setitimer(ITIMER_REAL, &never, NULL);
	T_RESULT(r, 0);
	cr_assert_geq(mp__now_ns() - began, 100000000);
	conn_close(&p);
}

Test(wait, nothing_is_a_pause)
{
	int64_t began = mp__now_ns();

	T_RESULT(mp_wait(NULL, 0, 20), 0);
	cr_assert_geq(mp__now_ns() - began, 20000000);
	T_RESULT(mp_wait(NULL, 0, MP_FOREVER), -EINVAL);
}

/* --- misuse ---------------------------------------------------------------------------------------- */

static void expect_error(mp_waitable item, int error)
{
	mp_waitable items[] = {MP_WAIT_FD(STDOUT_FILENO, POLLIN), item};

	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), error);
	cr_assert(strstr(mp_error_detail(), "item 1: "), "%s", mp_error_detail());
	cr_assert(items[1].error == error && items[0].error == 0 && !items[0].ready &&
		  !items[1].ready);
}

Test(wait, what_cannot_be_waited_for_is_named)
{
	int ends[2];

	T_OK(mp__socket_pair(SOCK_STREAM, ends));
	close(ends[0]);
	close(ends[1]);
	expect_error(MP_WAIT(ends[0]), -EBADF);
	expect_error(MP_WAIT(-1), -EBADF);
	expect_error(MP_WAIT(INT_MAX), -EBADF);
	expect_error(MP_WAIT_FD(0, 0), -EINVAL);
	expect_error(MP_WAIT_FD(0, POLLNVAL), -EINVAL);
	expect_error(MP_WAIT((mp_connection *)NULL), -EINVAL);
	expect_error(MP_WAIT((mp_listener *)NULL), -EINVAL);
	expect_error(MP_WAIT((mp_process *)NULL), -EINVAL);
	expect_error((mp_waitable){.kind = 0}, -EINVAL);
	expect_error((mp_waitable){.kind = 99}, -EINVAL);
	expect_error((mp_waitable){.kind = -1}, -EINVAL);
	T_RESULT(mp_wait(NULL, 1, 0), -EINVAL);
	mp_waitable one = MP_WAIT(0);
	T_RESULT(mp_wait(&one, (size_t)INT_MAX + 1, 0), -EINVAL);
}

Test(wait, what_only_sends_and_what_was_not_started)
{
	mp_process *process;

	for (int kind = CONN_PIPE; kind <= SOCK_STREAM; kind += SOCK_STREAM - CONN_PIPE) {
		struct conn_pair p =
			conn_pair(kind, MP_CONNECTION_OPTIONS(.direction = MP_CONNECTION_READ));
		expect_error(MP_WAIT(p.b), -EBADF);
		conn_close(&p);
	}
	T_OK(mp_process_new(until_killed, mp_nil(), NULL, &process));
	expect_error(MP_WAIT(process), -EINVAL);
	T_OK(mp_process_close(process));
}

static int wait_for_parents(void *process)
{
	mp_waitable item = MP_WAIT((mp_process *)process);

	return mp_wait(&item, 1, 0) == -ECHILD && item.error == -ECHILD ? 0 : 1;
}

Test(wait, a_process_of_the_parents)
{
	mp_process *process = start(until_killed, mp_nil(), BY(MP_START_FORK));
	struct t_child child = t_spawn(wait_for_parents, process);

	t_expect_exit(&child, 0);
	T_OK(mp_process_kill(process));
	finish(process, -SIGKILL);
}
