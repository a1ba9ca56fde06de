/* SPDX-License-Identifier: MIT */
/* Waiting for what lives in shared memory together with other things: doorbells, deaths, crowds. */
#include <config.h>

#include "tests/support/conns.h"
#include "tests/support/starts.h"

#include "base/deadline.h"
#include "shm/watch.h"
#include "sync/event.h"
#include "sync/event_layout.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

T_SUITE(wait_shared);

struct shared {
	mp_event a;
	mp_event b;
	_Atomic int woken;
	struct mp__watch watch;
};

static struct shared *s;

static void make_shared(void)
{
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(s != MAP_FAILED);
	T_OK(mp_event_init(&s->a, NULL));
	T_OK(mp_event_init(&s->b, NULL));
}

static bool is_armed(const struct mp__watch *watch)
{
	for (int i = 0; i < MP__WATCH_CELLS; i++)
		if (atomic_load(&watch->cells[i]) != 0)
			return true;
	return false;
}

static struct mp__watch *watch_of(mp_event *event)
{
	return &((struct mp__event *)event)->watch;
}

static void wait_until_armed(mp_event *event)
{
	while (!is_armed(watch_of(event)))
		sched_yield();
}

/* --- doorbells ------------------------------------------------------------------------------------ */

Test(wait_shared, a_ring_says_which_bucket_and_empties_the_cell)
{
	uint64_t buckets[MP__WATCH_BUCKETS / 64] = {0};
	struct mp__watch watch = {0};
	struct mp__doorbell bell;

	T_OK(mp__doorbell_open(&bell));
	cr_assert(mp__watch_arm(&watch, bell.id | 77));
	cr_assert(mp__watch_arm(&watch, bell.id | 77));
	cr_assert(mp__watch_arm(&watch, bell.id | 1023));
	cr_assert(mp__watch_is_used(&watch));
	errno = 77;
	mp__watch_ring(&watch);
	cr_assert_eq(errno, 77);
	cr_assert(!is_armed(&watch));
	cr_assert(!mp__doorbell_hear(&bell, buckets) || bell.room <= 2);
	cr_assert_eq(buckets[77 / 64], UINT64_C(1) << 77 % 64);
	cr_assert_eq(buckets[1023 / 64], UINT64_C(1) << 63);
	memset(buckets, 0, sizeof(buckets));
	mp__watch_ring(&watch);
	cr_assert(!mp__doorbell_hear(&bell, buckets) || bell.room == 0);
	for (size_t i = 0; i < MP__WATCH_BUCKETS / 64; i++)
		cr_assert_eq(buckets[i], 0);
	cr_assert(mp__watch_arm(&watch, bell.id | 5));
	mp__watch_disarm(&watch, bell.id | 6);
	cr_assert(is_armed(&watch));
	mp__watch_disarm(&watch, bell.id | 5);
	cr_assert(!is_armed(&watch));
	mp__doorbell_close(&bell);
}

Test(wait_shared, more_rings_than_have_room_are_noticed)
{
	struct mp__doorbell bell;
	struct mp__watch watch = {0};

	T_OK(mp__doorbell_open(&bell));
	for (unsigned i = 0; i < 2048; i++) {
		cr_assert(mp__watch_arm(&watch, bell.id | i % MP__WATCH_BUCKETS));
		mp__watch_ring(&watch);
	}
	cr_assert(mp__doorbell_hear(&bell, NULL));
	mp__doorbell_close(&bell);
}

Test(wait_shared, cells_of_the_dead_are_used_again)
{
	struct mp__doorbell bells[MP__WATCH_CELLS];
	struct mp__watch watch = {0};
	struct mp__doorbell one;

	T_OK(mp__doorbell_open(&one));
	for (int i = 0; i < MP__WATCH_CELLS; i++) {
		T_OK(mp__doorbell_open(&bells[i]));
		cr_assert(mp__watch_arm(&watch, bells[i].id));
	}
	cr_assert(!mp__watch_arm(&watch, one.id));
	mp__doorbell_close(&bells[3]);
	cr_assert(mp__watch_arm(&watch, one.id));
	for (int i = 0; i < MP__WATCH_CELLS; i++)
		if (i != 3)
			mp__doorbell_close(&bells[i]);
	cr_assert(mp__watch_is_used(&watch));
	mp__doorbell_close(&one);
	cr_assert(!mp__watch_is_used(&watch));
}

