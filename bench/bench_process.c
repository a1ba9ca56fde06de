/* SPDX-License-Identifier: MIT */
/* Start a child that does nothing, and wait for its end: by fork, spawn and forkserver. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <mp.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB ((size_t)1 << 30)
#define MIB_16 ((size_t)16 << 20)

extern char **environ;

/* --- the parent's size ----------------------------------------------------------------------- */

/*
 * Touched pages of 4 KiB. Huge pages would make copying the page tables some hundred times
 * cheaper, and depend on how fragmented the machine's memory is.
 */
static int touch(struct bench *b, size_t size)
{
	if ((size_t)sysconf(_SC_AVPHYS_PAGES) < 2 * size / (size_t)sysconf(_SC_PAGESIZE))
		return bench_fail("less than %zu MiB of memory are free", 2 * size >> 20);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return bench_fail("mmap: %s", strerror(errno));
	memset(memory, 1, size);
	b->state = memory;
	return 0;
}

static int setup_GiB(struct bench *b)
{
	return touch(b, GIB);
}

static void teardown_GiB(struct bench *b)
{
	munmap(b->state, GIB);
}

static int setup_16MiB(struct bench *b)
{
	return touch(b, MIB_16);
}

static void teardown_16MiB(struct bench *b)
{
	munmap(b->state, MIB_16);
}

/* --- libmp ------------------------------------------------------------------------------------ */

static int nothing(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static int start_and_join(void *arg)
{
	const int *method = arg;
	mp_process *process;
	int code = -1;
	int r;

	r = mp_process_new(
		nothing, MP_ARGS(), MP_PROCESS_OPTIONS(.start_method = *method), &process);
	if (r < 0)
		return bench_fail_mp("mp_process_new", r);
	r = mp_process_start(process);
	if (r < 0) {
		mp_process_close(process);
		return bench_fail_mp("mp_process_start", r);
	}
	r = mp_process_join(process, MP_FOREVER);
	if (r < 0)
		return bench_fail_mp("mp_process_join", r);
	r = mp_process_exit_code(process, &code);
	mp_process_close(process);
	return code == 0 ? 0 : bench_fail("the child ended with %d (%d)", code, r);
}

/* variant: the start method */
static int run_mp(struct bench *b, double *ret_value)
{
	return bench_time(start_and_join, &b->variant, ret_value);
}

/* --- many at once ----------------------------------------------------------------------------- */

/* How many, and by which method: both are in a row's variant. */
#define MANY(n, method) ((n)*16 + (method))
#define MANY_N(variant) ((variant) / 16)
#define MANY_METHOD(variant) ((variant) % 16)
#define MANY_MAX 1000

static int sleep_for_ever(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	while (pause() < 0)
		;
	return 0;
}

/* Two descriptors for each. */
static int setup_many(struct bench *b)
{
	struct rlimit files;

	(void)b;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return bench_fail("getrlimit: %s", strerror(errno));
	files.rlim_cur = files.rlim_max;
	if (files.rlim_max < 4 * MANY_MAX)
		return bench_fail(
			"no more than %ju descriptors are allowed", (uintmax_t)files.rlim_max);
	setrlimit(RLIMIT_NOFILE, &files);
	return 0;
}

static int start_sleeper(int method, mp_process **ret)
{
	int r = mp_process_new(sleep_for_ever, mp_nil(),
		MP_PROCESS_OPTIONS(.start_method = method, .daemon = true), ret);

	return r < 0 ? r : mp_process_start(*ret);
}

/* Start so many that sleep, then end and join them all. */
static int many(void *arg)
{
	static mp_process *children[MANY_MAX];
	int variant = *(const int *)arg;
	int r = 0;

	for (int i = 0; i < MANY_N(variant) && r == 0; i++)
		r = start_sleeper(MANY_METHOD(variant), &children[i]);
	for (int i = 0; i < MANY_N(variant) && r == 0; i++)
		r = mp_process_kill(children[i]);
	for (int i = 0; i < MANY_N(variant) && r == 0; i++) {
		r = mp_process_join(children[i], MP_FOREVER);
		mp_process_close(children[i]);
	}
	return r == 0 ? 0 : bench_fail_mp("many children", r);
}

static int many_floor(void *arg)
{
	static pid_t children[MANY_MAX];
	int n = MANY_N(*(const int *)arg);

	for (int i = 0; i < n; i++) {
		children[i] = fork();
		if (children[i] < 0)
			return bench_fail("fork: %s", strerror(errno));
		if (children[i] == 0)
			sleep_for_ever(0, NULL);
	}
	for (int i = 0; i < n; i++)
		kill(children[i], SIGKILL);
	for (int i = 0; i < n; i++)
		waitpid(children[i], NULL, 0);
	return 0;
}

/* The time for each child. */
static int run_many(struct bench *b, double *ret_value)
{
	int r = bench_time(many, &b->variant, ret_value);

	*ret_value /= MANY_N(b->variant);
	return r;
}

static int run_many_floor(struct bench *b, double *ret_value)
{
	int r = bench_time(many_floor, &b->variant, ret_value);

	*ret_value /= MANY_N(b->variant);
	return r;
}

/* --- floor ----------------------------------------------------------------------------------- */

static int reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return bench_fail("waitpid: %s", strerror(errno));
	return status == 0 ? 0 : bench_fail("the child failed");
}

