/* SPDX-License-Identifier: MIT */
/*
 * Who has something of a managerd and dies, is stopped, or waits in a circle: nobody else hangs, and
 * what was held passes on.
 */
#include <config.h>

#include "base/fds.h"
#include "manager/manager.h"
#include "proto/manager.pb-c.h"
#include "tests/support/daemon.h"
#include "wire/frame.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

T_SUITE(served_death);
T_SUITE(served_deadlock);
T_SUITE(served_drain);

#define LONG_MS 60000

static mp_manager *connect_to(const struct t_daemon *daemon)
{
	mp_manager *m;

	T_OK(mp_manager_connect(daemon->address, T_PATIENT, &m));
	return m;
}

static mp_proxy *lock_of(mp_manager *m, const char *name)
{
	mp_proxy *lock;

	T_OK(mp_manager_lock(m, name, &lock));
	return lock;
}

/* Until the method waits in the daemon, nobody can tell; but what is asked after it, comes after it. */
static void expect_locked(mp_proxy *lock, int locked)
{
	T_RESULT(mp_served_lock_locked(lock), locked);
}

/* --- deaths ----------------------------------------------------------------------------------- */

static int hold_and_hang(void *argument)
{
	T_CHECK(mp_served_lock_acquire(argument, LONG_MS, NULL) == 0);
	t_ready();
	t_hang();
}

Test(served_death, a_killed_holder_passes_the_lock_on)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = lock_of(m, "l");
	int64_t fence;

	struct t_child child = t_spawn(hold_and_hang, lock);
	t_wait_ready(&child);
	T_RESULT(mp_served_lock_acquire(lock, MP_NOWAIT, NULL), -EAGAIN);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_served_lock_acquire(lock, LONG_MS, &fence), MP_OWNER_DIED);
	cr_assert(fence == 2);
	T_OK(mp_served_lock_release(lock));
	T_OK(mp_served_lock_acquire(lock, LONG_MS, &fence));
	T_OK(mp_served_lock_release(lock));
	mp_proxy_close(lock);
	mp_manager_close(m);
}

static void *acquire_orphan(void *argument)
{
	T_RESULT(mp_served_lock_acquire(argument, LONG_MS, NULL), MP_OWNER_DIED);
	T_OK(mp_served_lock_release(argument));
	return NULL;
}

/* Those who wait are woken by the death itself. */
Test(served_death, a_killed_holder_wakes_who_waits)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = lock_of(m, NULL);
	pthread_t thread;

	struct t_child child = t_spawn(hold_and_hang, lock);
	t_wait_ready(&child);
	pthread_create(&thread, NULL, acquire_orphan, lock);
	T_RESULT(mp_served_lock_acquire(lock, 20, NULL), -ETIMEDOUT);
	t_kill(&child, SIGKILL);
	pthread_join(thread, NULL);
	mp_proxy_close(lock);
	mp_manager_close(m);
}

static int wait_for_lock(void *argument)
{
	t_ready();
	return mp_served_lock_acquire(argument, LONG_MS, NULL);
}

Test(served_death, a_killed_waiter_is_forgotten)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = lock_of(m, "l");

	T_OK(mp_served_lock_acquire(lock, MP_FOREVER, NULL));
	struct t_child child = t_spawn(wait_for_lock, lock);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	T_OK(mp_served_lock_release(lock));
	/* If it had been waiting, and was given the lock nevertheless, that is an orphan's by now. */
	int r = mp_served_lock_acquire(lock, LONG_MS, NULL);
	cr_assert(r == 0 || r == MP_OWNER_DIED);
	T_OK(mp_served_lock_release(lock));
	mp_proxy_close(lock);
	mp_manager_close(m);
}

/* Keeps the socket of its parent open, and so its connection, beyond the parent's death. */
static int die_before_the_child(void *argument)
{
	int *pipe_fds = argument;
	mp_manager *m;
	mp_proxy *lock;
	char address[96];

	T_CHECK(t_read_full(pipe_fds[0], address, sizeof(address)) == 0);
	T_CHECK(mp_manager_connect(address, T_PATIENT, &m) == 0);
	T_CHECK(mp_manager_lock(m, "l", &lock) == 0);
	T_CHECK(mp_served_lock_acquire(lock, LONG_MS, NULL) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		char byte;
		close(pipe_fds[1]);
		/* Until the test has seen enough: it closes its end. */
		(void)!read(pipe_fds[0], &byte, 1);
		_exit(0);
	}
	T_CHECK(pid > 0);
	t_ready();
	t_hang();
}