/* --- events --------------------------------------------------------------------------------------- */

static int set_a_when_armed(void *argument)
{
	wait_until_armed(&s->a);
	T_CHECK(mp_event_set(&s->a) == 0);
	if (argument)
		T_CHECK(mp_event_clear(&s->a) == 0);
	return 0;
}

Test(wait_shared, event_is_ready_when_set)
{
	make_shared();
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(&s->b), MP_WAIT(&s->a)};
	T_RESULT(mp_wait(items, 3, 20), 0);
	cr_assert(!is_armed(watch_of(&s->a)));
	struct t_child child = t_spawn(set_a_when_armed, NULL);
	T_RESULT(mp_wait(items, 3, T_TIMEOUT_MS), 2);
	cr_assert(items[0].ready == POLLIN && !items[1].ready && items[2].ready == POLLIN);
	T_RESULT(mp_wait(items, 3, MP_NOWAIT), 2);
	cr_assert(!is_armed(watch_of(&s->a)) && !is_armed(watch_of(&s->b)));
	T_OK(mp_event_clear(&s->a));
	T_RESULT(mp_wait(items, 3, MP_NOWAIT), 0);
	t_expect_exit(&child, 0);
}

Test(wait_shared, a_set_that_is_cleared_at_once_is_seen)
{
	make_shared();
	mp_waitable items[] = {MP_WAIT(&s->a)};
	struct t_child child = t_spawn(set_a_when_armed, &s->b);

	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	t_expect_exit(&child, 0);
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 0);
}

static void set_a_in_handler(int signal)
{
	(void)signal;
	mp_event_set(&s->a);
}

Test(wait_shared, event_may_be_set_by_a_handler_of_the_waiting_thread)
{
	const struct sigaction act = {.sa_handler = set_a_in_handler};
	const struct itimerval once = {.it_value = {0, 20000}};

	make_shared();
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(0)};
	int ends[2];
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	items[1] = MP_WAIT(ends[0]);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &once, NULL);
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	close(ends[0]);
	close(ends[1]);
}

static int wait_for_a_or_b(void *argument)
{
	(void)argument;
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(&s->b)};
	t_ready();
	T_CHECK(mp_wait(items, 2, T_TIMEOUT_MS) == 1);
	s->woken++;
	return 0;
}

#define CROWD (2 * MP__WATCH_CELLS)

Test(wait_shared, more_waiters_than_cells)
{
	struct t_child children[CROWD];

	make_shared();
	for (int i = 0; i < CROWD; i++) {
		children[i] = t_spawn(wait_for_a_or_b, NULL);
		t_wait_ready(&children[i]);
	}
	wait_until_armed(&s->a);
	cr_assert_eq(s->woken, 0);
	T_OK(mp_event_set(&s->a));
	for (int i = 0; i < CROWD; i++)
		t_expect_exit(&children[i], 0);
	cr_assert_eq(s->woken, CROWD);
}

static void *wait_in_thread(void *argument)
{
	mp_waitable items[] = {MP_WAIT(&s->a)};

	(void)argument;
	return (void *)(intptr_t)mp_wait(items, 1, T_TIMEOUT_MS);
}

Test(wait_shared, an_event_that_is_waited_for_is_not_destroyed)
{
	pthread_t thread;
	void *result;

	make_shared();
	cr_assert_eq(pthread_create(&thread, NULL, wait_in_thread, NULL), 0);
	wait_until_armed(&s->a);
	T_RESULT(mp_event_destroy(&s->a), -EBUSY);
	T_OK(mp_event_set(&s->a));
	pthread_join(thread, &result);
	cr_assert_eq((intptr_t)result, 1);
	T_OK(mp_event_destroy(&s->a));
	mp_waitable items[] = {MP_WAIT(&s->b), MP_WAIT(&s->a)};
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), -EINVAL);
	cr_assert(items[1].error == -EINVAL && items[0].error == 0);
}

