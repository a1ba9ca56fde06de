/* SPDX-License-Identifier: MIT */
/* Sets that are kept: everything there is to wait for, by the thousand, from several threads. */
#include <config.h>

#include "tests/support/conns.h"
#include "tests/support/pool.h"
#include "tests/support/starts.h"

#include "base/cleanup.h"
#include "base/deadline.h"
#include "shm/watch.h"
#include "sync/event_layout.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

T_SUITE(waiter);

static mp_waiter *waiter(void)
{
	mp_waiter *w = NULL;

	T_OK(mp_waiter_new(&w));
	return w;
}

static mp_event *event(void)
{
	mp_event *e = NULL;

	T_OK(mp_event_new(NULL, &e));
	return e;
}

static int ready_now(mp_waiter *w)
{
	mp_ready ready[8];

	return mp_waiter_wait(w, ready, 8, MP_NOWAIT);
}

/* Exactly one is ready, and it is this one. */
static void expect_ready(mp_waiter *w, void *data, int bits)
{
	mp_ready ready[8];

	T_RESULT(mp_waiter_wait(w, ready, 8, T_TIMEOUT_MS), 1);
	cr_assert_eq(ready[0].data, data);
	cr_assert_eq(ready[0].ready, bits);
	cr_assert_eq(ready[0].error, 0);
}

/* --- one of each ----------------------------------------------------------------------------------- */

EACH_SOCKET(waiter, connections)
{
	struct conn_pair p = conn_pair(kind, NULL);
	mp_waiter *w = waiter();
	mp_obj message;
	char small[1];
	size_t size;

	T_OK(mp_waiter_add(w, MP_WAIT(p.a), &p));
	T_RESULT(ready_now(w), 0);
	T_OK(mp_connection_send(p.b, mp_i64(1), T_TIMEOUT_MS));
	for (int i = 0; i < 3; i++)
		expect_ready(w, &p, POLLIN);
	T_OK(mp_connection_recv(p.a, MP_NOWAIT, &message));
	T_RESULT(ready_now(w), 0);
	T_RESULT(ready_now(w), 0);
	/* Left in the memory of this process, after a report and without one. */
	T_OK(mp_connection_send_bytes(p.b, "four", 4, T_TIMEOUT_MS));
	T_RESULT(mp_connection_recv_bytes_into(p.a, small, 1, T_TIMEOUT_MS, &size), -EMSGSIZE);
	for (int i = 0; i < 3; i++)
		expect_ready(w, &p, POLLIN);
	T_OK(mp_connection_recv(p.a, MP_NOWAIT, &message));
	mp_obj_free(&message);
	T_RESULT(ready_now(w), 0);
	T_OK(mp_connection_close(p.b));
	for (int i = 0; i < 3; i++)
		expect_ready(w, &p, POLLIN);
	T_RESULT(mp_connection_recv(p.a, MP_NOWAIT, &message), -EPIPE);
	T_OK(mp_waiter_remove(w, MP_WAIT(p.a)));
	T_RESULT(ready_now(w), 0);
	T_OK(mp_waiter_close(w));
	T_OK(mp_connection_close(p.a));
}

Test(waiter, descriptors)
{
	mp_waiter *w = waiter();
	int ends[2];

	T_OK(mp__socket_pair(SOCK_STREAM, ends));
	T_OK(mp_waiter_add(w, MP_WAIT(ends[0]), &ends[0]));
	T_RESULT(mp_waiter_add(w, MP_WAIT(ends[0]), NULL), -EEXIST);
	T_RESULT(mp_waiter_add(w, MP_WAIT_FD(ends[0], POLLOUT), NULL), -EEXIST);
	T_RESULT(ready_now(w), 0);
	T_OK(mp_waiter_modify(w, MP_WAIT_FD(ends[0], POLLIN | POLLOUT), &ends[1]));
	expect_ready(w, &ends[1], POLLOUT);
	cr_assert_eq(write(ends[1], "", 1), 1);
	expect_ready(w, &ends[1], POLLIN | POLLOUT);
	T_OK(mp_waiter_modify(w, MP_WAIT_FD(ends[0], POLLRDHUP), NULL));
	T_RESULT(ready_now(w), 0);
	close(ends[1]);
	expect_ready(w, NULL, POLLRDHUP | POLLHUP);
	T_OK(mp_waiter_remove(w, MP_WAIT(ends[0])));
	T_RESULT(mp_waiter_remove(w, MP_WAIT(ends[0])), -ENOENT);
	T_RESULT(mp_waiter_modify(w, MP_WAIT(ends[0]), NULL), -ENOENT);
	close(ends[0]);
	T_RESULT(mp_waiter_add(w, MP_WAIT(ends[0]), NULL), -EBADF);
	T_OK(mp_waiter_close(w));
}

