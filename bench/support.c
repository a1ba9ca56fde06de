/* SPDX-License-Identifier: MIT */
/* What contenders are written with: clocks, loops, pipes, children, and the words to mpbench. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char failure[512];
static char version[128];

int bench_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(failure, sizeof(failure), format, ap);
	va_end(ap);
	return -1;
}

const char *bench_failure(void)
{
	return failure[0] ? failure : "no reason given";
}

void bench_set_version(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(version, sizeof(version), format, ap);
	va_end(ap);
}

int64_t bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/*
 * The clock is read after 1, 2, 4, ... operations at first, so that reading it costs nothing beside
 * operations of nanoseconds; never more than an eighth of the round passes between two readings.
 */
static int repeat(bench_op *op, void *arg, double *ret_seconds)
{
	int64_t start = bench_now();
	int64_t elapsed = 0;
	uint64_t done = 0;
	uint64_t step = 1;

	while (elapsed < BENCH_ROUND_NS) {
		int64_t before = elapsed;

		for (uint64_t i = 0; i < step; i++) {
			int r = op(arg);
			if (r < 0)
				return r;
		}
		done += step;
		elapsed = bench_now() - start;
		if (elapsed - before < BENCH_ROUND_NS / 32)
			step *= 2;
		else if (elapsed - before > BENCH_ROUND_NS / 8 && step > 1)
			step /= 2;
	}
	*ret_seconds = (double)elapsed / 1e9 / (double)done;
	return 0;
}

int bench_time(bench_op *op, void *arg, double *ret_us)
{
	double seconds;
	int r = repeat(op, arg, &seconds);

	if (r == 0)
		*ret_us = seconds * 1e6;
	return r;
}

int bench_rate(bench_op *op, void *arg, unsigned count, double *ret_per_second)
{
	double seconds;
	int r = repeat(op, arg, &seconds);

	if (r == 0)
		*ret_per_second = count / seconds;
	return r;
}

int bench_read(int fd, void *data, size_t size)
{
	char *at = data;

	while (size > 0) {
		ssize_t n = read(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bench_fail("read: %s", n < 0 ? strerror(errno) : "end of file");
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int bench_write(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bench_fail("write: %s", strerror(errno));
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

pid_t bench_fork(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return bench_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1); /* it died before the death signal was set */
	}
	return pid;
}

int bench_place(pid_t pid, int n)
{
	static cpu_set_t all; /* before anybody was placed */
	static bool known;
	cpu_set_t one;
	int cpu = 0;

	if (!known && sched_getaffinity(0, sizeof(all), &all) < 0)
		return bench_fail("no CPUs are known");
	known = true;
	while (cpu < CPU_SETSIZE && (!CPU_ISSET(cpu, &all) || n-- > 0))
		cpu++;
	if (cpu == CPU_SETSIZE)
		return bench_fail("it takes two CPUs");
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(pid, sizeof(one), &one) < 0 ? bench_fail("cannot choose a CPU")
							     : 0;
}

int bench_place_side(int i, int side)
{
	int n = i < side ? i : i - side + 1;

	return bench_place(0, n % 2);
}

long bench_resident(pid_t pid)
{
	char path[32];
	char text[100] = "";
	long pages = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%*s %ld", &pages) != 1)
		pages = 0;
	if (fd >= 0)
		close(fd);
	return pages * sysconf(_SC_PAGESIZE);
}

int bench_directory(char directory[BENCH_DIRECTORY_SIZE])
{
	snprintf(directory, BENCH_DIRECTORY_SIZE, "/tmp/mpbench.XXXXXX");
	return mkdtemp(directory) ? 0 : bench_fail("mkdtemp: %s", strerror(errno));
}

void bench_reap(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

pid_t bench_fork_peer(int (*body)(int fd), int *ret_fd)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return bench_fail("socketpair: %s", strerror(errno));

	pid_t pid = bench_fork();
	if (pid == 0) {
		close(fds[0]);
		_exit(body(fds[1]));
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return pid;
	}
	*ret_fd = fds[0];
	return pid;
}

int bench_side_by_side(pid_t other)
{
	return bench_place(0, 0) < 0 ? -1 : bench_place(other, 1);
}

int bench_echo(int fd)
{
	char message[BENCH_ECHO_SIZE];

	while (bench_read(fd, message, sizeof(message)) == 0) {
		if (bench_write(fd, message, sizeof(message)) < 0)
			return 1;
	}
	return 0;
}

const char *bench_key(unsigned i)
{
	static char keys[BENCH_KEYS][16];

	if (keys[0][0] == '\0') {
		for (unsigned k = 0; k < BENCH_KEYS; k++)
			snprintf(keys[k], sizeof(keys[k]), "key:%09u", k);
	}
	return keys[i % BENCH_KEYS];
}

const char *bench_value(void)
{
	static char value[BENCH_VALUE_SIZE + 1];

	if (value[0] == '\0')
		memset(value, 'v', BENCH_VALUE_SIZE);
	return value;
}

/* --- the words ------------------------------------------------------------------------------- */

static int say(int out, const char *word, const char *text)
{
	char line[600];
	int n = snprintf(line, sizeof(line), "%s %.500s", word, text);

	for (int i = 0; i < n; i++) {
		if (line[i] == '\n')
			line[i] = ' ';
	}
	line[n++] = '\n';
	return bench_write(out, line, (size_t)n);
}

int bench_serve(const struct bench *bench, int in, int out)
{
	struct bench own = *bench;
	int status = 0;
	char word[4];

	if (own.setup && own.setup(&own) < 0) {
		say(out, "error", bench_failure());
		return 1;
	}
	say(out, "ready", version);
	while (bench_read(in, word, sizeof(word)) == 0 && memcmp(word, "run\n", 4) == 0) {
		char text[64];
		double value;

		if (own.run(&own, &value) < 0) {
			say(out, "error", bench_failure());
			status = 1;
			break;
		}
		snprintf(text, sizeof(text), "%.17g", value);
		if (say(out, "value", text) < 0)
			break;
	}
	if (own.teardown)
		own.teardown(&own);
	return status;
}

int bench_peer_main(int argc, char **argv, const struct bench *benches)
{
	for (const struct bench *b = benches; argc == 2 && b->name; b++) {
		if (strcmp(b->name, argv[1]) == 0)
			return bench_serve(b, STDIN_FILENO, STDOUT_FILENO);
	}
	fprintf(stderr, "usage: %s ROW, started by mpbench; rows:\n", argv[0]);
	for (const struct bench *b = benches; b->name; b++)
		fprintf(stderr, "  %s\n", b->name);
	return 2;
}