Test(served_death, a_child_that_holds_the_socket_does_not_keep_the_lock)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m = connect_to(&daemon);
	mp_proxy *lock = lock_of(m, "l");
	int fds[2];

	cr_assert(pipe2(fds, O_CLOEXEC) == 0);
	struct t_child child = t_spawn(die_before_the_child, fds);
	cr_assert(write(fds[1], daemon.address, sizeof(daemon.address)) ==
		  (ssize_t)sizeof(daemon.address));
	t_wait_ready(&child);
	T_RESULT(mp_served_lock_acquire(lock, MP_NOWAIT, NULL), -EAGAIN);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_served_lock_acquire(lock, LONG_MS, NULL), MP_OWNER_DIED);
	T_OK(mp_served_lock_release(lock));
	close(fds[1]);
	close(fds[0]);
	mp_proxy_close(lock);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

static void pack_request(struct mp__buffer *frames, Mp__Request *request, uint64_t id)
{
	request->id = id;
	T_OK(mp__frame_append(frames, &request->base, MP__FRAME_FIRST_MAX));
}

/* Hello, open, acquire, all at once: nobody has answered any of it yet. */
static struct mp__buffer pack_all(void)
{
	struct mp__buffer frames = {0};
	Mp__Request request = MP__REQUEST__INIT;
	Mp__Hello hello = MP__HELLO__INIT;
	Mp__Open open = MP__OPEN__INIT;
	Mp__Call call = MP__CALL__INIT;

	hello.version = MP__PROTOCOL_VERSION;
	request.op_case = MP__REQUEST__OP_HELLO;
	request.hello = &hello;
	pack_request(&frames, &request, 1);
	open.class_name = (char *)"lock";
	open.name = (ProtobufCBinaryData){1, (uint8_t *)"l"};
	request.op_case = MP__REQUEST__OP_OPEN;
	request.open = &open;
	pack_request(&frames, &request, 2);
	call.reference = (uint64_t)1 << 32; /* the first one of any connection */
	call.method = (char *)"acquire";
	request.op_case = MP__REQUEST__OP_CALL;
	request.call = &call;
	pack_request(&frames, &request, 3);
	return frames;
}

struct early {
	const struct t_daemon *daemon;
	int hold[2]; /* the grandchild ends when the test closes its end */
};

static int ask_and_die(void *argument)
{
	struct early *early = argument;
	struct mp__buffer frames = pack_all();
	int fd = t_daemon_connect(early->daemon);

	T_CHECK(mp__write_full(fd, mp__buffer_at(&frames), mp__buffer_size(&frames)) == 0);
	mp__buffer_free(&frames);
	pid_t pid = fork();
	if (pid == 0) {
		char byte;
		close(early->hold[1]);
		(void)!read(early->hold[0], &byte, 1);
		_exit(0);
	}
	return pid > 0 ? 0 : 1;
}

/* When the daemon comes to serve it, it is gone and reaped; only its child has the socket. */
Test(served_death, a_client_that_died_before_it_was_served_holds_nothing)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	struct early early = {.daemon = &daemon};
	mp_manager *m = connect_to(&daemon);
	mp_proxy *lock = lock_of(m, "l");

	cr_assert(pipe2(early.hold, O_CLOEXEC) == 0);
	t_stop_pidfd(daemon.pidfd);
	struct t_child child = t_spawn(ask_and_die, &early);
	t_expect_exit(&child, 0);
	T_OK(mp__pidfd_signal(daemon.pidfd, SIGCONT));
	int r = mp_served_lock_acquire(lock, LONG_MS, NULL);
	/* Before it, or after it. */
	cr_assert(r == 0 || r == MP_OWNER_DIED, "%d", r);
	T_OK(mp_served_lock_release(lock));
	T_OK(mp_manager_ping(m));
	r = mp_served_lock_acquire(lock, LONG_MS, NULL);
	cr_assert(r == 0 || r == MP_OWNER_DIED, "%d", r);
	T_OK(mp_served_lock_release(lock));
	close(early.hold[0]);
	close(early.hold[1]);
	mp_proxy_close(lock);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