/* --- queues --------------------------------------------------------------------------------------- */

static mp_queue *queue_of(size_t maxsize)
{
	mp_queue *q = NULL;

	T_OK(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = maxsize), &q));
	return q;
}

static int put_one(int argc, const mp_obj *argv)
{
	return argc != 1 || mp_queue_put(mp_obj_queue(&argv[0]), mp_i64(7), T_TIMEOUT_MS) < 0;
}

static int get_one(int argc, const mp_obj *argv)
{
	mp_obj value;

	return argc != 1 || mp_queue_get(mp_obj_queue(&argv[0]), T_TIMEOUT_MS, &value) < 0;
}

EACH_METHOD(wait_shared, queue_is_ready_when_there_is_a_message)
{
	mp_queue *q = queue_of(1);
	mp_obj value;
	mp_waitable items[] = {MP_WAIT(q), MP_WAIT_ROOM(q)};

	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	cr_assert(!items[0].ready && items[1].ready == POLLOUT);
	mp_process *child = start(put_one, MP_ARGS(mp_handle(q)), BY(method));
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	cr_assert(items[0].ready == POLLIN);
	finish(child, 0);
	T_RESULT(mp_wait(items + 1, 1, 20), 0);
	child = start(get_one, MP_ARGS(mp_handle(q)), BY(method));
	T_RESULT(mp_wait(items + 1, 1, T_TIMEOUT_MS), 1);
	cr_assert_eq(items[1].ready, POLLOUT);
	finish(child, 0);
	T_RESULT(mp_wait(items, 1, MP_NOWAIT), 0);
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EAGAIN);
	mp_queue_close(q);
}

static int shut_down(int argc, const mp_obj *argv)
{
	return argc != 1 || mp_queue_shutdown(mp_obj_queue(&argv[0]), MP_QUEUE_DRAIN) < 0;
}

Test(wait_shared, a_queue_that_is_shut_down_is_ready)
{
	mp_queue *full = queue_of(1);
	mp_queue *empty = queue_of(0);
	mp_waitable items[] = {MP_WAIT(empty), MP_WAIT_ROOM(full)};

	T_OK(mp_queue_put(full, mp_nil(), MP_NOWAIT));
	mp_process *child = start(shut_down, MP_ARGS(mp_handle(empty)), BY(MP_START_FORK));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	cr_assert(items[0].ready && !items[1].ready);
	finish(child, 0);
	child = start(shut_down, MP_ARGS(mp_handle(full)), BY(MP_START_FORK));
	T_RESULT(mp_wait(items + 1, 1, T_TIMEOUT_MS), 1);
	finish(child, 0);
	mp_queue_close(full);
	mp_queue_close(empty);
}

static int lend(void *queue)
{
	const void *data;
	size_t size;
	void *room;

	T_CHECK(mp_queue_peek(queue, MP_NOWAIT, &data, &size) == 0);
	T_CHECK(mp_queue_reserve(queue, 1, MP_NOWAIT, &room) == 0);
	t_ready();
	t_hang();
}

Test(wait_shared, a_message_that_another_one_reads_is_not_ready_until_he_is_dead)
{
	mp_queue *q = queue_of(0);

	T_OK(mp_queue_put(q, mp_nil(), MP_NOWAIT));
	struct t_child child = t_spawn(lend, q);
	t_wait_ready(&child);
	mp_waitable items[] = {MP_WAIT(q), MP_WAIT_ROOM(q)};
	T_RESULT(mp_wait(items, 2, 100), 0);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 2);
	mp_queue_close(q);
}

/* --- all together --------------------------------------------------------------------------------- */

