/* SPDX-License-Identifier: MIT */
/*
 * Forks, and deaths at every step: of clients, of the daemon, of its owner. Nobody else hangs, and
 * what was acknowledged is there.
 */
#include <config.h>

#include "base/fds.h"
#include "manager/manager.h"
#include "tests/support/daemon.h"

#include <fcntl.h>
#include <mp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

T_SUITE(manager_fork);
T_SUITE(manager_crash);

#define PATIENCE MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2)

static mp_manager *start(void)
{
	mp_manager *m;

	if (!getenv("MP_MANAGERD"))
		cr_skip_test("MP_MANAGERD is not set");
	T_OK(mp_manager_start(PATIENCE, &m));
	return m;
}

static mp_dict *open_dict(mp_manager *m, const char *name)
{
	mp_dict *d;

	T_OK(mp_manager_dict(m, name, &d));
	return d;
}

static int64_t get_i64(mp_dict *d, int64_t key)
{
	mp_obj value;

	if (mp_dict_get(d, mp_i64(key), &value) < 0)
		return -1;
	int64_t number = mp_obj_i64(&value);
	mp_obj_free(&value);
	return number;
}

/* --- forks ------------------------------------------------------------------------------------ */

static int child_uses(void *argument)
{
	mp_dict *d = argument;

	T_CHECK(get_i64(d, 1) == 10);
	T_CHECK(mp_dict_set(d, mp_i64(2), mp_i64(20)) == 0);
	T_CHECK(mp_dict_close(d) == 0);
	return 0;
}

Test(manager_fork, a_child_uses_named_and_anonymous_dicts_over_its_own_connection)
{
	mp_manager *m = start();
	const char *names[] = {"named", NULL};

	for (int i = 0; i < 2; i++) {
		mp_dict *d = open_dict(m, names[i]);
		T_OK(mp_dict_set(d, mp_i64(1), mp_i64(10)));
		struct t_child child = t_spawn(child_uses, d);
		t_expect_exit(&child, 0);
		cr_assert(get_i64(d, 2) == 20);
		mp_dict_close(d);
	}
	mp_manager_close(m);
}

static int child_closes_everything(void *argument)
{
	T_CHECK(mp_dict_close(argument) == 0);
	return 0;
}

Test(manager_fork, closing_in_a_child_ends_nothing_of_the_parent)
{
	mp_manager *m = start();
	mp_dict *d = open_dict(m, NULL);

	T_OK(mp_manager_close(m)); /* the dict holds the last reference */
	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(10)));
	struct t_child child = t_spawn(child_closes_everything, d);
	t_expect_exit(&child, 0);
	cr_assert(get_i64(d, 1) == 10);
	mp_dict_close(d);
}

static int child_asks_pid(void *argument)
{
	T_CHECK(mp_manager_pid(argument) == -EINVAL);
	T_CHECK(mp_manager_ping(argument) == 0);
	return 0;
}

Test(manager_fork, only_the_starter_knows_the_pid)
{
	mp_manager *m = start();
	struct t_child child = t_spawn(child_asks_pid, m);

	t_expect_exit(&child, 0);
	mp_manager_close(m);
}

struct busy {
	mp_dict *dict;
	_Atomic bool stop;
};

static void *keep_busy(void *argument)
{
	struct busy *busy = argument;

	for (int64_t i = 100; !busy->stop; i++)
		(void)mp_dict_set(busy->dict, mp_i64(100 + i % 100), mp_i64(i));
	return NULL;
}

Test(manager_fork, forks_while_other_threads_are_inside_calls)
{
	mp_manager *m = start();
	struct busy busy = {.dict = open_dict(m, "d")};
	pthread_t threads[4];

	T_OK(mp_dict_set(busy.dict, mp_i64(1), mp_i64(10)));
	for (int i = 0; i < 4; i++)
		cr_assert(pthread_create(&threads[i], NULL, keep_busy, &busy) == 0);
	for (int i = 0; i < 30; i++) {
		struct t_child child = t_spawn(child_uses, busy.dict);
		t_expect_exit(&child, 0);
	}
	busy.stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	mp_dict_close(busy.dict);
	mp_manager_close(m);
}