static int send_half_a_frame(void *argument)
{
	mp_proxy *lock = argument;
	int fd = -1;

	T_CHECK(mp_served_lock_acquire(lock, LONG_MS, NULL) == 0);
	/* The connection of this process is the newest descriptor that is a socket. */
	for (int i = 3; i < 256; i++) {
		int type;
		socklen_t size = sizeof(type);
		if (getsockopt(i, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM)
			fd = i;
	}
	T_CHECK(send(fd, "\x20\0\0\0\x08", 5, MSG_NOSIGNAL) == 5);
	t_ready();
	t_hang();
}

Test(served_death, a_holder_killed_in_the_middle_of_a_frame_passes_the_lock_on)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = lock_of(m, "l");

	struct t_child child = t_spawn(send_half_a_frame, lock);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_served_lock_acquire(lock, LONG_MS, NULL), MP_OWNER_DIED);
	T_OK(mp_served_lock_release(lock));
	mp_proxy_close(lock);
	mp_manager_close(m);
}

Test(served_death, a_stopped_holder_keeps_the_lock)
{
	mp_manager *m = t_manager();
	mp_proxy *lock = lock_of(m, "l");

	struct t_child child = t_spawn(hold_and_hang, lock);
	t_wait_ready(&child);
	t_kill(&child, SIGSTOP);
	T_RESULT(mp_served_lock_acquire(lock, 50, NULL), -ETIMEDOUT);
	expect_locked(lock, 1);
	t_kill(&child, SIGKILL);
	T_RESULT(mp_served_lock_acquire(lock, LONG_MS, NULL), MP_OWNER_DIED);
	T_OK(mp_served_lock_release(lock));
	mp_proxy_close(lock);
	mp_manager_close(m);
}

static int acquire_and_release(void *argument)
{
	T_CHECK(mp_served_lock_acquire(argument, LONG_MS, NULL) >= 0);
	T_CHECK(mp_served_lock_release(argument) == 0);
	return 0;
}

/* Killed before, while and after it is given the lock, and while it gives it back. */
Test(served_death, a_client_killed_at_any_step_keeps_nothing)
{
	static const char *const points[] = {"manager.connect.connected", "manager.call.begun",
		"manager.call.sent", "manager.call.received"};
	mp_manager *m = t_manager();
	mp_proxy *lock = lock_of(m, "l");

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		t_arm(points[i], "kill");
		struct t_child child = t_spawn(acquire_and_release, lock);
		t_expect_signal(&child, SIGKILL);
		cr_assert(t_fired(), "%s", points[i]);
		t_disarm();
		int r = mp_served_lock_acquire(lock, LONG_MS, NULL);
		cr_assert(r == 0 || r == MP_OWNER_DIED, "%s: %d", points[i], r);
		T_OK(mp_served_lock_release(lock));
	}
	mp_proxy_close(lock);
	mp_manager_close(m);
}

/* The daemon finds the request when it goes on; by then nobody is there who would release the lock. */
Test(served_death, a_daemon_that_was_stopped_gives_no_lock_to_who_has_left)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *impatient;
	mp_manager *m = connect_to(&daemon);
	mp_proxy *lock = lock_of(m, "l");

	T_OK(mp_manager_connect(daemon.address, T_PATIENT, &impatient));
	mp_proxy *theirs = lock_of(impatient, "l");
	impatient->timeout_ms = 100;
	t_stop_pidfd(daemon.pidfd);
	T_RESULT(mp_served_lock_acquire(theirs, 50, NULL), -ETIMEDOUT);
	T_OK(mp__pidfd_signal(daemon.pidfd, SIGCONT));
	int r = mp_served_lock_acquire(lock, LONG_MS, NULL);
	cr_assert(r == 0 || r == MP_OWNER_DIED);
	T_OK(mp_served_lock_release(lock));
	mp_proxy_close(theirs);
	mp_manager_close(impatient);
	mp_proxy_close(lock);
	mp_manager_close(m);
	t_daemon_stop(&daemon);
}

