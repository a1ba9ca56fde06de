/* SPDX-License-Identifier: MIT */
/* A dict in another process: one client, and many. */
#include <config.h>

#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <mp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Mean time of what `start_once` calls its start, over one round. */
static int time_starts(int (*start_once)(int64_t *ret_ns), double *ret_us)
{
	int64_t end = bench_now() + BENCH_ROUND_NS;
	int64_t total = 0;
	int n = 0;

	do {
		int64_t ns = 0;
		int r = start_once(&ns);

		if (r < 0)
			return r;
		total += ns;
		n++;
	} while (bench_now() < end);
	*ret_us = (double)total / 1e3 / n;
	return 0;
}

/* --- libmp ------------------------------------------------------------------------------------ */

#ifdef ENABLE_MANAGER

/* Who and what else there is in a daemon that is asked by one client. */
#define CROWD_CLIENTS 300
#define CROWD_OBJECTS 50000

struct served {
	mp_manager *manager;
	mp_dict *dict;
	unsigned next;
	struct bench_fleet *fleet;
	mp_proxy *queue; /* that nobody puts anything into */
	pid_t crowd[CROWD_CLIENTS];
};

/* variant: */
enum { SET_1, GET_1, SET_50, GET_50, GET_CROWD };

/* The managerd of this build, unless the user names another. */
static const mp_manager_options *options(void)
{
	const char *chosen = getenv("MP_MANAGERD");
	static mp_manager_options o = {.size = sizeof(o)};

	o.program = chosen && *chosen ? chosen : BENCH_MANAGERD;
	return &o;
}

static int start_managerd(int64_t *ret_ns)
{
	mp_manager *manager;
	int64_t start = bench_now();
	int r = mp_manager_start(options(), &manager);

	if (r < 0)
		return bench_fail_mp("mp_manager_start", r);
	r = mp_manager_ping(manager);
	*ret_ns = bench_now() - start;
	mp_manager_close(manager);
	return r < 0 ? bench_fail_mp("mp_manager_ping", r) : 0;
}

static int run_start(struct bench *b, double *ret_value)
{
	(void)b;
	return time_starts(start_managerd, ret_value);
}

static int dict_set(void *arg)
{
	struct served *s = arg;
	int r = mp_dict_set(
		s->dict, mp_str(bench_key(s->next++)), mp_bytes(bench_value(), BENCH_VALUE_SIZE));

	return r < 0 ? bench_fail_mp("mp_dict_set", r) : 0;
}

static int dict_get(void *arg)
{
	struct served *s = arg;
	mp_obj value;
	int r = mp_dict_get(s->dict, mp_str(bench_key(s->next++)), &value);

	if (r < 0)
		return bench_fail_mp("mp_dict_get", r);
	r = mp_obj_len(&value) == BENCH_VALUE_SIZE ? 0 : bench_fail("not the value that was set");
	mp_obj_free(&value);
	return r;
}

/* In a forked client: the inherited handle opens a connection of the client's own. */
static void *dict_client(void *arg, int index)
{
	struct served *s = arg;

	s->next = (unsigned)index * (BENCH_KEYS / BENCH_CLIENTS);
	return dict_get(s) < 0 ? NULL : s;
}

/* Each waits for what never comes, over a connection of its own. */
static int gather_waiters(struct served *s)
{
	char ready = 1;
	int pipe[2];
	int r = mp_manager_queue(s->manager, "crowd", NULL, &s->queue);

	if (r < 0)
		return bench_fail_mp("mp_manager_queue", r);
	if (pipe2(pipe, O_CLOEXEC) < 0)
		return bench_fail("pipe2: %s", strerror(errno));
	for (int i = 0; r == 0 && i < CROWD_CLIENTS; i++) {
		s->crowd[i] = bench_fork();
		if (s->crowd[i] == 0) {
			mp_obj value;
			if (mp_manager_ping(s->manager) == 0 && write(pipe[1], &ready, 1) == 1)
				mp_served_queue_get(s->queue, MP_FOREVER, &value);
			_exit(0);
		}
		r = s->crowd[i] < 0 ? -1 : 0;
	}
	close(pipe[1]);
	for (int i = 0; r == 0 && i < CROWD_CLIENTS; i++)
		r = bench_read(pipe[0], &ready, 1);
	close(pipe[0]);
	return r;
}

static int gather_objects(struct served *s)
{
	for (unsigned i = 0; i < CROWD_OBJECTS; i++) {
		mp_dict *dict;
		char name[32];
		snprintf(name, sizeof(name), "crowd %u", i);
		int r = mp_manager_dict(s->manager, name, &dict);
		if (r == 0)
			r = mp_dict_set(dict, mp_i64(1), mp_i64(i));
		if (r < 0)
			return bench_fail_mp("a dict of the crowd", r);
		mp_dict_close(dict);
	}
	return 0;
}

