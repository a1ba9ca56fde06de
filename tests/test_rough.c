/* SPDX-License-Identifier: MIT */
/* Targets that leave in rough ways, and forks in the middle of everything: the parent stays in order. */
#include <config.h>

#include "tests/support/starts.h"

#include <fcntl.h>
#include <mp/log.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

T_SUITE(rough);

/* The target ends so, and the next one runs as if nothing had been. */
static void expect_end(int method, mp_target *target, mp_obj args, int code)
{
	for (int daemon = 0; daemon < 2; daemon++) {
		finish(start(target, args,
			       MP_PROCESS_OPTIONS(.start_method = method, .daemon = daemon != 0)),
			code);
		T_RESULT(mp_process_children(NULL, 0), 0);
	}
	finish(start(return_it, MP_ARGS(mp_i64(5)), BY(method)), 5);
}

static int crash(int argc, const mp_obj *argv)
{
	(void)argc;
	signal((int)mp_obj_i64(&argv[0]), SIG_DFL);
	prctl(PR_SET_DUMPABLE, 0);
	raise((int)mp_obj_i64(&argv[0]));
	return 0;
}

EACH_METHOD(rough, target_that_crashes)
{
	expect_end(method, crash, MP_ARGS(mp_i64(SIGSEGV)), -SIGSEGV);
	expect_end(method, crash, MP_ARGS(mp_i64(SIGABRT)), -SIGABRT);
}

static int close_everything(int argc, const mp_obj *argv)
{
	int result = return_it(argc, argv);

	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	return result;
}

EACH_METHOD(rough, target_that_closes_every_descriptor)
{
	expect_end(method, close_everything, MP_ARGS(mp_i64(6)), 6);
}

static int write_to_closed_stdout(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	close(1);
	for (int i = 0; i < 100000; i++)
		printf("nobody reads this\n");
	return fflush(stdout) == EOF ? 7 : 1;
}

EACH_METHOD(rough, target_that_writes_to_a_closed_stdout)
{
	expect_end(method, write_to_closed_stdout, mp_nil(), 7);
}

static int write_to_a_broken_pipe(int argc, const mp_obj *argv)
{
	int ends[2];

	(void)argc;
	(void)argv;
	T_CHECK(pipe2(ends, O_CLOEXEC) == 0 && close(ends[0]) == 0 && dup2(ends[1], 1) == 1);
	signal(SIGPIPE, SIG_DFL);
	printf("nobody reads this\n");
	return 0; /* the flush after this is what kills it */
}

EACH_METHOD(rough, target_whose_stdout_is_a_broken_pipe)
{
	expect_end(method, write_to_a_broken_pipe, mp_nil(), -SIGPIPE);
}

static jmp_buf frame;

static int jump(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	longjmp(frame, 1);
}

/* Now this process runs twice; the copy finds out, since no handle is its own. */
static void jump_out(void)
{
	static mp_process *p; /* static: keeps its value over the jump */
	static pid_t here;

	here = getpid();
	T_OK(mp_process_new(jump, mp_nil(), BY(MP_START_FORK), &p));
	if (setjmp(frame) != 0) {
		T_CHECK(getpid() != here);
		T_CHECK(mp_process_start(p) == -ECHILD);
		T_CHECK(mp_process_pid(p) == -ECHILD);
		T_CHECK(mp_process_join(p, MP_FOREVER) == -EDEADLK);
		T_CHECK(mp_process_children(NULL, 0) == 0);
		_exit(44);
	}
	T_OK(mp_process_start(p));
	finish(p, 44);
}

Test(rough, forked_target_that_jumps_into_the_parents_frame)
{
	jump_out();
}

/* --- forks in the middle of everything ------------------------------------------------------------- */

static _Atomic bool stop;

static void ignore_record(int level, const char *component, const char *message, void *data)
{
	(void)level;
	(void)component;
	(void)message;
	(void)data;
}

/* What takes each of the library's own locks once. */
static void use_everything(int method)
{
	mp_process *p;
	int code = -1;

	T_CHECK(mp_log_set_handler(MP_LOG_WARNING, ignore_record, NULL) == 0);
	T_CHECK(mp_process_new(return_it, MP_ARGS(mp_i64(3)),
			MP_PROCESS_OPTIONS(.start_method = method, .daemon = true), &p) == 0);
	T_CHECK(mp_process_start(p) == 0);
	T_CHECK(mp_process_children(NULL, 0) >= 0);
	T_CHECK(mp_process_join(p, T_TIMEOUT_MS / 2) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0 && code == 3);
	T_CHECK(mp_process_close(p) == 0);
	T_CHECK(mp_parent_is_alive() == -ENOENT || mp_parent_is_alive() == 1);
	mp_error_set(-EIO, "something");
}

static void *hammer(void *method)
{
	while (!atomic_load(&stop))
		use_everything((int)(intptr_t)method);
	return NULL;
}

#define N_FORKS 40

static int fork_under_fire(void *data)
{
	static const int methods[] = {MP_START_FORK, MP_START_FORKSERVER, MP_START_THREAD};
	pthread_t threads[3];

	(void)data;
	for (int i = 0; i < 3; i++)
		T_CHECK(pthread_create(&threads[i], NULL, hammer, (void *)(intptr_t)methods[i]) ==
			0);
	for (int i = 0; i < N_FORKS; i++) {
		int status;
		pid_t pid = fork();
		T_CHECK(pid >= 0);
		if (pid == 0) {
			T_CHECK(mp_process_children(NULL, 0) == 0);
			use_everything(methods[i % 3]);
			_exit(0);
		}
		T_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

Test(rough, fork_while_threads_use_every_lock)
{
	struct t_child child = t_spawn(fork_under_fire, NULL);

	t_expect_exit(&child, 0);
}
