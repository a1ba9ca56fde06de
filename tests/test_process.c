/* SPDX-License-Identifier: MIT */
/* Processes, the same under every start method: options, arguments, exit codes, signals, ends. */
#include <config.h>

#include "tests/support/starts.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <mp/log.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

T_SUITE(process);

EACH_METHOD(process, test_process)
{
	mp_process *p;
	int code = 77;

	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(7)), BY(method), &p));
	T_RESULT(mp_process_is_alive(p), 0);
	T_RESULT(mp_process_exit_code(p, &code), -EINVAL);
	T_RESULT(mp_process_pid(p), -EINVAL);
	T_RESULT(mp_process_sentinel(p), -EINVAL);
	T_RESULT(mp_process_join(p, MP_NOWAIT), -EINVAL);
	T_RESULT(mp_process_terminate(p), -EINVAL);
	T_OK(mp_process_start(p));
	cr_assert(mp_process_pid(p) > 0 && mp_process_pid(p) != getpid());
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_OK(mp_process_join(p, MP_NOWAIT));
	T_RESULT(mp_process_is_alive(p), 0);
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, 7);
	cr_assert(mp_process_pid(p) > 0);
	T_RESULT(mp_process_start(p), -EALREADY);
	T_RESULT(mp_process_kill(p), -ESRCH);
	T_OK(mp_process_close(p));
}

Test(process, bad_options_are_refused)
{
	mp_process *p = NULL;
	mp_process_options o = {.size = sizeof(o), .flags = 1};

	T_RESULT(mp_process_new(NULL, mp_nil(), NULL, &p), -EINVAL);
	T_RESULT(mp_process_new(return_it, mp_nil(), NULL, NULL), -EINVAL);
	T_RESULT(mp_process_new(return_it, mp_i64(1), NULL, &p), -EINVAL);
	T_RESULT(mp_process_new(return_it, mp_nil(), &o, &p), -EINVAL);
	T_RESULT(mp_process_new(return_it, mp_nil(), BY(5), &p), -EINVAL);
	T_RESULT(mp_process_new(return_it, mp_nil(), BY(-1), &p), -EINVAL);
	T_RESULT(mp_process_new(return_it, MP_ARGS(mp_strn("\xff", 1)), NULL, &p), -EILSEQ);
	T_RESULT(mp_process_new(return_it, MP_ARGS(mp_fd(9999)), NULL, &p), -EBADF);
	struct {
		mp_process_options known;
		uint64_t more;
	} newer = {.known.size = sizeof(newer), .more = 1};
	T_RESULT(mp_process_new(return_it, mp_nil(), &newer.known, &p), -E2BIG);
	cr_assert_null(p);
	T_RESULT(mp_process_start(NULL), -EINVAL);
	T_RESULT(mp_process_is_alive(NULL), -EINVAL);
	T_OK(mp_process_close(NULL));
	/* One that is never started. */
	T_OK(mp_process_new(return_it, MP_ARGS(mp_fd(0)), NULL, &p));
	T_OK(mp_process_close(p));
}

Test(process, arguments_nested_too_deeply)
{
	mp_obj levels[MP_OBJ_MAX_DEPTH + 1];
	mp_process *p;

	levels[0] = mp_list_of(NULL, 0);
	for (int i = 1; i <= MP_OBJ_MAX_DEPTH; i++)
		levels[i] = mp_list_of(&levels[i - 1], 1);
	T_RESULT(mp_process_new(return_it, levels[MP_OBJ_MAX_DEPTH], NULL, &p), -EOVERFLOW);
	T_OK(mp_process_new(return_it, levels[MP_OBJ_MAX_DEPTH - 1], NULL, &p));
	T_OK(mp_process_close(p));
}

static int check_args(int argc, const mp_obj *argv)
{
	int64_t i = 0;
	uint64_t u = 0;

	T_CHECK(argc == 9);
	T_CHECK(argv[0].type == MP_TYPE_NIL);
	T_CHECK(argv[1].type == MP_TYPE_BOOL && argv[1].as.boolean);
	T_CHECK(mp_obj_to_i64(&argv[2], &i) == 0 && i == INT64_MIN);
	T_CHECK(mp_obj_to_u64(&argv[3], &u) == 0 && u == UINT64_MAX);
	T_CHECK(mp_obj_f64(&argv[4]) == 0.1);
	T_CHECK(strcmp(mp_obj_str(&argv[5]), "gr\xc3\xbc\xc3\x9f") == 0);
	T_CHECK(argv[6].count == 3 && memcmp(argv[6].as.bytes, "\0\xff", 3) == 0);
	T_CHECK(mp_obj_i64(mp_obj_at(mp_obj_at(&argv[7], 1), 0)) == 5);
	T_CHECK(mp_obj_i64(mp_obj_get(&argv[8], mp_str("k"))) == 6);
	return 0;
}