#define ROUNDS 200

struct mix {
	mp_queue *q;
	struct conn_pair pipe;
	struct conn_pair socket;
	int byte[2];
};

/* One after the other, as fast as the other side takes them. */
static int say(void *argument)
{
	struct mix *m = argument;

	for (int i = 0; i < ROUNDS; i++) {
		switch (i % 5) {
		case 0:
			T_CHECK(mp_queue_put(m->q, mp_i64(i), T_TIMEOUT_MS) == 0);
			break;
		case 1:
			T_CHECK(mp_connection_send(m->pipe.b, mp_i64(i), T_TIMEOUT_MS) == 0);
			break;
		case 2:
			T_CHECK(mp_connection_send(m->socket.b, mp_i64(i), T_TIMEOUT_MS) == 0);
			break;
		case 3:
			T_CHECK(write(m->byte[1], "", 1) == 1);
			break;
		default:
			T_CHECK(mp_event_set(&s->a) == 0);
		}
		T_CHECK(mp_event_wait(&s->b, T_TIMEOUT_MS) == 0);
		T_CHECK(mp_event_clear(&s->b) == 0);
	}
	return 0;
}

Test(wait_shared, everything_at_once)
{
	struct mix m = {
		queue_of(3), conn_pair(CONN_PIPE, NULL), conn_pair(SOCK_SEQPACKET, NULL), {-1, -1}};
	mp_obj value;
	char byte;

	make_shared();
	cr_assert_eq(pipe2(m.byte, O_CLOEXEC), 0);
	struct t_child child = t_spawn(say, &m);
	mp_waitable items[] = {MP_WAIT(m.q), MP_WAIT(m.pipe.a), MP_WAIT(m.socket.a),
		MP_WAIT(m.byte[0]), MP_WAIT(&s->a), MP_WAIT(child.pidfd)};
	for (int i = 0; i < ROUNDS; i++) {
		T_RESULT(mp_wait(items, 6, T_TIMEOUT_MS), 1);
		cr_assert(items[i % 5].ready, "round %d", i);
		switch (i % 5) {
		case 0:
			T_OK(mp_queue_get(m.q, MP_NOWAIT, &value));
			break;
		case 1:
			T_OK(mp_connection_recv(m.pipe.a, MP_NOWAIT, &value));
			break;
		case 2:
			T_OK(mp_connection_recv(m.socket.a, MP_NOWAIT, &value));
			break;
		case 3:
			cr_assert_eq(read(m.byte[0], &byte, 1), 1);
			break;
		default:
			T_OK(mp_event_clear(&s->a));
		}
		T_OK(mp_event_set(&s->b));
	}
	T_RESULT(mp_wait(items, 6, T_TIMEOUT_MS), 1);
	cr_assert(items[5].ready);
	t_expect_exit(&child, 0);
	mp_queue_close(m.q);
	conn_close(&m.pipe);
	conn_close(&m.socket);
	close(m.byte[0]);
	close(m.byte[1]);
}

Test(wait_shared, without_a_descriptor_it_looks_around)
{
	struct rlimit before;

	make_shared();
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(0)};
	struct t_child child = t_spawn(set_a_when_armed, NULL);
	T_OK(getrlimit(RLIMIT_NOFILE, &before));
	struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
	T_OK(setrlimit(RLIMIT_NOFILE, &none));
	cr_assert(mp__watch_arm(watch_of(&s->a), 1 << 10));
	int r = mp_wait(items, 1, T_TIMEOUT_MS);
	T_OK(setrlimit(RLIMIT_NOFILE, &before));
	T_RESULT(r, 1);
	t_expect_exit(&child, 0);
}

/* --- deaths --------------------------------------------------------------------------------------- */

static int wait_and_die(void *argument)
{
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT((mp_queue *)argument)};

	(void)mp_wait(items, 2, T_TIMEOUT_MS);
	return 0;
}

