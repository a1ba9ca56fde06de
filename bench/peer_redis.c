/* SPDX-License-Identifier: MIT */
/*
 * Redis as a peer: a redis-server of our own on a Unix socket in a private directory, with nothing
 * written to disk, and hiredis as its client library.
 */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
	char directory[BENCH_DIRECTORY_SIZE];
	char path[80];
	pid_t pid;
	int output;
	redisContext *context;
	unsigned next;
	struct bench_fleet *fleet;
	struct bench_load *load;
	struct bench_idle *idle;
};

static void server_exec(const char *path, const char *directory, int out)
{
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
		"--appendonly", "no", "--daemonize", "no", "--dir", directory, "--maxclients",
		"10100", (char *)NULL);
	fprintf(stderr, "cannot run redis-server: %s\n", strerror(errno));
	_exit(127);
}

/* It says on its standard output when it can be reached; its last line before an end says why. */
static int server_await(struct server *s)
{
	char line[512] = "";
	size_t n = 0;

	while (n < sizeof(line) - 1) {
		if (read(s->output, &line[n], 1) != 1)
			return bench_fail("redis-server ended: %s", line);
		if (line[n] != '\n') {
			n++;
			continue;
		}
		line[n] = '\0';
		if (strstr(line, "ready to accept connections"))
			return 0;
		n = 0;
	}
	return bench_fail("redis-server does not say that it is ready");
}

static int server_start(struct server *s)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return bench_fail("pipe: %s", strerror(errno));
	s->pid = bench_fork();
	if (s->pid == 0)
		server_exec(s->path, s->directory, fds[1]);
	close(fds[1]);
	s->output = fds[0];
	if (s->pid < 0)
		return -1;
	return server_await(s);
}

static void server_end(struct server *s)
{
	bench_reap(s->pid);
	if (s->output > 0)
		close(s->output);
	unlink(s->path);
	s->pid = 0;
	s->output = 0;
}

static redisContext *client_new(const char *path)
{
	redisContext *context = redisConnectUnix(path);

	if (!context || context->err) {
		bench_fail("%s: %s", path, context ? context->errstr : "out of memory");
		if (context)
			redisFree(context);
		return NULL;
	}
	return context;
}

static int ping(redisContext *context)
{
	redisReply *reply = redisCommand(context, "PING");

	if (!reply)
		return bench_fail("PING: %s", context->errstr);
	freeReplyObject(reply);
	return 0;
}

static int op_set(redisContext *context, unsigned i)
{
	const char *argv[] = {"SET", bench_key(i), bench_value()};
	const size_t lengths[] = {3, strlen(argv[1]), BENCH_VALUE_SIZE};
	redisReply *reply = redisCommandArgv(context, 3, argv, lengths);

	if (!reply)
		return bench_fail("SET: %s", context->errstr);
	int r = reply->type == REDIS_REPLY_STATUS ? 0 : bench_fail("SET: no OK");
	freeReplyObject(reply);
	return r;
}

static int op_get(redisContext *context, unsigned i)
{
	const char *argv[] = {"GET", bench_key(i)};
	const size_t lengths[] = {3, strlen(argv[1])};
	redisReply *reply = redisCommandArgv(context, 2, argv, lengths);

	if (!reply)
		return bench_fail("GET: %s", context->errstr);
	int r = reply->type == REDIS_REPLY_STRING && reply->len == BENCH_VALUE_SIZE
			? 0
			: bench_fail("GET: not the value that was set");
	freeReplyObject(reply);
	return r;
}

static int set_next(void *arg)
{
	struct server *s = arg;
	return op_set(s->context, s->next++);
}

static int get_next(void *arg)
{
	struct server *s = arg;
	return op_get(s->context, s->next++);
}

/* --- rows ------------------------------------------------------------------------------------ */

static void teardown(struct bench *b)
{
	struct server *s = b->state;

	bench_fleet_stop(s->fleet);
	bench_load_free(s->load);
	bench_idle_close(s->idle);
	if (s->context)
		redisFree(s->context);
	server_end(s);
	rmdir(s->directory);
	free(s);
}