struct part {
	mp_dict *dict;
	int number;
};

static int child_writes_part(void *argument)
{
	struct part *part = argument;

	for (int i = 0; i < 20; i++)
		T_CHECK(mp_dict_set(part->dict, mp_i64(part->number * 20 + i), mp_i64(i)) == 0);
	return 0;
}

Test(manager_fork, fifty_processes_write_into_one_dict)
{
	mp_manager *m = start();
	struct part part = {.dict = open_dict(m, NULL)};
	struct t_child children[50];
	size_t n;

	for (part.number = 0; part.number < 50; part.number++)
		children[part.number] = t_spawn(child_writes_part, &part);
	for (int i = 0; i < 50; i++)
		t_expect_exit(&children[i], 0);
	T_OK(mp_dict_len(part.dict, &n));
	cr_assert(n == 50 * 20);
	mp_dict_close(part.dict);
	mp_manager_close(m);
}

/* --- handles as arguments --------------------------------------------------------------------- */

static int target(int argc, const mp_obj *argv)
{
	mp_dict *d = argc == 3 ? mp_obj_dict(&argv[0]) : NULL;
	mp_manager *m = argc == 3 ? mp_obj_manager(&argv[2]) : NULL;
	mp_dict *named;

	if (!d || !m || mp_obj_manager(&argv[0]) || get_i64(d, 1) != 10)
		return 1;
	if (mp_dict_set(d, mp_i64(2), mp_i64(20)) < 0)
		return 2;
	if (mp_dict_set(mp_obj_dict(&argv[1]), mp_i64(3), mp_i64(30)) < 0)
		return 3;
	if (mp_manager_dict(m, "named", &named) < 0 || get_i64(named, 3) != 30)
		return 4;
	return mp_dict_close(named);
}

static void pass_handles(int method)
{
	mp_manager *m = start();
	mp_dict *anonymous = open_dict(m, NULL);
	mp_dict *named = open_dict(m, "named");
	mp_process *p;
	int code = -1;

	T_OK(mp_dict_set(anonymous, mp_i64(1), mp_i64(10)));
	T_OK(mp_process_new(target, MP_ARGS(mp_handle(anonymous), mp_handle(named), mp_handle(m)),
		MP_PROCESS_OPTIONS(.start_method = method), &p));
	T_OK(mp_process_start(p));
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_OK(mp_process_exit_code(p, &code));
	cr_assert(code == 0, "the child failed at step %d", code);
	T_OK(mp_process_close(p));
	cr_assert(get_i64(anonymous, 2) == 20);
	cr_assert(get_i64(named, 3) == 30);
	mp_dict_close(anonymous);
	mp_dict_close(named);
	mp_manager_close(m);
}

Test(manager_fork, handles_are_arguments_by_fork)
{
	pass_handles(MP_START_FORK);
}

Test(manager_fork, handles_are_arguments_by_spawn)
{
	pass_handles(MP_START_SPAWN);
}

Test(manager_fork, handles_are_arguments_by_forkserver)
{
	pass_handles(MP_START_FORKSERVER);
}

/* By bytes and descriptors, into this process itself: there is one handle per process. */
Test(manager_fork, a_handle_that_comes_back_is_the_same_and_damaged_ones_are_ebadmsg)
{
	mp_manager *m = start();
	mp_dict *d = open_dict(m, NULL);
	const struct mp__handle_class *class = &mp__dict_class;
	struct mp__handle_wire wire = {0};
	struct mp__handle_wire copy;
	struct mp__handle *handle;

	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(10)));
	T_OK(class->export((struct mp__handle *)d, &wire));
	cr_assert(wire.n_fds == 1);
	copy = wire;
	T_OK(class->import(&copy, &handle));
	cr_assert(copy.fds[0] == wire.fds[0], "the descriptor was not needed");
	cr_assert(get_i64((mp_dict *)handle, 1) == 10);
	class->unref(handle);
	for (size_t size = 0; size < wire.size; size++) {
		copy = wire;
		copy.size = size;
		T_RESULT(class->import(&copy, &handle), -EBADMSG);
	}
	copy = wire;
	copy.n_fds = 0;
	T_RESULT(class->import(&copy, &handle), -EBADMSG);
	copy = wire;
	copy.fds[0] = STDERR_FILENO;
	T_RESULT(class->import(&copy, &handle), -EBADMSG);
	T_OK(mp__manager_class.export((struct mp__handle *)m, &copy));
	copy.data[copy.size++] = 'x';
	T_RESULT(mp__manager_class.import(&copy, &handle), -EBADMSG);
	mp_dict_close(d);
	mp_manager_close(m);
}