Test(waiter, a_number_that_is_another_file_now)
{
	mp_waiter *w = waiter();
	int ends[2];
	int again[2];

	T_OK(mp__socket_pair(SOCK_STREAM, ends));
	T_OK(mp_waiter_add(w, MP_WAIT_FD(ends[0], POLLOUT), ends));
	close(ends[0]);
	close(ends[1]);
	T_RESULT(ready_now(w), 0);
	T_RESULT(mp_waiter_modify(w, MP_WAIT_FD(ends[0], POLLIN), NULL), -EBADF);
	T_OK(mp__socket_pair(SOCK_STREAM, again));
	cr_assert_eq(again[0], ends[0]);
	T_RESULT(ready_now(w), 0);
	static char now[] = "now";
	T_OK(mp_waiter_add(w, MP_WAIT_FD(again[0], POLLOUT), now));
	expect_ready(w, now, POLLOUT);
	close(again[0]);
	close(again[1]);
	/* Gone by itself: removing what was closed is no harm. */
	T_RESULT(ready_now(w), 0);
	T_OK(mp_waiter_remove(w, MP_WAIT(again[0])));
	T_OK(mp_waiter_close(w));
}

Test(waiter, a_file_is_always_ready)
{
	mp_waiter *w = waiter();
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	T_OK(mp_waiter_add(w, MP_WAIT(fd), &fd));
	for (int i = 0; i < 3; i++)
		expect_ready(w, &fd, POLLIN);
	T_OK(mp_waiter_modify(w, MP_WAIT_FD(fd, POLLOUT), w));
	expect_ready(w, w, POLLOUT);
	T_OK(mp_waiter_remove(w, MP_WAIT(fd)));
	T_RESULT(ready_now(w), 0);
	T_OK(mp_waiter_close(w));
	close(fd);
}

static int put_one(int argc, const mp_obj *argv)
{
	return argc != 1 || mp_queue_put(mp_obj_queue(&argv[0]), mp_i64(7), T_TIMEOUT_MS) < 0;
}

Test(waiter, queues_and_processes)
{
	mp_waiter *w = waiter();
	mp_queue *q = NULL;
	mp_obj value;

	T_OK(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 1), &q));
	mp_process *child = start(put_one, MP_ARGS(mp_handle(q)), BY(MP_START_SPAWN));
	T_OK(mp_waiter_add(w, MP_WAIT(q), q));
	expect_ready(w, q, POLLIN);
	T_OK(mp_waiter_add(w, MP_WAIT_ROOM(q), w));
	expect_ready(w, q, POLLIN);
	T_OK(mp_queue_get(q, T_TIMEOUT_MS, &value));
	expect_ready(w, w, POLLOUT);
	T_OK(mp_waiter_remove(w, MP_WAIT_ROOM(q)));
	T_RESULT(ready_now(w), 0);
	T_OK(mp_waiter_add(w, MP_WAIT(child), child));
	T_OK(mp_waiter_add(w, MP_WAIT(mp_process_sentinel(child)), w));
	mp_ready ready[2];
	T_RESULT(mp_waiter_wait(w, ready, 2, T_TIMEOUT_MS), 2);
	finish(child, 0);
	/* The handle is closed, and still waited for. */
	T_OK(mp_waiter_remove(w, MP_WAIT(child)));
	T_OK(mp_queue_shutdown(q, MP_QUEUE_DRAIN));
	T_OK(mp_waiter_close(w));
	mp_queue_close(q);
}

static void *set_after(void *e)
{
	struct mp__watch *watch = &((struct mp__event *)e)->watch;

	for (int i = 0; atomic_load(&watch->cells[0]) == 0; i++)
		sched_yield();
	return (void *)(intptr_t)(mp_event_set(e) + mp_event_clear(e));
}

Test(waiter, events)
{
	mp_waiter *w = waiter();
	mp_event *a = event();
	mp_event *b = event();
	pthread_t thread;

	T_OK(mp_waiter_add(w, MP_WAIT(a), a));
	T_OK(mp_waiter_add(w, MP_WAIT(b), b));
	T_RESULT(ready_now(w), 0);
	T_OK(mp_event_set(b));
	for (int i = 0; i < 3; i++)
		expect_ready(w, b, POLLIN);
	T_OK(mp_event_clear(b));
	T_RESULT(ready_now(w), 0);
	/* Set and cleared: told once. */
	cr_assert_eq(pthread_create(&thread, NULL, set_after, a), 0);
	expect_ready(w, a, POLLIN);
	pthread_join(thread, NULL);
	while (ready_now(w) > 0) /* the set may have been seen between the two */
		;
	T_RESULT(ready_now(w), 0);
	T_OK(mp_waiter_remove(w, MP_WAIT(a)));
	cr_assert_eq(atomic_load(&((struct mp__event *)a)->watch.cells[0]), 0);
	mp_event_close(a);
	mp_event_close(b);
	T_OK(mp_event_set(b));
	expect_ready(w, b, POLLIN);
	T_OK(mp_waiter_close(w));
}

