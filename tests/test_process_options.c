/* SPDX-License-Identifier: MIT */
/* What a child finds: streams, descriptors, environment, directory, signals; under every method. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/starts.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

T_SUITE(options);

extern char **environ;

#define OPTIONS(...) MP_PROCESS_OPTIONS(.start_method = method, __VA_ARGS__)

/* Run it, and it must leave with 0. */
static void run(mp_target *target, mp_obj args, const mp_process_options *options)
{
	finish(start(target, args, options), 0);
}

/* There is no such child. */
static void refuse(const mp_process_options *options, int error)
{
	mp_process *p = NULL;

	T_RESULT(mp_process_new(return_it, mp_nil(), options, &p), error);
	cr_assert_null(p);
}

/* There is one, which does not start; nothing of the attempt is left, and it may be repeated. */
static void refuse_start(const mp_process_options *options, int error)
{
	mp_process *p = NULL;

	T_OK(mp_process_new(return_it, mp_nil(), options, &p));
	int fds = 0;
	for (int i = 0; i < 3; i++) {
		T_RESULT(mp_process_start(p), error);
		cr_assert(!options->cwd || strstr(mp_error_detail(), options->cwd), "%s",
			mp_error_detail());
		T_RESULT(mp_process_pid(p), -EINVAL);
		int now = t_count_fds();
		cr_assert(i == 0 || fds == now, "%d descriptors, %d before", now, fds);
		fds = now;
	}
	T_OK(mp_process_close(p));
}

/* --- standard streams --------------------------------------------------------------------------- */

static int cat(int argc, const mp_obj *argv)
{
	char line[64];

	(void)argc;
	(void)argv;
	T_CHECK(fgets(line, sizeof(line), stdin));
	fprintf(stderr, "err %s", line);
	printf("out %s", line);
	return 0;
}

static void expect_text(int fd, const char *expected)
{
	char text[64] = "";

	T_OK(mp__fd_wait(fd, 1, mp__deadline_in(T_TIMEOUT_MS / 2)));
	cr_assert(read(fd, text, sizeof(text) - 1) >= 0);
	cr_assert_str_eq(text, expected);
}

EACH_METHOD(options, streams_are_descriptors)
{
	int in[2];
	int out[2];
	int err[2];
	mp_process *p;

	cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	cr_assert(pipe2(err, O_CLOEXEC) == 0);
	T_OK(mp_process_new(cat, mp_nil(),
		OPTIONS(.in = MP_STREAM_FD(in[0]), .out = MP_STREAM_FD(out[1]),
			.err = MP_STREAM_FD(err[1])),
		&p));
	/* Duplicates were made: these may go. */
	mp__fds_close((int[]){in[0], out[1], err[1]}, 3);
	cr_assert(write(in[1], "hello\n", 6) == 6);
	T_OK(mp_process_start(p));
	finish(p, 0);
	expect_text(out[0], "out hello\n");
	expect_text(err[0], "err hello\n");
	/* Nobody holds the other ends any more. */
	expect_text(out[0], "");
	mp__fds_close((int[]){in[1], out[0], err[0]}, 3);
}

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

static int which_are_null(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return is_null(0) | is_null(1) << 1 | is_null(2) << 2;
}

EACH_METHOD(options, streams_are_null)
{
	int file = memfd_create("stream", MFD_CLOEXEC);
	int saved[] = {fcntl(0, F_DUPFD_CLOEXEC, 3), fcntl(1, F_DUPFD_CLOEXEC, 3),
		fcntl(2, F_DUPFD_CLOEXEC, 3)};

	for (int i = 0; i < 3; i++)
		cr_assert(dup2(file, i) == i);
	finish(start(which_are_null, mp_nil(), OPTIONS(.daemon = false)), 1);
	finish(start(which_are_null, mp_nil(), OPTIONS(.in = MP_STREAM_INHERIT)), 0);
	finish(start(which_are_null, mp_nil(), OPTIONS(.in = MP_STREAM_NULL)), 1);
	finish(start(which_are_null, mp_nil(), OPTIONS(.out = MP_STREAM_NULL)), 3);
	finish(start(which_are_null, mp_nil(),
		       OPTIONS(.in = MP_STREAM_FD(file), .err = MP_STREAM_NULL)),
		4);
	for (int i = 0; i < 3; i++)
		cr_assert(dup2(saved[i], i) == i);
	mp__fds_close(saved, 3);
	close(file);
}