static void teardown(struct bench *b)
{
	struct served *s = b->state;

	for (int i = 0; i < CROWD_CLIENTS; i++) {
		if (s->crowd[i] > 0)
			bench_reap(s->crowd[i]);
	}
	mp_proxy_close(s->queue);
	bench_fleet_stop(s->fleet);
	mp_dict_close(s->dict);
	mp_manager_close(s->manager);
	free(s);
}

static int fill(struct served *s, int variant)
{
	int r = mp_manager_start(options(), &s->manager);

	if (r < 0)
		return bench_fail_mp("mp_manager_start", r);
	r = mp_manager_dict(s->manager, "bench", &s->dict);
	if (r < 0)
		return bench_fail_mp("mp_manager_dict", r);
	for (int i = 0; i < BENCH_KEYS; i++) {
		if (dict_set(s) < 0)
			return -1;
	}
	if (variant == GET_CROWD)
		return gather_objects(s) < 0 ? -1 : gather_waiters(s);
	if (variant != SET_50 && variant != GET_50)
		return 0;
	return bench_fleet_start(
		BENCH_CLIENTS, dict_client, variant == SET_50 ? dict_set : dict_get, s, &s->fleet);
}

static int setup(struct bench *b)
{
	struct served *s = calloc(1, sizeof(*s));

	if (!s)
		return bench_fail("out of memory");
	b->state = s;
	int r = fill(s, b->variant);
	if (r < 0)
		teardown(b);
	return r;
}

static int run(struct bench *b, double *ret_value)
{
	struct served *s = b->state;

	if (s->fleet)
		return bench_fleet_round(s->fleet, ret_value);
	return bench_rate(b->variant == SET_1 ? dict_set : dict_get, s, 1, ret_value);
}

/* --- memory --- */

/* So many entries go with one request. */
#define BATCH 500

static int fill_many(mp_dict *dict)
{
	char keys[BATCH][16];
	mp_obj pairs[2 * BATCH];

	for (unsigned i = 0; i < BENCH_ENTRIES; i += BATCH) {
		for (unsigned k = 0; k < BATCH; k++) {
			snprintf(keys[k], sizeof(keys[k]), "key:%09u", i + k);
			pairs[2 * k] = mp_str(keys[k]);
			pairs[2 * k + 1] = mp_bytes(bench_value(), BENCH_VALUE_SIZE);
		}
		int r = mp_dict_update(dict, mp_dict_of(pairs, 2 * BATCH));
		if (r < 0)
			return bench_fail_mp("mp_dict_update", r);
	}
	size_t length = 0;
	int r = mp_dict_len(dict, &length);
	if (r < 0)
		return bench_fail_mp("mp_dict_len", r);
	return length == BENCH_ENTRIES ? 0 : bench_fail("not all entries are there");
}

/* A server of its own each time, so that none finds the memory of an earlier round. */
static int run_entry(struct bench *b, double *ret_value)
{
	mp_manager *manager;
	mp_dict *dict;
	int r = mp_manager_start(options(), &manager);

	(void)b;
	if (r < 0)
		return bench_fail_mp("mp_manager_start", r);
	long before = bench_resident(mp_manager_pid(manager));
	r = mp_manager_dict(manager, NULL, &dict);
	if (r < 0) {
		mp_manager_close(manager);
		return bench_fail_mp("mp_manager_dict", r);
	}
	r = fill_many(dict);
	long after = bench_resident(mp_manager_pid(manager));
	*ret_value = (double)(after - before) / BENCH_ENTRIES;
	mp_dict_close(dict);
	mp_manager_close(manager);
	return r;
}

#endif

/* --- floor: the same bytes over sockets to a server that only echoes them ----------------------- */

struct floor {
	int fds[BENCH_CLIENTS]; /* the clients' ends */
	int n;
	pid_t server;
	struct bench_fleet *fleet;
	struct bench_load *load;
};

/* Takes as much as there is: with pipelining, several messages at once. */
static int echo_all(int epoll, int n)
{
	struct epoll_event events[BENCH_CLIENTS];
	char message[BENCH_ECHO_SIZE * BENCH_PIPELINE];

	while (n > 0) {
		int ready = epoll_wait(epoll, events, BENCH_CLIENTS, -1);

		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;

			ssize_t size = read(fd, message, sizeof(message));

			if (size <= 0 || bench_write(fd, message, (size_t)size) < 0) {
				close(fd);
				n--;
			}
		}
	}
	return 0;
}

static int echo_server(const int *fds, int n)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < n; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
			return 1;
	}
	return echo_all(epoll, n);
}