EACH_METHOD_AND_THREAD(process, test_args_argument)
{
	finish(start(check_args,
		       MP_ARGS(mp_nil(), mp_bool(true), mp_i64(INT64_MIN), mp_u64(UINT64_MAX),
			       mp_f64(0.1), mp_str("gr\xc3\xbc\xc3\x9f"), mp_bytes("\0\xff", 3),
			       MP_LIST(mp_i64(1), MP_LIST(mp_i64(5))),
			       MP_DICT(mp_str("k"), mp_i64(6))),
		       BY(method)),
		0);
	finish(start(return_it, mp_nil(), BY(method)), 0);
	finish(start(return_it, MP_ARGS(), BY(method)), 0);
}

static int length_of(int argc, const mp_obj *argv)
{
	return argc == 1 && argv[0].count == 8 << 20 ? 0 : 1;
}

EACH_METHOD_AND_THREAD(process, big_arguments_wait_for_nobody)
{
	void *big = calloc(1, 8 << 20);

	finish(start(length_of, MP_ARGS(mp_bytes(big, 8 << 20)), BY(method)), 0);
	free(big);
}

static int write_to_fd(int argc, const mp_obj *argv)
{
	int fd = argc > 0 ? mp_obj_fd(&argv[0]) : -1;

	T_CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	T_CHECK(write(fd, "hello", 5) == 5);
	return 0;
}

EACH_METHOD_AND_THREAD(process, descriptors_travel_and_do_not_stay)
{
	int ends[2];
	char text[6] = "";

	cr_assert(pipe2(ends, O_CLOEXEC) == 0);
	mp_process *p = start(write_to_fd, MP_ARGS(mp_fd(ends[1])), BY(method));
	close(ends[1]);
	/* End of file comes: neither the handle nor a fork server holds the other end. */
	T_OK(t_read_full(ends[0], text, 5));
	cr_assert_str_eq(text, "hello");
	cr_assert_eq(read(ends[0], text, 1), 0);
	close(ends[0]);
	finish(p, 0);
}

static int leave_by_exit(int argc, const mp_obj *argv)
{
	(void)argc;
	exit((int)mp_obj_i64(&argv[0]));
}

static int leave_at_once(int argc, const mp_obj *argv)
{
	(void)argc;
	_exit((int)mp_obj_i64(&argv[0]));
}

static int raise_it(int argc, const mp_obj *argv)
{
	(void)argc;
	signal(SIGABRT, SIG_DFL);
	prctl(PR_SET_DUMPABLE, 0);
	raise((int)mp_obj_i64(&argv[0]));
	return 0;
}

EACH_METHOD(process, exit_codes)
{
	finish(start(return_it, MP_ARGS(mp_i64(0)), BY(method)), 0);
	finish(start(return_it, MP_ARGS(mp_i64(255)), BY(method)), 255);
	finish(start(return_it, MP_ARGS(mp_i64(256 + 3)), BY(method)), 3);
	finish(start(return_it, MP_ARGS(mp_i64(-1)), BY(method)), 255);
	finish(start(leave_at_once, MP_ARGS(mp_i64(9)), BY(method)), 9);
	/* exit() also runs what the test runner registered; only a fresh execution is clean. */
	if (method != MP_START_FORK)
		finish(start(leave_by_exit, MP_ARGS(mp_i64(8)), BY(method)), 8);
	finish(start(raise_it, MP_ARGS(mp_i64(SIGKILL)), BY(method)), -SIGKILL);
	finish(start(raise_it, MP_ARGS(mp_i64(SIGABRT)), BY(method)), -SIGABRT);
	finish(start(raise_it, MP_ARGS(mp_i64(SIGUSR1)), BY(method)), -SIGUSR1);
}

EACH_METHOD(process, test_terminate)
{
	mp_process *p = start(hang, mp_nil(), BY(method));
	int code;

	T_RESULT(mp_process_join(p, MP_NOWAIT), -ETIMEDOUT);
	T_RESULT(mp_process_join(p, 1), -ETIMEDOUT);
	T_RESULT(mp_process_is_alive(p), 1);
	T_RESULT(mp_process_exit_code(p, &code), -EAGAIN);
	T_RESULT(mp_process_signal(p, 9999), -EINVAL);
	T_OK(mp_process_signal(p, 0));
	T_OK(mp_process_terminate(p));
	T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
	T_RESULT(mp_process_terminate(p), -ESRCH);
	finish(p, -SIGTERM);
}