Test(wait_shared, waiters_killed_while_they_watch_leave_room_for_others)
{
	mp_queue *q = queue_of(0);

	make_shared();
	for (int i = 0; i < CROWD; i++) {
		t_arm("wait.armed", "kill");
		struct t_child child = t_spawn(wait_and_die, q);
		t_expect_signal(&child, SIGKILL);
		cr_assert(t_fired());
		t_disarm();
		cr_assert(is_armed(watch_of(&s->a)));
	}
	struct mp__doorbell bell;
	T_OK(mp__doorbell_open(&bell));
	cr_assert(mp__watch_arm(watch_of(&s->a), bell.id), "cells of the dead are taken over");
	mp__watch_disarm(watch_of(&s->a), bell.id);
	mp__doorbell_close(&bell);
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(q)};
	T_OK(mp_queue_put(q, mp_nil(), MP_NOWAIT));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	T_OK(mp_event_set(&s->a));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 2);
	mp_queue_close(q);
}

/* Of nobody. It stays when the waiter has seen the change by itself and taken its own away. */
#define NOBODY (UINT32_C(1) << 10)

static int ring_event(void *argument)
{
	(void)argument;
	while (atomic_load(&watch_of(&s->a)->cells[1]) == 0)
		sched_yield();
	return mp_event_set(&s->a);
}

static void ringer_ends(const char *point, const char *action, int signal)
{
	make_shared();
	cr_assert(mp__event_arm(&s->a, NOBODY));
	t_arm(point, action);
	struct t_child child = t_spawn(ring_event, NULL);
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(&s->b)};
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	while (!t_fired()) /* the look around may come before */
		sched_yield();
	t_disarm();
	if (signal != 0)
		t_kill(&child, signal);
	else
		t_expect_signal(&child, SIGKILL);
	T_RESULT(mp_wait(items, 2, MP_NOWAIT), 1);
	T_OK(mp_event_clear(&s->a));
	T_RESULT(mp_wait(items, 2, 20), 0);
}

Test(wait_shared, setter_killed_before_it_rings)
{
	ringer_ends("event.set", "kill", 0);
}

Test(wait_shared, setter_killed_between_cell_and_message)
{
	ringer_ends("watch.taken", "kill", 0);
}

Test(wait_shared, setter_stopped_before_it_rings)
{
	ringer_ends("event.set", "stop", SIGKILL);
}

Test(wait_shared, setter_stopped_between_cell_and_message)
{
	ringer_ends("watch.taken", "stop", SIGKILL);
}

static int put_to(void *queue)
{
	return mp_queue_put(queue, mp_nil(), T_TIMEOUT_MS);
}

static void putter_ends(const char *point)
{
	mp_queue *q = queue_of(0);
	mp_obj value;

	make_shared();
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(q)};
	t_arm(point, "kill");
	struct t_child child = t_spawn(put_to, q);
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	T_OK(mp_queue_get(q, T_TIMEOUT_MS, &value));
	t_expect_signal(&child, SIGKILL);
	t_disarm();
	T_RESULT(mp_wait(items, 2, 20), 0);
	mp_queue_close(q);
}

Test(wait_shared, putter_killed_between_commit_and_ring)
{
	putter_ends("queue.put.committed");
}

Test(wait_shared, sender_into_a_pipe_killed_before_it_rings)
{
	struct conn_pair p = conn_pair(CONN_PIPE, NULL);
	mp_obj value;

	make_shared();
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(p.b)};
	t_arm("pipe.send.committed", "kill");
	pid_t pid = fork();
	if (pid == 0) {
		(void)mp_connection_send(p.a, mp_i64(1), T_TIMEOUT_MS);
		_exit(0);
	}
	T_OK(mp_connection_close(p.a));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	T_OK(mp_connection_recv(p.b, T_TIMEOUT_MS, &value));
	T_RESULT(mp_wait(items, 2, T_TIMEOUT_MS), 1);
	T_RESULT(mp_connection_recv(p.b, T_TIMEOUT_MS, &value), -EPIPE);
	t_disarm();
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	T_OK(mp_connection_close(p.b));
}