static int setup_directory(struct bench *b)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return bench_fail("out of memory");
	if (bench_directory(s->directory) < 0) {
		free(s);
		return -1;
	}
	snprintf(s->path, sizeof(s->path), "%s/socket", s->directory);
	b->state = s;
	return 0;
}

static void note_version(redisContext *context)
{
	redisReply *reply = redisCommand(context, "INFO server");
	const char *at = reply && reply->str ? strstr(reply->str, "redis_version:") : NULL;

	if (at) {
		at += strlen("redis_version:");
		bench_set_version("%.*s", (int)strcspn(at, "\r\n"), at);
	}
	if (reply)
		freeReplyObject(reply);
}

static int setup_filled(struct bench *b)
{
	struct server *s = b->state;

	if (server_start(s) < 0)
		return -1;
	s->context = client_new(s->path);
	if (!s->context)
		return -1;
	note_version(s->context);
	for (unsigned i = 0; i < BENCH_KEYS; i++) {
		if (op_set(s->context, i) < 0)
			return -1;
	}
	return 0;
}

static void *fleet_connect(void *arg, int index)
{
	struct server *s = arg;
	struct server *mine = calloc(1, sizeof(*mine));

	if (!mine)
		return NULL;
	mine->context = client_new(s->path);
	mine->next = (unsigned)index * (BENCH_KEYS / BENCH_CLIENTS);
	if (mine->context)
		return mine;
	free(mine);
	return NULL;
}

/* variant: 0 set, 1 get, and the same with BENCH_CLIENTS clients as 2 and 3 */
static int setup(struct bench *b)
{
	if (setup_directory(b) < 0)
		return -1;
	struct server *s = b->state;
	int r = setup_filled(b);
	if (r == 0 && b->variant >= 2)
		r = bench_fleet_start(BENCH_CLIENTS, fleet_connect,
			b->variant == 2 ? set_next : get_next, s, &s->fleet);
	if (r < 0)
		teardown(b);
	return r;
}

static int run(struct bench *b, double *ret_value)
{
	struct server *s = b->state;

	if (s->fleet)
		return bench_fleet_round(s->fleet, ret_value);
	return bench_rate(b->variant == 0 ? set_next : get_next, s, 1, ret_value);
}

/* --- pipelined: what GET answers, byte by byte --------------------------------------------------- */

static int reply(const uint8_t *data, size_t size)
{
	static char expected[BENCH_VALUE_SIZE + 16];
	static size_t length;

	if (length == 0)
		length = (size_t)snprintf(expected, sizeof(expected), "$%d\r\n%s\r\n",
			BENCH_VALUE_SIZE, bench_value());
	if (memcmp(data, expected, size < length ? size : length) != 0)
		return -1;
	return size < length ? 0 : (int)length;
}

/* A connection that has been answered. */
static int connect_idle(void *arg)
{
	struct server *s = arg;
	redisContext *context = client_new(s->path);

	if (!context)
		return -1;
	if (ping(context) == 0)
		return redisFreeKeepFd(context);
	redisFree(context);
	return -1;
}

