/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what a measured thing is, and the helpers for writing one.
 *
 * The key idea: a row ("manager_get_1") is measured for several contenders ("libmp", "floor",
 * "redis"), and each contender of each row lives in a process of its own that does nothing but wait
 * for the word to run one round. So rounds of all contenders can be interleaved, no contender sees
 * another's memory or descriptors, and one that crashes or hangs harms only itself.
 *
 * The words, lines of text over two pipes, are the same for a forked child of mpbench and for a peer
 * that is a program (peer_redis, peer_cpython.py): the contender says "ready VERSION", then answers
 * each "run" by "value NUMBER"; or it says "error REASON" and ends. At end of file it cleans up.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Long enough for a steady state, short enough for five rounds of everything in a few minutes. */
#define BENCH_ROUND_NS 200000000LL

#define BENCH_COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum bench_better { BENCH_HIGHER, BENCH_LOWER };

struct bench_row {
	const char *name;
	const char *unit;
	enum bench_better better;
};

/*
 * One contender of one row. setup, run and teardown happen in the contender's own process; state is
 * theirs. setup and run return 0, or what bench_fail() returned. teardown runs only after a
 * successful setup. run measures one round of about BENCH_ROUND_NS and gives the value in the row's
 * unit.
 */
struct bench {
	const char *name;
	const char *who;
	int (*setup)(struct bench *bench);
	int (*run)(struct bench *bench, double *ret_value);
	void (*teardown)(struct bench *bench); /* may be NULL */
	int variant;                           /* for functions that serve several rows */
	void *state;
};

/* The tables of the groups, each ended by an entry without a name. */
extern const struct bench bench_process[];
extern const struct bench bench_loops[];
extern const struct bench bench_pool[];
extern const struct bench bench_manager[];
extern const struct bench bench_obj[];
extern const struct bench bench_lock[];
extern const struct bench bench_values[];
extern const struct bench bench_queue[];
extern const struct bench bench_conn[];
extern const struct bench bench_wait[];
extern const struct bench bench_signal[];

/* --- inside a contender ---------------------------------------------------------------------- */

/* Note why it failed, and return -1. */
int bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a libmp call: with what the library says about it. */
int bench_fail_mp(const char *call, int result);
const char *bench_failure(void);

/* What was measured: "7.0.15". Told to the user once for each peer. */
void bench_set_version(const char *format, ...) __attribute__((format(printf, 1, 2)));

int64_t bench_now(void);

/*
 * Do `op` again and again for one round. bench_time: microseconds for each; bench_rate: how many a
 * second, where one `op` stands for `count` of them.
 */
typedef int bench_op(void *arg);
int bench_time(bench_op *op, void *arg, double *ret_us);
int bench_rate(bench_op *op, void *arg, unsigned count, double *ret_per_second);

/* Read or write all of it, or -1. */
int bench_read(int fd, void *data, size_t size);
int bench_write(int fd, const void *data, size_t size);

/* fork(), with a child that dies with its parent. -1 with a reason. */
pid_t bench_fork(void);
/*
 * Bind a process (0: this one) to the n-th of the CPUs that this one could use at first. What is
 * measured between two processes is where they are: the kernel likes to wake who sleeps on the CPU of
 * who wakes it, and there two that should run side by side would take turns. -1 with a reason.
 */
int bench_place(pid_t pid, int n);
/* This one to the first CPU, the other to the second. */
int bench_side_by_side(pid_t other);
/* Number i of `side` producers and as many consumers: one of each kind to a CPU. */
int bench_place_side(int i, int side);
/* A new directory of the bench's own in /tmp; -1 with a reason. */
#define BENCH_DIRECTORY_SIZE 32
int bench_directory(char directory[BENCH_DIRECTORY_SIZE]);
/* Bytes of memory that are resident in this process now; 0 if that cannot be said. */
long bench_resident(pid_t pid);
/* End a child: SIGKILL unless it has ended, and reap it. */
void bench_reap(pid_t pid);

/* Run `body(fd)` in a forked child, at the other end of a socketpair. The child exits after it. */
pid_t bench_fork_peer(int (*body)(int fd), int *ret_fd);
/* Echo messages of 64 bytes until end of file: the body for many floors. */
#define BENCH_ECHO_SIZE 64
int bench_echo(int fd);

/* Answer the words on two descriptors until end of file. The exit status of the process. */
int bench_serve(const struct bench *bench, int in, int out);
/* main() of a peer program: argv[1] is the row. */
int bench_peer_main(int argc, char **argv, const struct bench *benches);

/* --- clients of a server, as separate processes ------------------------------------------------ */

struct bench_fleet;

/*
 * Start `n` processes; each calls connect(arg, index) for its client and then, in each round, does
 * op(client) without pause. A round gives the sum of their operations a second.
 */
int bench_fleet_start(int n, void *(*connect)(void *arg, int index), bench_op *op, void *arg,
	struct bench_fleet **ret_fleet);
int bench_fleet_round(struct bench_fleet *fleet, double *ret_per_second);
void bench_fleet_stop(struct bench_fleet *fleet);

/* --- pipelined load on a server ----------------------------------------------------------------- */

struct bench_load;

/* How long the first reply in `data` is: 0 when it is not complete, -1 when it is a wrong one. */
typedef int bench_reply(const uint8_t *data, size_t size);

#define BENCH_PIPELINE 16
/* The key of request i of a client's batch: all clients together walk over most of the keys. */
static inline unsigned bench_pipeline_key(int client, unsigned i)
{
	return (unsigned)client * 20 + i;
}

/* Connections are added with their batch of BENCH_PIPELINE requests, and closed with the load. */
int bench_load_new(bench_reply *reply, struct bench_load **ret_load);
int bench_load_add(struct bench_load *load, int fd, const void *batch, size_t size);
int bench_load_round(struct bench_load *load, double *ret_per_second);
void bench_load_free(struct bench_load *load);

/* --- connections that say nothing ----------------------------------------------------------------- */

#define BENCH_IDLE 10000
struct bench_idle;

/* Let this process, and the server that it will start, have the files that so many connections are. */
int bench_files(void);
/* connect gives a descriptor of a connection that the server knows, or fails: BENCH_IDLE of them. */
int bench_idle_open(int (*connect)(void *arg), void *arg, struct bench_idle **ret_idle);
void bench_idle_close(struct bench_idle *idle);
/* Resident memory of the server for each of them, once they have been silent for a while. */
int bench_idle_memory(pid_t server, int (*connect)(void *arg), void *arg, double *ret_bytes);

/* --- keys and values ---------------------------------------------------------------------------- */

/* What all key-value rows do: clients walk through this many keys, with values of this size. */
#define BENCH_KEYS 1000
#define BENCH_VALUE_SIZE 64
#define BENCH_CLIENTS 50
/* Rows about memory have so many entries, with keys of the same length. */
#define BENCH_ENTRIES 1000000
const char *bench_key(unsigned i);
const char *bench_value(void);

#endif