/* As they are at the start, not as they were when the fork server came. */
EACH_METHOD(options, streams_are_inherited)
{
	int in[2];
	int out[2];
	int saved[] = {fcntl(0, F_DUPFD_CLOEXEC, 3), fcntl(1, F_DUPFD_CLOEXEC, 3)};

	run(return_it, mp_nil(), BY(method));
	cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	fflush(NULL);
	cr_assert(dup2(in[0], 0) == 0 && dup2(out[1], 1) == 1);
	cr_assert(write(in[1], "hello\n", 6) == 6);
	mp_process *p = start(cat, mp_nil(),
		OPTIONS(.in = MP_STREAM_INHERIT, .out = MP_STREAM_INHERIT, .err = MP_STREAM_NULL));
	close(0);
	mp_process *q = start(which_are_null, mp_nil(),
		OPTIONS(.in = MP_STREAM_INHERIT, .err = MP_STREAM_FD(out[1])));
	finish(p, 0);
	finish(q, 1);
	cr_assert(dup2(saved[0], 0) == 0 && dup2(saved[1], 1) == 1);
	expect_text(out[0], "out hello\n");
	mp__fds_close(saved, 2);
	mp__fds_close(in, 2);
	mp__fds_close(out, 2);
}

EACH_METHOD(options, bad_streams_are_refused)
{
	refuse(OPTIONS(.in = 3), -EINVAL);
	refuse(OPTIONS(.out = -1), -EINVAL);
	refuse(OPTIONS(.err = MP_STREAM_FD(-1)), -EINVAL);
	refuse(OPTIONS(.in = MP_STREAM_FD(0), .err = MP_STREAM_FD(9999)), -EBADF);
}

/* --- descriptors --------------------------------------------------------------------------------- */

#define N_ARGS 10
#define N_FDS 24

/* A descriptor that is known by this byte. */
static int marked(int mark)
{
	char byte = (char)mark;
	int fd = memfd_create("marked", MFD_CLOEXEC);

	cr_assert(fd >= 0 && write(fd, &byte, 1) == 1);
	return fd;
}

static int mark_of(int fd)
{
	char byte = 0;

	return pread(fd, &byte, 1, 0) == 1 ? byte : -1;
}

/* Marks 1 to N_FDS at 3 and up, and 100 and up in the arguments. */
static int check_marks(int argc, const mp_obj *argv)
{
	T_CHECK(argc == N_ARGS);
	for (int i = 0; i < N_FDS; i++)
		T_CHECK(mark_of(3 + i) == 1 + i && fcntl(3 + i, F_GETFD) == 0);
	for (int i = 0; i < N_ARGS; i++)
		T_CHECK(mark_of(mp_obj_fd(&argv[i])) == 100 + i);
	T_CHECK(mark_of(0) == 1);
	return access("tests", F_OK) == 0 ? 0 : 1;
}

/* Every low number is asked for, and all that the library needs is in the way. */
EACH_METHOD(options, descriptors_at_their_numbers)
{
	mp_obj args[N_ARGS];
	int arg_fds[N_ARGS];
	mp_process_fd fds[N_FDS];
	mp_process *p;

	for (int i = 0; i < N_ARGS; i++) {
		arg_fds[i] = marked(100 + i);
		args[i] = mp_fd(arg_fds[i]);
	}
	for (int i = 0; i < N_FDS; i++)
		fds[i] = (mp_process_fd){marked(1 + i), 3 + i};
	T_OK(mp_process_new(check_marks, mp_list_of(args, N_ARGS),
		OPTIONS(.fds = fds, .n_fds = N_FDS, .in = MP_STREAM_FD(fds[0].here), .daemon = true,
			.cwd = getenv("top_builddir")),
		&p));
	for (int i = 0; i < N_FDS; i++)
		close(fds[i].here);
	mp__fds_close(arg_fds, N_ARGS);
	T_OK(mp_process_start(p));
	finish(p, 0);
}

static int check_swapped(int argc, const mp_obj *argv)
{
	(void)argc;
	return mark_of((int)mp_obj_i64(&argv[0])) == 2 && mark_of((int)mp_obj_i64(&argv[1])) == 1
		       ? 0
		       : 1;
}

EACH_METHOD(options, descriptors_change_places)
{
	int a = marked(1);
	int b = marked(2);
	const mp_process_fd fds[] = {{a, b}, {b, a}};

	run(check_swapped, MP_ARGS(mp_i64(a), mp_i64(b)), OPTIONS(.fds = fds, .n_fds = 2));
	cr_assert(mark_of(a) == 1 && mark_of(b) == 2);
	close(a);
	close(b);
}