EACH_METHOD(process, test_kill)
{
	mp_process *p = start(hang, mp_nil(), BY(method));

	T_OK(mp_process_kill(p));
	finish(p, -SIGKILL);
}

static int signal_without_rights(void *method)
{
	mp_process *p;

	T_CHECK(mp_process_new(hang, mp_nil(),
			MP_PROCESS_OPTIONS(.start_method = (int)(intptr_t)method, .daemon = true),
			&p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	T_CHECK(setresuid(65534, 65534, 65534) == 0);
	T_CHECK(mp_process_kill(p) == -EPERM);
	T_CHECK(mp_process_is_alive(p) == 1);
	return 0;
}

EACH_METHOD(process, signal_to_another_user)
{
	if (geteuid() != 0)
		cr_skip_test("needs root");
	struct t_child child = t_spawn(signal_without_rights, (void *)(intptr_t)method);
	t_expect_exit(&child, 0);
}

EACH_METHOD(process, test_close)
{
	mp_process *p = start(hang, mp_nil(), BY(method));

	T_RESULT(mp_process_close(p), -EBUSY);
	T_RESULT(mp_process_is_alive(p), 1);
	T_OK(mp_process_kill(p));
	finish(p, -SIGKILL);
}

EACH_METHOD(process, test_sentinel)
{
	mp_process *p = start(hang, mp_nil(), BY(method));
	int fd = mp_process_sentinel(p);
	int code = 0;

	cr_assert(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	T_RESULT(mp__fd_wait(fd, POLLIN, mp__deadline_in(0)), -ETIMEDOUT);
	T_OK(mp_process_kill(p));
	T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	/* No join in between. */
	T_OK(mp_process_exit_code(p, &code));
	cr_assert_eq(code, -SIGKILL);
	T_OK(mp_process_close(p));
}

#define N_CHILDREN 100

EACH_METHOD(process, test_many_processes)
{
	mp_process *p[N_CHILDREN];

	for (int i = 0; i < N_CHILDREN; i++)
		p[i] = start(return_it, MP_ARGS(mp_i64(i)), BY(method));
	for (int i = 0; i < N_CHILDREN; i++)
		finish(p[i], i);
	for (int i = 0; i < N_CHILDREN; i++)
		p[i] = start(hang, mp_nil(),
			MP_PROCESS_OPTIONS(.start_method = method, .daemon = i & 1));
	for (int i = 0; i < N_CHILDREN; i++)
		T_OK(mp_process_terminate(p[i]));
	for (int i = 0; i < N_CHILDREN; i++)
		finish(p[i], -SIGTERM);
}

static int comm_is(int argc, const mp_obj *argv)
{
	char name[17] = "";

	(void)argc;
	prctl(PR_GET_NAME, name);
	return strcmp(name, mp_obj_str(&argv[0])) != 0;
}

EACH_METHOD(process, name_shows_in_ps)
{
	mp_process *p = start(comm_is, MP_ARGS(mp_str("a rather long n")),
		MP_PROCESS_OPTIONS(.name = "a rather long name", .start_method = method));

	cr_assert_str_eq(mp_process_name(p), "a rather long name");
	finish(p, 0);
	p = start(comm_is, MP_ARGS(mp_str("Process-2")), BY(method));
	cr_assert_str_eq(mp_process_name(p), "Process-2");
	finish(p, 0);
}

static int stdin_is_empty(int argc, const mp_obj *argv)
{
	char byte;

	(void)argc;
	(void)argv;
	T_CHECK(read(0, &byte, 1) == 0);
	T_CHECK(getchar() == EOF);
	return 0;
}

EACH_METHOD(process, stdin_is_dev_null)
{
	int ends[2];

	cr_assert(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[0], 0) == 0);
	cr_assert(write(ends[1], "abc\n", 4) == 4);
	/* Even what stdio has read ahead is not for the child. */
	cr_assert(getchar() == 'a');
	finish(start(stdin_is_empty, mp_nil(), BY(method)), 0);
	cr_assert(getchar() == 'b');
	close(ends[0]);
	close(ends[1]);
}

static FILE *parents_file;

static int write_out(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 1);
	FILE *file = fdopen(mp_obj_take_fd(&argv[0]), "w");
	T_CHECK(file);
	fprintf(file, "child");
	return 0; /* without fclose */
}

EACH_METHOD(process, stdio_is_flushed_once)
{
	int fd = memfd_create("out", MFD_CLOEXEC);
	char text[32] = "";

	cr_assert(fd >= 0);
	parents_file = fdopen(dup(fd), "w");
	fprintf(parents_file, "parent ");
	/* A start may or may not flush this stream: it must appear once and in front. */
	fflush(parents_file);
	fprintf(parents_file, "again ");
	finish(start(write_out, MP_ARGS(mp_fd(fd)), BY(method)), 0);
	fclose(parents_file);
	cr_assert(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	cr_assert(strcmp(text, method == MP_START_FORK ? "parent again child"
						       : "parent childagain ") == 0,
		"%s", text);
}

static int close_stdout(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	printf("lost");
	close(1);
	fclose(stderr);
	return 0;
}

EACH_METHOD(process, test_error_on_stdio_flush)
{
	int kept = fcntl(1, F_DUPFD_CLOEXEC, 3);

	finish(start(close_stdout, mp_nil(), BY(method)), 0);
	/* And with nothing to write to in the parent. */
	fflush(stdout);
	close(1);
	finish(start(return_it, mp_nil(), BY(method)), 0);
	cr_assert(dup2(kept, 1) == 1);
	close(kept);
}

static int handler_ran;

static void on_usr1(int signal)
{
	(void)signal;
	handler_ran = 1;
}

static int usr1_is_blocked(int argc, const mp_obj *argv)
{
	sigset_t mask;

	(void)argc;
	(void)argv;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	T_CHECK(!sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGTERM));
	return sigismember(&mask, SIGUSR1);
}

EACH_METHOD(process, signal_masks)
{
	sigset_t usr1;
	sigset_t now;

	signal(SIGUSR1, on_usr1);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	/* A forked child has the caller's mask, a fresh one an empty mask. */
	finish(start(usr1_is_blocked, mp_nil(), BY(method)), method == MP_START_FORK);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	cr_assert(sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	cr_assert_eq(handler_ran, 0);
}

/* --- foreign hands -------------------------------------------------------------------------------- */

static int use_parents_handle(void *data)
{
	mp_process *p = data;
	int code;

	T_CHECK(mp_process_join(p, MP_NOWAIT) == -ECHILD);
	T_CHECK(mp_process_start(p) == -ECHILD);
	T_CHECK(mp_process_is_alive(p) == -ECHILD);
	T_CHECK(mp_process_exit_code(p, &code) == -ECHILD);
	T_CHECK(mp_process_pid(p) == -ECHILD);
	T_CHECK(mp_process_sentinel(p) == -ECHILD);
	T_CHECK(mp_process_name(p) == NULL);
	T_CHECK(mp_process_kill(p) == -ECHILD);
	T_CHECK(mp_process_close(p) == 0);
	return 0;
}

EACH_METHOD(process, handle_is_not_the_childs)
{
	mp_process *p =
		start(hang, mp_nil(), MP_PROCESS_OPTIONS(.start_method = method, .daemon = true));
	struct t_child child = t_spawn(use_parents_handle, p);

	t_expect_exit(&child, 0);
	T_OK(mp_process_kill(p));
	finish(p, -SIGKILL);
}

static mp_process *myself;

static int join_myself(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	T_CHECK(mp_process_join(myself, MP_FOREVER) == -EDEADLK);
	T_CHECK(mp_process_kill(myself) == -ECHILD);
	T_CHECK(mp_process_close(myself) == 0);
	return 0;
}

Test(process, join_of_itself_is_refused)
{
	T_OK(mp_process_new(join_myself, mp_nil(), BY(MP_START_FORK), &myself));
	T_OK(mp_process_start(myself));
	finish(myself, 0);
}

Test(process, foreign_waitpid_means_unknown_never_alive)
{
	mp_process *p = start(return_it, MP_ARGS(mp_i64(3)), BY(MP_START_FORK));
	int code = 77;

	cr_assert(waitpid(mp_process_pid(p), NULL, 0) == mp_process_pid(p));
	T_RESULT(mp_process_is_alive(p), 0);
	T_OK(mp_process_join(p, MP_FOREVER));
	T_RESULT(mp_process_exit_code(p, &code), -ESRCH);
	cr_assert_eq(code, 77);
	T_RESULT(mp_process_kill(p), -ESRCH);
	T_OK(mp_process_close(p));
}

Test(process, ignored_sigchld_means_unknown_never_alive)
{
	void (*old)(int) = signal(SIGCHLD, SIG_IGN);
	int code;

	for (int i = 0; i < 20; i++) {
		mp_process *p = start(return_it, MP_ARGS(mp_i64(3)), BY(MP_START_FORK));
		T_OK(mp_process_join(p, T_TIMEOUT_MS / 2));
		T_RESULT(mp_process_exit_code(p, &code), -ESRCH);
		T_OK(mp_process_close(p));
	}
	signal(SIGCHLD, old);
}

static void *join_in_thread(void *p)
{
	return (void *)(intptr_t)mp_process_join(p, T_TIMEOUT_MS / 2);
}

EACH_METHOD(process, many_threads_join_at_once)
{
	mp_process *p = start(hang, mp_nil(), BY(method));
	pthread_t threads[8];
	void *result;

	for (int i = 0; i < 8; i++)
		cr_assert(pthread_create(&threads[i], NULL, join_in_thread, p) == 0);
	T_OK(mp_process_kill(p));
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		cr_assert_eq((intptr_t)result, 0);
	}
	finish(p, -SIGKILL);
}

static void *start_in_thread(void *p)
{
	return (void *)(intptr_t)mp_process_start(p);
}

EACH_METHOD(process, daemon_outlives_the_thread_that_started_it)
{
	mp_process *p;
	pthread_t thread;
	void *result;

	T_OK(mp_process_new(
		hang, mp_nil(), MP_PROCESS_OPTIONS(.start_method = method, .daemon = true), &p));
	cr_assert(pthread_create(&thread, NULL, start_in_thread, p) == 0);
	pthread_join(thread, &result);
	cr_assert_eq((intptr_t)result, 0);
	T_RESULT(mp_process_join(p, 20), -ETIMEDOUT);
	T_OK(mp_process_kill(p));
	finish(p, -SIGKILL);
}

/* --- threads and fork ------------------------------------------------------------------------------ */

static void *read_stdin(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)getchar();
}