static int fork_and_wait(void *arg)
{
	pid_t pid = fork();

	(void)arg;
	if (pid == 0)
		_exit(0);
	return pid < 0 ? bench_fail("fork: %s", strerror(errno)) : reap(pid);
}

/* The child is mpbench itself, which returns at once: it loads what libmp's child loads. */
static int spawn_and_wait(void *arg)
{
	char *argv[] = {(char *)"mpbench", (char *)"--nothing", NULL};
	pid_t pid;
	int e = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ);

	(void)arg;
	return e ? bench_fail("posix_spawn: %s", strerror(e)) : reap(pid);
}

static int run_fork_floor(struct bench *b, double *ret_value)
{
	(void)b;
	return bench_time(fork_and_wait, NULL, ret_value);
}

static int run_spawn_floor(struct bench *b, double *ret_value)
{
	(void)b;
	return bench_time(spawn_and_wait, NULL, ret_value);
}

const struct bench bench_process[] = {
	{"process_fork", "libmp", NULL, run_mp, NULL, MP_START_FORK, NULL},
	{"process_spawn", "libmp", NULL, run_mp, NULL, MP_START_SPAWN, NULL},
	{"process_forkserver", "libmp", NULL, run_mp, NULL, MP_START_FORKSERVER, NULL},
	{"process_fork_1GiB", "libmp", setup_GiB, run_mp, teardown_GiB, MP_START_FORK, NULL},
	{"process_spawn_1GiB", "libmp", setup_GiB, run_mp, teardown_GiB, MP_START_SPAWN, NULL},
	{"process_fork", "floor", NULL, run_fork_floor, NULL, 0, NULL},
	{"process_spawn", "floor", NULL, run_spawn_floor, NULL, 0, NULL},
	{"process_forkserver", "floor", NULL, run_fork_floor, NULL, 0, NULL},
	{"process_fork_1GiB", "floor", setup_GiB, run_fork_floor, teardown_GiB, 0, NULL},
	{"process_spawn_1GiB", "floor", setup_GiB, run_spawn_floor, teardown_GiB, 0, NULL},
	{"process_spawn_16MiB", "libmp", setup_16MiB, run_mp, teardown_16MiB, MP_START_SPAWN, NULL},
	{"process_spawn_16MiB", "floor", setup_16MiB, run_spawn_floor, teardown_16MiB, 0, NULL},
	{"process_forkserver_1GiB", "libmp", setup_GiB, run_mp, teardown_GiB, MP_START_FORKSERVER,
		NULL},
	{"process_forkserver_1GiB", "floor", setup_GiB, run_fork_floor, teardown_GiB, 0, NULL},
	{"process_forkserver_1GiB", "small", NULL, run_fork_floor, NULL, 0, NULL},
	{"process_fork_100", "libmp", setup_many, run_many, NULL, MANY(100, MP_START_FORK), NULL},
	{"process_fork_100", "floor", NULL, run_many_floor, NULL, MANY(100, 0), NULL},
	{"process_fork_1000", "libmp", setup_many, run_many, NULL, MANY(1000, MP_START_FORK), NULL},
	{"process_fork_1000", "floor", NULL, run_many_floor, NULL, MANY(1000, 0), NULL},
	{"process_forkserver_100", "libmp", setup_many, run_many, NULL,
		MANY(100, MP_START_FORKSERVER), NULL},
	{"process_forkserver_100", "floor", NULL, run_many_floor, NULL, MANY(100, 0), NULL},
	{"process_forkserver_1000", "libmp", setup_many, run_many, NULL,
		MANY(1000, MP_START_FORKSERVER), NULL},
	{"process_forkserver_1000", "floor", NULL, run_many_floor, NULL, MANY(1000, 0), NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