static int lose_the_daemon(void *argument)
{
	int r = mp_served_lock_acquire(argument, LONG_MS, NULL);

	return r == -EPIPE ? 0 : 1;
}

/* Whoever waits when the daemon dies is told, at whatever step it was. */
Test(served_death, a_daemon_killed_at_any_step_leaves_nobody_waiting)
{
	static const char *const points[] = {
		"managerd.lock.taken", "managerd.lock.pass", "serve.hold.abandoned"};

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct t_child holder = {0};
		t_arm(points[i], "kill");
		struct t_daemon daemon = t_daemon_start(NULL);
		mp_manager *m = connect_to(&daemon);
		mp_proxy *lock = lock_of(m, "l");
		if (i > 0) {
			holder = t_spawn(hold_and_hang, lock);
			t_wait_ready(&holder);
		}
		struct t_child child = t_spawn(lose_the_daemon, lock);
		if (i > 0) {
			t_wait_for_waiters(m, 1);
			t_kill(&holder, SIGKILL);
		}
		t_expect_exit(&child, 0);
		cr_assert(t_fired(), "%s", points[i]);
		t_disarm();
		t_daemon_kill(&daemon);
		t_daemon_remove_directory(&daemon);
		mp_proxy_close(lock);
		mp_manager_close(m);
	}
}

/* --- deadlocks -------------------------------------------------------------------------------- */

struct pair {
	mp_proxy *first;
	mp_proxy *second;
	pthread_barrier_t both;
	int result;
};

static void *cross(void *argument)
{
	struct pair *p = argument;

	T_OK(mp_served_lock_acquire(p->first, LONG_MS, NULL));
	pthread_barrier_wait(&p->both);
	p->result = mp_served_lock_acquire(p->second, LONG_MS, NULL);
	if (p->result == 0)
		T_OK(mp_served_lock_release(p->second));
	T_OK(mp_served_lock_release(p->first));
	return NULL;
}

Test(served_deadlock, a_circle_is_answered_and_named)
{
	mp_manager *m = t_manager();
	struct pair p = {.first = lock_of(m, "one"), .second = lock_of(m, "two")};
	pthread_t thread;

	pthread_barrier_init(&p.both, NULL, 2);
	pthread_create(&thread, NULL, cross, &p);
	T_OK(mp_served_lock_acquire(p.second, LONG_MS, NULL));
	pthread_barrier_wait(&p.both);
	/* One of the two is second, and is told. */
	int r = mp_served_lock_acquire(p.first, LONG_MS, NULL);
	if (r == -EDEADLK) {
		cr_assert(strstr(mp_error_detail(), "the lock 'one'"), "%s", mp_error_detail());
		cr_assert(strstr(mp_error_detail(), "the lock 'two'"), "%s", mp_error_detail());
		T_OK(mp_served_lock_release(p.second));
	} else {
		T_OK(r);
		T_OK(mp_served_lock_release(p.first));
		T_OK(mp_served_lock_release(p.second));
	}
	pthread_join(thread, NULL);
	cr_assert((r == 0) == (p.result == -EDEADLK), "%d and %d", r, p.result);
	pthread_barrier_destroy(&p.both);
	mp_proxy_close(p.first);
	mp_proxy_close(p.second);
	mp_manager_close(m);
}

/* --- the end of the daemon -------------------------------------------------------------------- */

static int wait_until_told(void *argument)
{
	T_CHECK(mp_served_lock_acquire(argument, MP_NOWAIT, NULL) == -EAGAIN);
	t_ready();
	return mp_served_lock_acquire(argument, MP_FOREVER, NULL) == -EPIPE ? 0 : 1;
}

Test(served_drain, who_waits_is_told_that_the_daemon_ends)
{
	struct t_daemon daemon = t_daemon_start(NULL);
	mp_manager *m = connect_to(&daemon);
	mp_proxy *lock = lock_of(m, "l");

	T_OK(mp_served_lock_acquire(lock, MP_FOREVER, NULL));
	struct t_child child = t_spawn(wait_until_told, lock);
	t_wait_ready(&child);
	t_daemon_stop(&daemon);
	t_expect_exit(&child, 0);
	T_RESULT(mp_served_lock_release(lock), -EPIPE);
	mp_proxy_close(lock);
	mp_manager_close(m);
}