/* A thread that waits for input holds the lock of stdin; flushing all streams would wait for it. */
EACH_METHOD(process, start_while_a_thread_reads_stdin)
{
	int ends[2];
	pthread_t thread;
	void *got;

	cr_assert(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[0], 0) == 0);
	cr_assert(pthread_create(&thread, NULL, read_stdin, NULL) == 0);
	while (ftrylockfile(stdin) == 0) {
		funlockfile(stdin);
		sched_yield();
	}
	finish(start(return_it, MP_ARGS(mp_i64(3)), BY(method)), 3);
	cr_assert(write(ends[1], "z", 1) == 1);
	pthread_join(thread, &got);
	cr_assert_eq((intptr_t)got, 'z');
	mp__fds_close(ends, 2);
}

static int warnings;

static void count_warnings(int level, const char *component, const char *message, void *data)
{
	(void)data;
	if (level == MP_LOG_WARNING && strcmp(component, "process") == 0 &&
		strstr(message, "threads"))
		warnings++;
}

static void *wait_for_byte(void *fd)
{
	char byte;

	return read((int)(intptr_t)fd, &byte, 1) == 1 ? NULL : fd;
}

static int start_and_join(int method)
{
	mp_process *p;

	return mp_process_new(return_it, mp_nil(), BY(method), &p) || mp_process_start(p) ||
	       mp_process_join(p, T_TIMEOUT_MS / 2) || mp_process_close(p);
}

static int fork_with_and_without_threads(void *arg)
{
	int ends[2];
	pthread_t thread;

	(void)arg;
	T_CHECK(mp_log_set_handler(MP_LOG_WARNING, count_warnings, NULL) == 0);
	T_CHECK(start_and_join(MP_START_FORK) == 0);
	T_CHECK(warnings == 0);
	T_CHECK(pipe2(ends, O_CLOEXEC) == 0);
	T_CHECK(pthread_create(&thread, NULL, wait_for_byte, (void *)(intptr_t)ends[0]) == 0);
	T_CHECK(start_and_join(MP_START_SPAWN) == 0);
	T_CHECK(start_and_join(MP_START_FORKSERVER) == 0);
	T_CHECK(warnings == 0);
	T_CHECK(start_and_join(MP_START_FORK) == 0);
	T_CHECK(warnings == 1);
	T_CHECK(write(ends[1], "x", 1) == 1);
	pthread_join(thread, NULL);
	return 0;
}

/* In a forked child, since the test runner has threads of its own. */
Test(process, fork_with_threads_is_remarked_on)
{
	struct t_child child = t_spawn(fork_with_and_without_threads, NULL);

	t_expect_exit(&child, 0);
}