/* --- deaths of clients ------------------------------------------------------------------------ */

static int child_sets(void *argument)
{
	(void)mp_dict_set(argument, mp_i64(2), mp_i64(20));
	return 0;
}

/* `acknowledged`: 1 the request was certainly carried out, 0 certainly not, -1 either. */
static void kill_client_at(const char *point, int acknowledged)
{
	mp_manager *m = start();
	mp_dict *d = open_dict(m, NULL);

	T_OK(mp_dict_set(d, mp_i64(1), mp_i64(10)));
	t_arm(point, "kill");
	struct t_child child = t_spawn(child_sets, d);
	t_expect_signal(&child, SIGKILL);
	cr_assert(t_fired());
	t_disarm();
	cr_assert(get_i64(d, 1) == 10);
	int r = mp_dict_contains(d, mp_i64(2));
	cr_assert(r >= 0 && (acknowledged < 0 || r == acknowledged), "%d", r);
	T_OK(mp_manager_ping(m));
	mp_dict_close(d);
	mp_manager_close(m);
}

Test(manager_crash, client_killed_while_it_connects)
{
	kill_client_at("manager.connector.sent", 0);
}

Test(manager_crash, client_killed_before_its_hello)
{
	kill_client_at("manager.connect.connected", 0);
}

Test(manager_crash, client_killed_before_it_sends)
{
	kill_client_at("manager.call.begun", 0);
}

Test(manager_crash, client_killed_after_it_sent)
{
	kill_client_at("manager.call.sent", -1);
}

Test(manager_crash, client_killed_before_it_reads_the_reply)
{
	kill_client_at("manager.call.received", -1);
}

/* --- deaths of the daemon --------------------------------------------------------------------- */

static void kill_daemon_at(const char *point, const char *action)
{
	t_arm(point, action);
	mp_manager *m = start();
	mp_dict *d;
	int r = mp_manager_dict(m, "d", &d);

	if (r == 0) {
		r = mp_dict_set(d, mp_i64(1), mp_i64(1));
		mp_dict_close(d);
	}
	T_RESULT(r, -EPIPE);
	T_RESULT(mp_manager_ping(m), -EPIPE);
	cr_assert(t_fired());
	t_disarm();
	T_OK(mp_manager_close(m));
}

Test(manager_crash, daemon_killed_before_a_change)
{
	kill_daemon_at("managerd.set.checked", "kill");
}

Test(manager_crash, daemon_killed_between_change_and_reply)
{
	kill_daemon_at("managerd.set.done", "kill");
}

Test(manager_crash, daemon_exits_between_change_and_reply)
{
	kill_daemon_at("managerd.set.done", "exit");
}

Test(manager_crash, daemon_killed_before_it_answers_the_hello)
{
	mp_manager *m;

	t_arm("managerd.session.received", "kill");
	T_RESULT(mp_manager_start(PATIENCE, &m), -EPIPE);
	cr_assert(t_fired());
	t_disarm();
}

Test(manager_crash, daemon_killed_behind_its_first_reply)
{
	mp_manager *m;

	t_arm("managerd.session.sent", "kill");
	T_OK(mp_manager_start(PATIENCE, &m));
	T_RESULT(mp_manager_ping(m), -EPIPE);
	cr_assert(t_fired());
	t_disarm();
	T_OK(mp_manager_close(m));
}

Test(manager_crash, a_stopped_daemon_ends_when_it_is_closed)
{
	mp_manager *m = start();
	mp_dict *d = open_dict(m, NULL);
	int pid = mp_manager_pid(m);

	cr_assert(kill(pid, SIGSTOP) == 0);
	T_OK(mp_dict_close(d));
	T_OK(mp_manager_close(m));
	cr_assert(kill(pid, 0) < 0 && errno == ESRCH);
}

