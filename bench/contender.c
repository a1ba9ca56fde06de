/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "bench/contender.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Generous: only what hangs is meant. Touching 1 GiB is the longest preparation. */
#define PATIENCE_MS 60000
#define END_MS 10000

#define MAX_RUNNING 16
static volatile sig_atomic_t running[MAX_RUNNING];
static volatile sig_atomic_t stopped;

static const char *const rows_cpython[] = {"process_fork", "process_spawn", "process_forkserver",
	"process_fork_1GiB", "process_spawn_1GiB", "pool_map_chunk1", "pool_submit",
	"pool_apply_rtt", "manager_start", "manager_set_1", "manager_get_1", "manager_set_50",
	"manager_get_50", "obj_roundtrip", "conn_rtt_64B", "pipe_rtt_64B", "semaphore",
	"event_handover", "event_handover_spin", "condition_handover", "condition_handover_spin",
	"lock_uncontended", "rlock_uncontended", "value_add", "value_add_contended",
	"queue_64B_1p1c", "queue_64B_2p2c", "queue_1MiB", NULL};
static const char *const rows_redis[] = {"manager_start", "manager_set_1", "manager_get_1",
	"manager_set_50", "manager_get_50", "manager_get_50_p16", "manager_get_50_p16_idle",
	"manager_idle", "manager_entry", NULL};
static const char *const rows_load[] = {
	"manager_get_50_p16", "manager_get_50_p16_idle", "manager_idle", NULL};
static const char *const rows_zeromq[] = {
	"pool_apply_rtt", "queue_64B_1p1c", "queue_64B_2p2c", NULL};
static const char *const rows_openmp[] = {"parallel_for", NULL};
static const char *const rows_boost[] = {
	"pool_apply_rtt", "queue_64B_1p1c", "queue_64B_2p2c", "heap_alloc_free", NULL};

/* libmp is among them where its parts are measured below the public interface. */
const struct peer peers[] = {
	{"libmp", BENCH_PROGRAMS "/load_managerd", NULL, "not built: no managerd", rows_load},
	{"cpython", BENCH_SOURCES "/peer_cpython.py", "python3", "script not found", rows_cpython},
	{"redis", BENCH_PROGRAMS "/peer_redis", NULL, "not built: hiredis is missing", rows_redis},
	{"boost", BENCH_PROGRAMS "/peer_boost", NULL, "not built: Boost is missing", rows_boost},
	{"zeromq", BENCH_PROGRAMS "/peer_zeromq", NULL, "not built: libzmq is missing",
		rows_zeromq},
	{"openmp", BENCH_PROGRAMS "/peer_openmp", NULL, "not built: no OpenMP", rows_openmp},
	{NULL, NULL, NULL, NULL, NULL},
};

struct contender *contenders_of(const char *row, size_t *ret_n)
{
	const struct bench *groups[] = {bench_process, bench_pool, bench_manager, bench_obj,
		bench_conn, bench_loops, bench_wait, bench_signal, bench_lock, bench_queue,
		bench_values};
	struct contender *list = calloc(MAX_RUNNING, sizeof(*list));
	size_t n = 0;

	if (!list)
		abort();
	for (size_t g = 0; g < BENCH_COUNT(groups); g++) {
		for (const struct bench *b = groups[g]; b->name; b++) {
			if (strcmp(b->name, row) == 0 && n < MAX_RUNNING)
				list[n++] =
					(struct contender){.name = row, .who = b->who, .bench = b};
		}
	}
	for (const struct peer *p = peers; p->who; p++) {
		for (const char *const *r = p->rows; *r; r++) {
			if (strcmp(*r, row) == 0 && n < MAX_RUNNING)
				list[n++] =
					(struct contender){.name = row, .who = p->who, .peer = p};
		}
	}
	/* libmp comes first, wherever it was found. */
	for (size_t i = 1; i < n; i++) {
		if (strcmp(list[i].who, "libmp") == 0) {
			struct contender libmp = list[i];

			memmove(&list[1], &list[0], i * sizeof(*list));
			list[0] = libmp;
		}
	}
	*ret_n = n;
	return list;
}

static void note_running(pid_t gone, pid_t come)
{
	for (int i = 0; i < MAX_RUNNING; i++) {
		if (running[i] == gone) {
			running[i] = come;
			return;
		}
	}
}

void contenders_stop(void)
{
	if (!stopped) {
		stopped = 1;
		return;
	}
	for (int i = 0; i < MAX_RUNNING; i++) {
		if (running[i] > 0)
			kill(-running[i], SIGKILL);
	}
}

bool contenders_stopped(void)
{
	return stopped;
}