Test(waiter, an_event_in_it_is_not_destroyed)
{
	mp_waiter *w = waiter();
	mp_event e;

	T_OK(mp_event_init(&e, NULL));
	T_OK(mp_waiter_add(w, MP_WAIT(&e), NULL));
	T_RESULT(ready_now(w), 0);
	T_RESULT(mp_event_destroy(&e), -EBUSY);
	/* Who overwrites it all the same is told so, once. */
	memset(&e, 0, sizeof(e));
	mp_ready ready[1];
	T_RESULT(mp_waiter_wait(w, ready, 1, T_TIMEOUT_MS), 1);
	cr_assert(ready[0].error == -EINVAL && ready[0].ready == 0);
	T_OK(mp_waiter_remove(w, MP_WAIT(&e)));
	T_OK(mp_waiter_close(w));
}

static void add_another(mp_future *future, void *data)
{
	mp_event *e = ((void **)data)[1];

	(void)future;
	cr_assert_eq(mp_waiter_add(((void **)data)[0], MP_WAIT(e), e), 0);
}

Test(waiter, futures)
{
	mp_pool *pool = t_pool(2);
	mp_waiter *w = waiter();
	mp_event *e = event();
	int gate[2];

	cr_assert_eq(pipe2(gate, O_CLOEXEC), 0);
	mp_future *slow = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(gate[0])));
	mp_future *quick = t_submit(pool, t_square, MP_ARGS(mp_i64(12)));
	T_OK(mp_waiter_add(w, MP_WAIT(slow), slow));
	T_OK(mp_waiter_add(w, MP_WAIT(quick), quick));
	expect_ready(w, quick, POLLIN);
	T_OK(mp_waiter_remove(w, MP_WAIT(quick)));
	t_expect_i64(quick, 144);
	T_RESULT(ready_now(w), 0);
	/* A callback may use the waiter that runs it. */
	void *both[] = {w, e};
	T_OK(mp_event_set(e));
	T_OK(mp_future_add_done_callback(slow, add_another, both));
	cr_assert_eq(write(gate[1], "x", 1), 1);
	int seen = 0;
	for (mp_ready ready[2]; seen < 2;) {
		int n = mp_waiter_wait(w, ready, 2, T_TIMEOUT_MS);
		cr_assert_gt(n, 0);
		for (int i = 0; i < n; i++) {
			cr_assert(ready[i].data == slow || ready[i].data == e);
			if (ready[i].data == slow)
				T_OK(mp_waiter_remove(w, MP_WAIT(slow)));
			else
				T_OK(mp_waiter_remove(w, MP_WAIT(e)));
			seen++;
		}
	}
	T_OK(mp_future_close(slow));
	T_OK(mp_waiter_close(w));
	t_pool_end(pool);
	mp_event_close(e);
	close(gate[0]);
	close(gate[1]);
}

Test(waiter, listeners)
{
	mp_waiter *w = waiter();
	mp_listener *listener;
	mp_connection *there;
	mp_connection *here;
	int r;

	T_OK(mp_listener_new(NULL, NULL, &listener));
	T_OK(mp_waiter_add(w, MP_WAIT(listener), listener));
	T_RESULT(ready_now(w), 0);
	T_OK(mp_connection_open(mp_listener_address(listener), NULL, T_TIMEOUT_MS, &there));
	do {
		expect_ready(w, listener, POLLIN);
		r = mp_listener_accept(listener, MP_NOWAIT, &here);
	} while (r == -EAGAIN);
	T_OK(r);
	T_OK(mp_waiter_remove(w, MP_WAIT(listener)));
	T_OK(mp_listener_close(listener));
	T_OK(mp_connection_close(here));
	T_OK(mp_connection_close(there));
	T_OK(mp_waiter_close(w));
}

/* --- many ------------------------------------------------------------------------------------------ */

#define MANY 5000