EACH_METHOD(options, bad_descriptors_are_refused)
{
	const mp_process_fd low[] = {{0, 2}};
	const mp_process_fd closed[] = {{0, 3}, {9999, 4}};
	const mp_process_fd twice[] = {{0, 3}, {1, 4}, {2, 3}};
	const mp_process_fd beyond[] = {{0, 2000000000}};

	refuse(OPTIONS(.n_fds = 1), -EINVAL);
	refuse(OPTIONS(.fds = low, .n_fds = 1), -EINVAL);
	refuse(OPTIONS(.fds = twice, .n_fds = 3), -EINVAL);
	refuse(OPTIONS(.fds = closed, .n_fds = 2), -EBADF);
	refuse_start(OPTIONS(.fds = beyond, .n_fds = 1, .daemon = true), -EBADF);
}

/* --- environment and directory --------------------------------------------------------------------- */

static int environment_is(int argc, const mp_obj *argv)
{
	for (int i = 0; i < argc; i++)
		T_CHECK(environ[i] && strcmp(mp_obj_str(&argv[i]), environ[i]) == 0);
	T_CHECK(environ[argc] == NULL);
	T_CHECK(setenv("MP_MORE", "1", 1) == 0 && getenv("MP_MORE"));
	return 0;
}

static int value_is(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 2);
	const char *value = getenv(mp_obj_str(&argv[0]));
	return value && strcmp(value, mp_obj_str(&argv[1])) == 0 ? 0 : 1;
}

EACH_METHOD(options, environment)
{
	char one[] = "ONE=1";
	char *env[] = {one, (char *)"TWO=zwei", (char *)"MP_TEST=", NULL};
	char *none[] = {NULL};
	mp_process *p;

	setenv("MP_TEST", "inherited", 1);
	run(value_is, MP_ARGS(mp_str("MP_TEST"), mp_str("inherited")), BY(method));
	T_OK(mp_process_new(environment_is,
		MP_ARGS(mp_str("ONE=1"), mp_str("TWO=zwei"), mp_str("MP_TEST=")),
		OPTIONS(.env = env), &p));
	one[4] = '2'; /* it was copied */
	T_OK(mp_process_start(p));
	finish(p, 0);
	run(environment_is, MP_ARGS(), OPTIONS(.env = none));
	cr_assert_str_eq(getenv("MP_TEST"), "inherited");
}

/* The kernel limits what can be executed with; the other methods do not execute. */
EACH_METHOD(options, large_environment)
{
	static char large[1 << 20];
	char *env[] = {large, NULL};

	memset(large, 'x', sizeof(large));
	memcpy(large, "L=", 2);
	large[sizeof(large) - 1] = '\0';
	if (method == MP_START_SPAWN)
		refuse_start(OPTIONS(.env = env, .daemon = true), -E2BIG);
	else
		run(value_is, MP_ARGS(mp_str("L"), mp_str(large + 2)), OPTIONS(.env = env));
	if (method != MP_START_FORKSERVER)
		return;
	char *much[33];
	for (int i = 0; i < 32; i++)
		much[i] = large;
	much[32] = NULL;
	refuse_start(OPTIONS(.env = much, .daemon = true), -EMSGSIZE);
}

static int directory_is(int argc, const mp_obj *argv)
{
	char path[4096];

	T_CHECK(argc == 1 && getcwd(path, sizeof(path)));
	return strcmp(path, mp_obj_str(&argv[0])) != 0;
}

EACH_METHOD(options, directory)
{
	char path[T_PLACE_SIZE];

	run(return_it, mp_nil(), BY(method));
	t_place_make(path);
	run(directory_is, MP_ARGS(mp_str(path)), OPTIONS(.cwd = path));
	cr_assert(chdir("/tmp") == 0);
	run(directory_is, MP_ARGS(mp_str(path)), OPTIONS(.cwd = path + strlen("/tmp/")));
	run(directory_is, MP_ARGS(mp_str("/")), OPTIONS(.cwd = ".."));
	cr_assert(rmdir(path) == 0);
	refuse_start(OPTIONS(.cwd = path, .daemon = true), -ENOENT);
	refuse_start(OPTIONS(.cwd = ""), -ENOENT);
	refuse_start(OPTIONS(.cwd = "/proc/self/stat"), -ENOTDIR);
}

static char closed_directory[T_PLACE_SIZE];

static int start_without_rights(void *method)
{
	mp_process *p;

	T_CHECK(getuid() != 0 || setuid(65534) == 0);
	T_CHECK(mp_process_new(return_it, mp_nil(),
			MP_PROCESS_OPTIONS(.start_method = (int)(intptr_t)method,
				.cwd = closed_directory, .daemon = true),
			&p) == 0);
	T_CHECK(mp_process_start(p) == -EACCES);
	T_CHECK(mp_process_close(p) == 0);
	return 0;
}

EACH_METHOD(options, directory_that_may_not_be_entered)
{
	t_place_make(closed_directory);
	cr_assert(chmod(closed_directory, 0444) == 0);
	struct t_child child = t_spawn(start_without_rights, (void *)(intptr_t)method);
	t_expect_exit(&child, 0);
	cr_assert(rmdir(closed_directory) == 0);
}