static void *wait_for_epipe(void *argument)
{
	int r;

	do
		r = mp_dict_set(argument, mp_i64(1), mp_i64(1));
	while (r == 0);
	return (void *)(intptr_t)r;
}

Test(manager_crash, all_threads_inside_calls_learn_of_the_daemons_death)
{
	mp_manager *m = start();
	mp_dict *d = open_dict(m, "d");
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		cr_assert(pthread_create(&threads[i], NULL, wait_for_epipe, d) == 0);
	cr_assert(kill(mp_manager_pid(m), SIGKILL) == 0);
	for (int i = 0; i < 8; i++) {
		void *result;
		cr_assert(pthread_join(threads[i], &result) == 0);
		cr_assert((int)(intptr_t)result == -EPIPE, "%d", (int)(intptr_t)result);
	}
	mp_dict_close(d);
	mp_manager_close(m);
}

/* --- deaths of the owner ---------------------------------------------------------------------- */

/* What a child tells the test, through shared memory that outlives it. */
static int pid_pipe[2];

static int owner(void *argument)
{
	mp_manager *m;

	(void)argument;
	T_CHECK(mp_manager_start(PATIENCE, &m) == 0);
	int pid = mp_manager_pid(m);
	T_CHECK(write(pid_pipe[1], &pid, sizeof(pid)) == sizeof(pid));
	/* A forked child has the connector and the connection too, and must not keep the daemon. */
	if (fork() == 0) {
		T_CHECK(mp_manager_ping(m) == 0);
		t_ready();
		t_hang();
	}
	t_hang();
}

Test(manager_crash, daemon_ends_with_its_killed_owner_though_children_hold_sockets)
{
	int pid;

	if (!getenv("MP_MANAGERD"))
		cr_skip_test("MP_MANAGERD is not set");
	cr_assert(pipe2(pid_pipe, O_CLOEXEC) == 0);
	struct t_child child = t_spawn(owner, NULL);
	t_wait_ready(&child);
	cr_assert(read(pid_pipe[0], &pid, sizeof(pid)) == sizeof(pid));
	int daemon = mp__pidfd_open(pid);
	cr_assert(daemon >= 0);
	/* The grandchild, whom the test inherits, would hang for ever. */
	t_kill(&child, SIGKILL);
	t_wait_pidfd(daemon);
	close(daemon);
	siginfo_t info;
	bool killed = false;
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
		if (info.si_pid != 0) {
			waitpid(info.si_pid, NULL, 0);
			memset(&info, 0, sizeof(info));
		} else if (!killed) {
			char line[64];
			snprintf(line, sizeof(line), "/proc/self/task/%d/children", getpid());
			FILE *file = fopen(line, "re");
			int orphan;
			while (file && fscanf(file, "%d", &orphan) == 1)
				kill(orphan, SIGKILL);
			if (file)
				fclose(file);
			killed = true;
		}
	}
	close(pid_pipe[0]);
	close(pid_pipe[1]);
}

static int owner_dies_while_starting(void *argument)
{
	mp_manager *m;

	(void)argument;
	(void)mp_manager_start(PATIENCE, &m);
	return T_CHILD_FAILED;
}

/* The test is a subreaper: its end fails if the daemon stays behind. */
Test(manager_crash, daemon_ends_when_its_owner_is_killed_while_starting_it)
{
	t_arm("manager.start.launched", "kill");
	struct t_child child = t_spawn(owner_dies_while_starting, NULL);
	t_expect_signal(&child, SIGKILL);
	cr_assert(t_fired());
	t_disarm();
}

static int owner_exits(void *argument)
{
	mp_manager *m;

	(void)argument;
	T_CHECK(mp_manager_start(PATIENCE, &m) == 0);
	return 7;
}

Test(manager_crash, daemon_ends_when_its_owner_exits_without_closing)
{
	struct t_child child = t_spawn(owner_exits, NULL);

	t_expect_exit(&child, 7);
}