Test(waiter, thousands_of_events)
{
	static mp_event *events[MANY];
	mp_waiter *w = waiter();
	mp_ready ready[MANY / 100];
	int n = 0;

	for (int i = 0; i < MANY; i++) {
		events[i] = event();
		T_OK(mp_waiter_add(w, MP_WAIT(events[i]), events[i]));
	}
	T_RESULT(ready_now(w), 0);
	for (int i = 0; i < 50; i++) {
		mp_event *e = events[i * 97 % MANY];
		T_OK(mp_event_set(e));
		expect_ready(w, e, POLLIN);
		T_OK(mp_event_clear(e));
	}
	/* More than the doorbell has room for: all are found, each once. */
	for (int i = 0; i < MANY; i++)
		T_OK(mp_event_set(events[i]));
	while (n < MANY) {
		int r = mp_waiter_wait(w, ready, MP__COUNT_OF(ready), T_TIMEOUT_MS);
		cr_assert_gt(r, 0);
		for (int i = 0; i < r; i++)
			T_OK(mp_event_clear(ready[i].data));
		n += r;
	}
	T_RESULT(n, MANY);
	T_RESULT(ready_now(w), 0);
	T_OK(mp_waiter_close(w));
	for (int i = 0; i < MANY; i++)
		mp_event_close(events[i]);
}

Test(waiter, what_finds_no_room_comes_next_time)
{
	struct conn_pair pairs[40];
	mp_event *events[40];
	mp_waiter *w = waiter();
	bool seen[80] = {false};
	int n = 0;

	for (int i = 0; i < 40; i++) {
		pairs[i] = conn_pair(SOCK_SEQPACKET, NULL);
		events[i] = event();
		T_OK(mp_connection_send(pairs[i].a, mp_nil(), MP_NOWAIT));
		T_OK(mp_event_set(events[i]));
		T_OK(mp_waiter_add(w, MP_WAIT(pairs[i].b), &seen[i]));
		T_OK(mp_waiter_add(w, MP_WAIT(events[i]), &seen[40 + i]));
	}
	/* None is dealt with, and all are told of all the same. */
	for (int tries = 0; n < 80 && tries < 100000; tries++) {
		mp_ready one;
		T_RESULT(mp_waiter_wait(w, &one, 1, T_TIMEOUT_MS), 1);
		bool *s = one.data;
		n += !*s;
		*s = true;
	}
	cr_assert_eq(n, 80);
	T_OK(mp_waiter_close(w));
	for (int i = 0; i < 40; i++) {
		conn_close(&pairs[i]);
		mp_event_close(events[i]);
	}
}

/* --- threads, children ----------------------------------------------------------------------------- */

static void *wait_for_one(void *argument)
{
	mp_ready ready = {.data = NULL};

	return mp_waiter_wait(argument, &ready, 1, T_TIMEOUT_MS) == 1 ? ready.data : NULL;
}

Test(waiter, what_is_added_while_others_wait)
{
	mp_waiter *w = waiter();
	mp_event *e = event();
	pthread_t thread;
	void *data;
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(pthread_create(&thread, NULL, wait_for_one, w), 0);
		if (i % 2) {
			T_OK(mp_event_set(e));
			T_OK(mp_waiter_add(w, MP_WAIT(e), e));
			pthread_join(thread, &data);
			cr_assert_eq(data, e);
			T_OK(mp_waiter_remove(w, MP_WAIT(e)));
		} else {
			T_OK(mp_waiter_add(w, MP_WAIT(ends[0]), ends));
			cr_assert_eq(write(ends[1], "", 1), 1);
			pthread_join(thread, &data);
			cr_assert_eq(data, ends);
			T_OK(mp_waiter_remove(w, MP_WAIT(ends[0])));
		}
	}
	T_OK(mp_waiter_close(w));
	mp_event_close(e);
	close(ends[0]);
	close(ends[1]);
}

static int use_parents(void *argument)
{
	mp_waiter *w = argument;
	mp_ready one;

	T_CHECK(mp_waiter_add(w, MP_WAIT(0), NULL) == -ECHILD);
	T_CHECK(mp_waiter_modify(w, MP_WAIT(0), NULL) == -ECHILD);
	T_CHECK(mp_waiter_remove(w, MP_WAIT(0)) == -ECHILD);
	T_CHECK(mp_waiter_wait(w, &one, 1, 0) == -ECHILD);
	T_CHECK(mp_waiter_close(w) == 0);
	return 0;
}