static int floor_start(struct floor *f, int n)
{
	int theirs[BENCH_CLIENTS];

	for (f->n = 0; f->n < n; f->n++) {
		int fds[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
			return bench_fail("socketpair: %s", strerror(errno));
		f->fds[f->n] = fds[0];
		theirs[f->n] = fds[1];
	}
	f->server = bench_fork();
	if (f->server == 0) {
		for (int i = 0; i < n; i++)
			close(f->fds[i]);
		_exit(n == 1 ? bench_echo(theirs[0]) : echo_server(theirs, n));
	}
	for (int i = 0; i < n; i++)
		close(theirs[i]);
	return f->server < 0 ? -1 : 0;
}

static int round_trip(void *arg)
{
	char message[BENCH_ECHO_SIZE] = "";
	const int *fd = arg;

	if (bench_write(*fd, message, sizeof(message)) < 0)
		return -1;
	return bench_read(*fd, message, sizeof(message));
}

static void *floor_client(void *arg, int index)
{
	struct floor *f = arg;
	return &f->fds[index];
}

/* variant: how many clients */
static int floor_setup(struct bench *b)
{
	struct floor *f = calloc(1, sizeof(*f));

	if (!f)
		return bench_fail("out of memory");
	b->state = f;
	if (floor_start(f, b->variant) < 0)
		return -1;
	if (b->variant == 1)
		return 0;
	return bench_fleet_start(b->variant, floor_client, round_trip, f, &f->fleet);
}

static int floor_run(struct bench *b, double *ret_value)
{
	struct floor *f = b->state;

	if (f->load)
		return bench_load_round(f->load, ret_value);
	if (f->fleet)
		return bench_fleet_round(f->fleet, ret_value);
	return bench_rate(round_trip, &f->fds[0], 1, ret_value);
}

static void floor_teardown(struct bench *b)
{
	struct floor *f = b->state;

	bench_fleet_stop(f->fleet);
	bench_load_free(f->load);
	bench_reap(f->server);
	free(f);
}

static int echo_reply(const uint8_t *data, size_t size)
{
	(void)data;
	return size < BENCH_ECHO_SIZE ? 0 : BENCH_ECHO_SIZE;
}

static int pipelined_floor_setup(struct bench *b)
{
	struct floor *f = calloc(1, sizeof(*f));
	char batch[BENCH_ECHO_SIZE * BENCH_PIPELINE] = "";

	if (!f)
		return bench_fail("out of memory");
	b->state = f;
	int r = floor_start(f, BENCH_CLIENTS);
	if (r == 0)
		r = bench_load_new(echo_reply, &f->load);
	for (int i = 0; r == 0 && i < BENCH_CLIENTS; i++)
		r = bench_load_add(f->load, f->fds[i], batch, sizeof(batch));
	return r;
}

/* --- floor of a start: spawn a program and hear one message from it ----------------------------- */

extern char **environ;

static int start_floor(int64_t *ret_ns)
{
	char *argv[] = {(char *)"greeter", NULL};
	posix_spawn_file_actions_t actions;
	int fds[2];
	char byte;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return bench_fail("socketpair: %s", strerror(errno));
	int64_t start = bench_now();
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	int e = posix_spawn(&pid, BENCH_PROGRAMS "/greeter", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (e == 0 && read(fds[0], &byte, 1) != 1)
		e = EPROTO;
	*ret_ns = bench_now() - start;
	close(fds[0]);
	if (e)
		return bench_fail("posix_spawn: %s", strerror(e));
	waitpid(pid, NULL, 0);
	return 0;
}

static int run_start_floor(struct bench *b, double *ret_value)
{
	(void)b;
	return time_starts(start_floor, ret_value);
}

#define FLOOR(name, n)                                                         \
	{                                                                      \
		name, "floor", floor_setup, floor_run, floor_teardown, n, NULL \
	}

const struct bench bench_manager[] = {
#ifdef ENABLE_MANAGER
	{"manager_start", "libmp", NULL, run_start, NULL, 0, NULL},
	{"manager_set_1", "libmp", setup, run, teardown, SET_1, NULL},
	{"manager_get_1", "libmp", setup, run, teardown, GET_1, NULL},
	{"manager_get_crowd", "libmp", setup, run, teardown, GET_CROWD, NULL},
	{"manager_get_crowd", "alone", setup, run, teardown, GET_1, NULL},
	{"manager_set_50", "libmp", setup, run, teardown, SET_50, NULL},
	{"manager_get_50", "libmp", setup, run, teardown, GET_50, NULL},
	{"manager_entry", "libmp", NULL, run_entry, NULL, 0, NULL},
#endif
	{"manager_start", "floor", NULL, run_start_floor, NULL, 0, NULL},
	FLOOR("manager_set_1", 1),
	FLOOR("manager_get_1", 1),
	FLOOR("manager_set_50", BENCH_CLIENTS),
	FLOOR("manager_get_50", BENCH_CLIENTS),
	{"manager_get_50_p16", "floor", pipelined_floor_setup, floor_run, floor_teardown, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
