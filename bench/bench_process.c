/* SPDX-License-Identifier: MIT */
/* Start a child that does nothing, and wait for its end: by fork, spawn and forkserver. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <mp.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB ((size_t)1 << 30)

extern char **environ;

/* --- the parent's size ----------------------------------------------------------------------- */

/*
 * 1 GiB of touched pages of 4 KiB. Huge pages would make copying the page tables some hundred times
 * cheaper, and depend on how fragmented the machine's memory is.
 */
static int setup_GiB(struct bench *b)
{
	if ((size_t)sysconf(_SC_AVPHYS_PAGES) < 2 * GIB / (size_t)sysconf(_SC_PAGESIZE))
		return bench_fail("less than 2 GiB of memory are free");
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	char *memory = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return bench_fail("mmap: %s", strerror(errno));
	memset(memory, 1, GIB);
	b->state = memory;
	return 0;
}

static void teardown_GiB(struct bench *b)
{
	munmap(b->state, GIB);
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
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