static int fail(struct contender *c, const char *reason)
{
	snprintf(c->reason, sizeof(c->reason), "%.500s", reason);
	contender_end(c);
	return -1;
}

static void child(struct contender *c, int in, int out)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (c->bench) {
		/* Nothing may print among the results. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		_exit(bench_serve(c->bench, in, out));
	}
	signal(SIGPIPE, SIG_DFL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	if (c->peer->interpreter)
		execlp(c->peer->interpreter, c->peer->interpreter, c->peer->program, c->name,
			(char *)NULL);
	else
		execl(c->peer->program, c->peer->program, c->name, (char *)NULL);
	dprintf(STDOUT_FILENO, "error cannot run %s: %s\n",
		c->peer->interpreter ? c->peer->interpreter : c->peer->program, strerror(errno));
	_exit(127);
}

/* One line of at most `size` - 1 bytes, within the deadline. */
static int hear(struct contender *c, char *line, size_t size)
{
	int64_t deadline = bench_now() + PATIENCE_MS * 1000000LL;
	size_t n = 0;

	for (;;) {
		struct pollfd pfd = {.fd = c->from, .events = POLLIN};
		int64_t left = deadline - bench_now();
		int r = poll(&pfd, 1, left > 0 ? (int)(left / 1000000) + 1 : 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			return fail(c, "no answer within a minute");
		if (read(c->from, &line[n], 1) != 1)
			return fail(c, "it ended without a word");
		if (line[n] == '\n')
			break;
		if (n < size - 1)
			n++;
	}
	line[n] = '\0';
	return 0;
}

/* Its answer must start with `word`; the rest is the text. */
static int expect(struct contender *c, const char *word, char *text, size_t size)
{
	char line[640];
	size_t length = strlen(word);

	if (hear(c, line, sizeof(line)) < 0)
		return -1;
	if (strncmp(line, "error ", 6) == 0)
		return fail(c, line + 6);
	if (strncmp(line, word, length) != 0)
		return fail(c, "it does not speak as bench.h says");
	snprintf(text, size, "%s", line[length] == ' ' ? line + length + 1 : line + length);
	return 0;
}

int contender_start(struct contender *c, const struct contender *all, size_t n_all)
{
	int to[2], from[2];

	if (stopped)
		return fail(c, "interrupted");
	if (c->peer && access(c->peer->program, R_OK) < 0)
		return fail(c, c->peer->missing);
	if (pipe2(to, O_CLOEXEC) < 0)
		return fail(c, strerror(errno));
	if (pipe2(from, O_CLOEXEC) < 0) {
		close(to[0]);
		close(to[1]);
		return fail(c, strerror(errno));
	}
	c->pid = fork();
	if (c->pid == 0) {
		close(to[1]);
		close(from[0]);
		for (size_t i = 0; i < n_all; i++) {
			if (all[i].pid > 0) {
				close(all[i].to);
				close(all[i].from);
			}
		}
		child(c, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
	if (c->pid < 0)
		return fail(c, strerror(errno));
	setpgid(c->pid, c->pid); /* both do, so that it is done whoever comes first */
	note_running(0, c->pid);
	return expect(c, "ready", c->version, sizeof(c->version));
}

int contender_round(struct contender *c, double *ret_value)
{
	char text[64];
	char *end;

	if (stopped)
		return fail(c, "interrupted");
	if (bench_write(c->to, "run\n", 4) < 0)
		return fail(c, bench_failure());
	if (expect(c, "value", text, sizeof(text)) < 0)
		return -1;
	double value = strtod(text, &end);
	if (*end != '\0' || end == text || !(value > 0))
		return fail(c, "it measured nothing");
	*ret_value = value;
	return 0;
}

/*
 * End of file is the word to clean up. Whoever of its group is left after that is killed; it is
 * reaped last, so that its pid cannot be anybody else's group by then.
 */
void contender_end(struct contender *c)
{
	siginfo_t info;

	if (c->pid <= 0)
		return;
	close(c->to);
	int64_t deadline = bench_now() + END_MS * 1000000LL;
	for (;;) {
		char rest[64];
		struct pollfd pfd = {.fd = c->from, .events = POLLIN};
		int64_t left = deadline - bench_now();

		/* The pipe ends with the last process of the group that has it. */
		if (left <= 0 || poll(&pfd, 1, (int)(left / 1000000) + 1) == 0 ||
			read(c->from, rest, sizeof(rest)) <= 0)
			break;
	}
	close(c->from);
	kill(-c->pid, SIGKILL);
	while (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	note_running(c->pid, 0);
	waitpid(c->pid, NULL, 0);
	c->pid = 0;
}