/* --- signals ----------------------------------------------------------------------------------------- */

static int check_blocked(int argc, const mp_obj *argv)
{
	sigset_t now;

	(void)argc;
	(void)argv;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	return sigismember(&now, SIGUSR1) && sigismember(&now, SIGRTMAX) &&
			       !sigismember(&now, SIGUSR2) && !sigismember(&now, SIGTERM)
		       ? 0
		       : 1;
}

EACH_METHOD(options, signal_mask)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMAX);
	run(check_blocked, mp_nil(), OPTIONS(.sigmask = &set));
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	cr_assert(!sigismember(&set, SIGUSR1));
}

/* A thread has a mask of its own, and nothing else of all this. */
Test(options, thread)
{
	const mp_process_fd fds[] = {{0, 3}};
	char *none[] = {NULL};
	int method = MP_START_THREAD;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMAX);
	run(check_blocked, mp_nil(),
		OPTIONS(.sigmask = &set, .daemon = true, .in = MP_STREAM_INHERIT,
			.out = MP_STREAM_INHERIT));
	refuse_start(OPTIONS(.in = MP_STREAM_NULL), -ENOTSUP);
	refuse_start(OPTIONS(.err = MP_STREAM_NULL), -ENOTSUP);
	refuse_start(OPTIONS(.out = MP_STREAM_FD(1)), -ENOTSUP);
	refuse_start(OPTIONS(.fds = fds, .n_fds = 1), -ENOTSUP);
	refuse_start(OPTIONS(.env = none), -ENOTSUP);
	refuse_start(OPTIONS(.death = SIGKILL), -ENOTSUP);
	mp_process *p;
	T_OK(mp_process_new(return_it, mp_nil(), OPTIONS(.cwd = "/"), &p));
	T_RESULT(mp_process_start(p), -ENOTSUP);
	T_OK(mp_process_close(p));
}

/* Waits for the signal of its parent's end, and passes it on. */
static int wait_for_death(int argc, const mp_obj *argv)
{
	sigset_t set;
	int signal;
	char byte;

	T_CHECK(argc == 1);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	T_CHECK(write(mp_obj_fd(&argv[0]), "r", 1) == 1);
	T_CHECK(sigwait(&set, &signal) == 0);
	byte = (char)signal;
	T_CHECK(write(mp_obj_fd(&argv[0]), &byte, 1) == 1);
	return 0;
}

static int heard[2];

static int start_and_hang(void *method)
{
	sigset_t set;
	mp_process *p;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	T_CHECK(mp_process_new(wait_for_death, MP_ARGS(mp_fd(heard[1])),
			MP_PROCESS_OPTIONS(.start_method = (int)(intptr_t)method, .sigmask = &set,
				.death = SIGUSR1),
			&p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	t_hang();
}

EACH_METHOD(options, signal_when_the_parent_is_killed)
{
	cr_assert(pipe2(heard, O_CLOEXEC) == 0);
	struct t_child parent = t_spawn(start_and_hang, (void *)(intptr_t)method);
	close(heard[1]);
	cr_assert_eq(read_byte(heard[0]), 'r');
	t_kill(&parent, SIGKILL);
	cr_assert_eq(read_byte(heard[0]), SIGUSR1);
	/* Once, and then it left by itself. */
	expect_text(heard[0], "");
	close(heard[0]);
}

EACH_METHOD(options, bad_signals_are_refused)
{
	refuse(OPTIONS(.death = -1), -EINVAL);
	refuse(OPTIONS(.death = 65), -EINVAL);
	refuse(OPTIONS(.death = 32), -EINVAL); /* the C library's own */
	run(return_it, mp_nil(), OPTIONS(.death = SIGRTMAX));
}

/* --- crashes ------------------------------------------------------------------------------------------- */

/* With options that can fail in the child a fork is waited for, too. */
Test(options, forked_child_dies_before_it_is_ready)
{
	mp_process *p;

	T_OK(mp_process_new(return_it, MP_ARGS(mp_i64(5)),
		MP_PROCESS_OPTIONS(.out = MP_STREAM_NULL, .daemon = true), &p));
	for (int i = 0; i < 2; i++) {
		t_arm("process.child.prepared", i ? "kill" : "exit");
		T_RESULT(mp_process_start(p), -EOWNERDEAD);
		cr_assert(t_fired());
		t_disarm();
		cr_assert_not_null(strstr(mp_error_detail(), i ? "signal 9" : "exit code 86"), "%s",
			mp_error_detail());
	}
	T_OK(mp_process_start(p));
	finish(p, 5);
}