/* --- where no ring arrives, and where many die ------------------------------------------------------ */

static int wait_elsewhere(void *argument)
{
	(void)argument;
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return 0; /* not allowed here */
	mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(&s->b)};
	t_ready();
	T_CHECK(mp_wait(items, 2, T_TIMEOUT_MS) == 1);
	T_CHECK(items[0].ready);
	return 77;
}

static bool sleeps(pid_t pid)
{
	char state;

	cr_assert(t_stat(pid, &state, NULL));
	return state == 'S' || state == 'Z';
}

static bool has_ended(const struct t_child *child)
{
	mp_waitable items[] = {MP_WAIT(child->pidfd)};

	return mp_wait(items, 1, MP_NOWAIT) > 0;
}

/* Abstract addresses are of a network namespace: there the look every 50 ms has to do. */
Test(wait_shared, in_another_network_namespace)
{
	make_shared();
	struct t_child child = t_spawn(wait_elsewhere, NULL);
	do
		sched_yield();
	while (!sleeps(child.pid) || (!is_armed(watch_of(&s->a)) && !has_ended(&child)));
	T_OK(mp_event_set(&s->a));
	T_OK(mp_event_clear(&s->a));
	T_OK(mp_event_set(&s->a));
	mp_waitable items[] = {MP_WAIT(child.pidfd)};
	T_RESULT(mp_wait(items, 1, T_TIMEOUT_MS), 1);
	siginfo_t info;
	T_OK(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT));
	t_expect_exit(&child, info.si_status == 77 ? 77 : 0);
}

#define VICTIMS 6
#define KILLS 300

struct arena {
	mp_queue *work;
	mp_queue *done;
};

/* Take a number from one queue, put it into the other; wait for each with others. */
static int victim(void *argument)
{
	struct arena *a = argument;
	mp_obj value;

	for (;;) {
		mp_waitable items[] = {MP_WAIT(&s->a), MP_WAIT(a->work), MP_WAIT(&s->b)};
		T_CHECK(mp_wait(items, 3, T_TIMEOUT_MS) >= 1);
		if (mp_queue_get(a->work, MP_NOWAIT, &value) < 0)
			continue;
		mp_waitable room[] = {MP_WAIT_ROOM(a->done), MP_WAIT(&s->a)};
		T_CHECK(mp_wait(room, 2, T_TIMEOUT_MS) >= 1);
		(void)mp_queue_put(a->done, value, MP_NOWAIT);
		(void)mp_event_set(&s->b);
		(void)mp_event_clear(&s->b);
	}
}

Test(wait_shared, a_storm_of_deaths_hinders_nobody)
{
	struct arena arena = {queue_of(50), queue_of(50)};
	struct t_child children[VICTIMS];
	unsigned seed = 7;
	mp_obj value;

	make_shared();
	for (int i = 0; i < VICTIMS; i++)
		children[i] = t_spawn(victim, &arena);
	for (int i = 0; t_again(i, KILLS); i++) {
		/* Some work for all, and wait until something comes out. */
		mp_waitable items[] = {MP_WAIT_ROOM(arena.work), MP_WAIT(arena.done)};
		int got = 0;
		while (got < 3) {
			cr_assert_gt(mp_wait(items, 2, T_TIMEOUT_MS), 0);
			if (items[0].ready)
				(void)mp_queue_put(arena.work, mp_i64(i), MP_NOWAIT);
			if (items[1].ready && mp_queue_get(arena.done, MP_NOWAIT, &value) == 0)
				got++;
		}
		seed = seed * 1103515245 + 12345;
		struct t_child *next = &children[(seed >> 16) % VICTIMS];
		t_kill(next, SIGKILL);
		*next = t_spawn(victim, &arena);
	}
	for (int i = 0; i < VICTIMS; i++)
		t_kill(&children[i], SIGKILL);
	mp_queue_close(arena.work);
	mp_queue_close(arena.done);
}