static int add_connection(struct server *s, int index)
{
	char batch[BENCH_PIPELINE * 64];
	size_t size = 0;
	redisContext *context = client_new(s->path);

	if (!context)
		return -1;
	for (unsigned i = 0; i < BENCH_PIPELINE; i++) {
		const char *key = bench_key(bench_pipeline_key(index, i));

		size += (size_t)snprintf(batch + size, sizeof(batch) - size,
			"*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(key), key);
	}
	int fd = redisFreeKeepFd(context);
	fcntl(fd, F_SETFL, 0);
	return bench_load_add(s->load, fd, batch, size);
}

/* variant: whether many others are connected, and idle */
static int setup_pipelined(struct bench *b)
{
	if (setup_directory(b) < 0)
		return -1;
	struct server *s = b->state;
	int r = b->variant ? bench_files() : 0;
	if (r == 0)
		r = setup_filled(b);
	if (r == 0 && b->variant)
		r = bench_idle_open(connect_idle, s, &s->idle);
	if (r == 0)
		r = bench_load_new(reply, &s->load);
	for (int i = 0; r == 0 && i < BENCH_CLIENTS; i++)
		r = add_connection(s, i);
	if (r < 0)
		teardown(b);
	return r;
}

static int run_pipelined(struct bench *b, double *ret_value)
{
	struct server *s = b->state;
	return bench_load_round(s->load, ret_value);
}

/* From the start of the server to its first answer; its end is not counted. */
static int run_start(struct bench *b, double *ret_value)
{
	struct server *s = b->state;
	int64_t total = 0;
	int64_t round_end = bench_now() + BENCH_ROUND_NS;
	int n = 0;

	while (n == 0 || bench_now() < round_end) {
		int64_t start = bench_now();
		int r = server_start(s);
		redisContext *context = r == 0 ? client_new(s->path) : NULL;

		if (context)
			r = ping(context);
		else
			r = -1;
		total += bench_now() - start;
		n++;
		if (context)
			redisFree(context);
		server_end(s);
		if (r < 0)
			return r;
	}
	*ret_value = (double)total / 1e3 / n;
	return 0;
}

/* --- memory --- */

static int await_replies(redisContext *context, unsigned n)
{
	while (n-- > 0) {
		redisReply *reply;

		if (redisGetReply(context, (void **)&reply) != REDIS_OK)
			return bench_fail("SET: %s", context->errstr);
		int r = reply->type == REDIS_REPLY_STATUS ? 0 : bench_fail("SET: no OK");
		freeReplyObject(reply);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_many(redisContext *context)
{
	enum { BATCH = 500 };
	char key[16];

	for (unsigned i = 0; i < BENCH_ENTRIES; i++) {
		snprintf(key, sizeof(key), "key:%09u", i);
		const char *argv[] = {"SET", key, bench_value()};
		const size_t lengths[] = {3, strlen(key), BENCH_VALUE_SIZE};
		if (redisAppendCommandArgv(context, 3, argv, lengths) != REDIS_OK)
			return bench_fail("SET: %s", context->errstr);
		if (i % BATCH == BATCH - 1 && await_replies(context, BATCH) < 0)
			return -1;
	}
	return 0;
}

static int run_entry(struct bench *b, double *ret_value)
{
	struct server *s = b->state;

	if (server_start(s) < 0)
		return -1;
	redisContext *context = client_new(s->path);
	int r = context ? ping(context) : -1;
	long before = bench_resident(s->pid);
	if (r == 0)
		r = fill_many(context);
	*ret_value = (double)(bench_resident(s->pid) - before) / BENCH_ENTRIES;
	if (context)
		redisFree(context);
	server_end(s);
	return r;
}

static int run_idle(struct bench *b, double *ret_value)
{
	struct server *s = b->state;
	int r = bench_files();

	if (r == 0)
		r = server_start(s);
	if (r == 0)
		r = bench_idle_memory(s->pid, connect_idle, s, ret_value);
	server_end(s);
	return r;
}

int main(int argc, char **argv)
{
	static const struct bench benches[] = {
		{"manager_start", "redis", setup_directory, run_start, teardown, 0, NULL},
		{"manager_set_1", "redis", setup, run, teardown, 0, NULL},
		{"manager_get_1", "redis", setup, run, teardown, 1, NULL},
		{"manager_set_50", "redis", setup, run, teardown, 2, NULL},
		{"manager_get_50", "redis", setup, run, teardown, 3, NULL},
		{"manager_get_50_p16", "redis", setup_pipelined, run_pipelined, teardown, 0, NULL},
		{"manager_get_50_p16_idle", "redis", setup_pipelined, run_pipelined, teardown, 1,
			NULL},
		{"manager_idle", "redis", setup_directory, run_idle, teardown, 0, NULL},
		{"manager_entry", "redis", setup_directory, run_entry, teardown, 0, NULL},
		{NULL, NULL, NULL, NULL, NULL, 0, NULL},
	};

	return bench_peer_main(argc, argv, benches);
}