Test(waiter, belongs_to_the_process_that_made_it)
{
	struct conn_pair p = conn_pair(SOCK_SEQPACKET, NULL);
	mp_waiter *w = waiter();
	mp_event *e = event();

	T_OK(mp_waiter_add(w, MP_WAIT(p.a), &p));
	T_OK(mp_waiter_add(w, MP_WAIT(e), e));
	T_RESULT(ready_now(w), 0);
	struct t_child child = t_spawn(use_parents, w);
	t_expect_exit(&child, 0);
	T_OK(mp_event_set(e));
	expect_ready(w, e, POLLIN);
	T_OK(mp_waiter_close(w));
	mp_event_close(e);
	conn_close(&p);
}

static int watch_and_die(void *e)
{
	mp_waiter *w;
	mp_ready one;

	T_CHECK(mp_waiter_new(&w) == 0 && mp_waiter_add(w, MP_WAIT((mp_event *)e), NULL) == 0);
	(void)mp_waiter_wait(w, &one, 1, T_TIMEOUT_MS);
	return 0;
}

Test(waiter, killed_while_it_watches)
{
	mp_event *e = event();
	mp_waiter *w = waiter();

	T_OK(mp_waiter_add(w, MP_WAIT(e), e));
	for (int i = 0; i < MP__WATCH_CELLS + 2; i++) {
		t_arm("waiter.armed", "kill");
		struct t_child child = t_spawn(watch_and_die, e);
		t_expect_signal(&child, SIGKILL);
		t_disarm();
	}
	T_RESULT(ready_now(w), 0);
	T_OK(mp_event_set(e));
	expect_ready(w, e, POLLIN);
	T_OK(mp_waiter_close(w));
	mp_event_close(e);
}

static int set_and_die(void *e)
{
	mp_event_set(e);
	return 0;
}

Test(waiter, setter_killed_before_it_rings)
{
	static const char *const points[] = {"event.set", "watch.taken"};
	mp_event *e = event();
	mp_waiter *w = waiter();

	T_OK(mp_waiter_add(w, MP_WAIT(e), e));
	for (int i = 0; i < 2; i++) {
		T_RESULT(ready_now(w), 0);
		t_arm(points[i], "kill");
		struct t_child child = t_spawn(set_and_die, e);
		t_expect_signal(&child, SIGKILL);
		t_disarm();
		expect_ready(w, e, POLLIN);
		T_OK(mp_event_clear(e));
	}
	T_OK(mp_waiter_close(w));
	mp_event_close(e);
}

/* --- misuse ---------------------------------------------------------------------------------------- */

Test(waiter, misuse)
{
	mp_waiter *w = waiter();
	mp_ready one;

	T_RESULT(mp_waiter_new(NULL), -EINVAL);
	T_RESULT(mp_waiter_add(NULL, MP_WAIT(0), NULL), -EINVAL);
	T_RESULT(mp_waiter_modify(NULL, MP_WAIT(0), NULL), -EINVAL);
	T_RESULT(mp_waiter_remove(NULL, MP_WAIT(0)), -EINVAL);
	T_RESULT(mp_waiter_wait(NULL, &one, 1, 0), -EINVAL);
	T_RESULT(mp_waiter_wait(w, NULL, 1, 0), -EINVAL);
	T_RESULT(mp_waiter_wait(w, &one, 0, 0), -EINVAL);
	T_RESULT(mp_waiter_add(w, MP_WAIT((mp_queue *)NULL), NULL), -EINVAL);
	T_RESULT(mp_waiter_add(w, (mp_waitable){.kind = 77}, NULL), -EINVAL);
	T_RESULT(mp_waiter_modify(w, MP_WAIT_FD(0, 0), NULL), -EINVAL);
	T_RESULT(mp_waiter_add(w, MP_WAIT(-1), NULL), -EBADF);
	int64_t began = mp__now_ns();
	T_RESULT(mp_waiter_wait(w, &one, 1, 20), 0);
	cr_assert_geq(mp__now_ns() - began, 20000000);
	T_OK(mp_waiter_close(w));
	T_OK(mp_waiter_close(NULL));
}

Test(waiter, no_descriptor_left)
{
	struct rlimit before;
	mp_waiter *w = NULL;
	mp_event *e = event();

	T_OK(getrlimit(RLIMIT_NOFILE, &before));
	struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
	mp_waiter *made = waiter();
	T_OK(setrlimit(RLIMIT_NOFILE, &none));
	int r = mp_waiter_new(&w);
	int a = mp_waiter_add(made, MP_WAIT(e), e);
	T_OK(setrlimit(RLIMIT_NOFILE, &before));
	T_RESULT(r, -EMFILE);
	T_RESULT(a, -EMFILE);
	T_OK(mp_waiter_add(made, MP_WAIT(e), e));
	T_OK(mp_waiter_close(made));
	mp_event_close(e);
}
