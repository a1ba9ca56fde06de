/* SPDX-License-Identifier: MIT */
/* Connections to a server that say nothing: what they cost it, and what they cost the others. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* For the other files of client and server. */
#define SPARE 200
/* How long they are idle before it counts: Redis gives back what a client used after two seconds. */
#define SILENCE_S 3

struct bench_idle {
	int fds[BENCH_IDLE];
	int n;
};

int bench_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return bench_fail("getrlimit: %s", strerror(errno));
	if (limit.rlim_cur < BENCH_IDLE + SPARE) {
		limit.rlim_cur = BENCH_IDLE + SPARE;
		if (limit.rlim_cur > limit.rlim_max)
			return bench_fail("only %llu files may be open, %d connections are wanted",
				(unsigned long long)limit.rlim_max, BENCH_IDLE);
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			return bench_fail("setrlimit: %s", strerror(errno));
	}
	return 0;
}

int bench_idle_open(int (*connect)(void *arg), void *arg, struct bench_idle **ret_idle)
{
	struct bench_idle *idle = calloc(1, sizeof(*idle));

	if (!idle)
		return bench_fail("out of memory");
	while (idle->n < BENCH_IDLE) {
		int fd = connect(arg);

		if (fd < 0) {
			bench_idle_close(idle);
			return -1;
		}
		idle->fds[idle->n++] = fd;
	}
	*ret_idle = idle;
	return 0;
}

void bench_idle_close(struct bench_idle *idle)
{
	while (idle && idle->n > 0)
		close(idle->fds[--idle->n]);
	free(idle);
}

int bench_idle_memory(pid_t server, int (*connect)(void *arg), void *arg, double *ret_bytes)
{
	struct timespec silence = {.tv_sec = SILENCE_S};
	struct bench_idle *idle = NULL;
	/* What the first one brings is no matter of their number. */
	int first = connect(arg);

	if (first < 0)
		return -1;
	long before = bench_resident(server);
	int r = bench_idle_open(connect, arg, &idle);
	if (r == 0) {
		nanosleep(&silence, NULL);
		*ret_bytes = (double)(bench_resident(server) - before) / BENCH_IDLE;
		bench_idle_close(idle);
	}
	close(first);
	return r;
}
