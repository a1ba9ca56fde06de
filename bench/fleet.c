/* SPDX-License-Identifier: MIT */
/*
 * Many clients of one server. Each client is a process, because that is what clients of a server
 * are, and because it treats contenders alike whose threads share a lock and those whose do not.
 */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench_fleet {
	int n;
	int go;   /* the round's end, in nanoseconds of the clock: one message for each client */
	int done; /* how many operations: one message from each client */
	pid_t pids[];
};

static const uint64_t FAILED = UINT64_MAX;

/* Messages of 8 bytes are below PIPE_BUF: each is read by one client, whole. */
static int client(int go, int done, void *self, bench_op *op)
{
	uint64_t count = self ? 0 : FAILED;
	int64_t end;

	while (bench_write(done, &count, sizeof(count)) == 0 && count != FAILED &&
		bench_read(go, &end, sizeof(end)) == 0) {
		for (count = 0; bench_now() < end; count++) {
			if (op(self) < 0) {
				count = FAILED;
				break;
			}
		}
	}
	return 0;
}

static int gather(struct bench_fleet *fleet, uint64_t *ret_total)
{
	uint64_t total = 0;

	for (int i = 0; i < fleet->n; i++) {
		uint64_t count;

		if (bench_read(fleet->done, &count, sizeof(count)) < 0)
			return -1;
		if (count == FAILED)
			return bench_fail("a client cannot reach the server");
		total += count;
	}
	*ret_total = total;
	return 0;
}

static int launch(struct bench_fleet *fleet, void *(*connect)(void *arg, int index), bench_op *op,
	void *arg, const int go[2], const int done[2])
{
	for (int i = 0; i < fleet->n; i++) {
		fleet->pids[i] = bench_fork();
		if (fleet->pids[i] < 0)
			return -1;
		if (fleet->pids[i] == 0) {
			close(go[1]);
			close(done[0]);
			_exit(client(go[0], done[1], connect(arg, i), op));
		}
	}
	return 0;
}

int bench_fleet_start(int n, void *(*connect)(void *arg, int index), bench_op *op, void *arg,
	struct bench_fleet **ret_fleet)
{
	struct bench_fleet *fleet = calloc(1, sizeof(*fleet) + (size_t)n * sizeof(pid_t));
	int go[2], done[2];
	uint64_t none;

	if (!fleet)
		return bench_fail("out of memory");
	if (pipe2(go, O_CLOEXEC) < 0) {
		free(fleet);
		return bench_fail("pipe: %s", strerror(errno));
	}
	if (pipe2(done, O_CLOEXEC) < 0) {
		close(go[0]);
		close(go[1]);
		free(fleet);
		return bench_fail("pipe: %s", strerror(errno));
	}
	fleet->n = n;
	fleet->go = go[1];
	fleet->done = done[0];
	int r = launch(fleet, connect, op, arg, go, done);
	close(go[0]);
	close(done[1]);
	if (r == 0)
		r = gather(fleet, &none);
	if (r < 0) {
		bench_fleet_stop(fleet);
		return r;
	}
	*ret_fleet = fleet;
	return 0;
}

int bench_fleet_round(struct bench_fleet *fleet, double *ret_per_second)
{
	int64_t start = bench_now();
	int64_t end = start + BENCH_ROUND_NS;
	uint64_t total;

	for (int i = 0; i < fleet->n; i++) {
		if (bench_write(fleet->go, &end, sizeof(end)) < 0)
			return -1;
	}
	if (gather(fleet, &total) < 0)
		return -1;
	*ret_per_second = (double)total * 1e9 / (double)(bench_now() - start);
	return 0;
}

void bench_fleet_stop(struct bench_fleet *fleet)
{
	if (!fleet)
		return;
	for (int i = 0; i < fleet->n; i++)
		bench_reap(fleet->pids[i]);
	close(fleet->go);
	close(fleet->done);
	free(fleet);
}
