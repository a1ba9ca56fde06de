/* SPDX-License-Identifier: MIT */
/*
 * contender.h - mpbench's side of the words of bench.h: start a contender in a process group of its
 * own, ask it for rounds with a deadline, and end it with everything that it started.
 */
#ifndef BENCH_CONTENDER_H
#define BENCH_CONTENDER_H

#include "bench/bench.h"

/* A peer that is a program: found as `program` beside mpbench, or a script for `interpreter`. */
struct peer {
	const char *who;
	const char *program;
	const char *interpreter; /* searched in PATH; NULL: none */
	const char *missing;     /* what it means when the program is not there */
	const char *const *rows; /* ended by NULL */
};

extern const struct peer peers[]; /* ended by an entry without who */

struct contender {
	const char *name;
	const char *who;
	const struct bench *bench; /* one of the two */
	const struct peer *peer;
	pid_t pid;
	int to;
	int from;
	char version[128];
	char reason[512]; /* why it failed; "" while it has not */
	double *values;   /* of the rounds so far */
	int n_values;
};

/* Every contender of the row, in the order of reports; the caller frees the array. */
struct contender *contenders_of(const char *row, size_t *ret_n);

/*
 * Start it and wait until it is ready; run one round. 0, or -1 with the reason noted and the process
 * ended. `all` are those that may be running: a new one must not hold their pipes open.
 */
int contender_start(struct contender *c, const struct contender *all, size_t n_all);
int contender_round(struct contender *c, double *ret_value);
void contender_end(struct contender *c);

/*
 * For a signal handler: from now on everything is "interrupted", and ends in an orderly way; with the
 * second call at once.
 */
void contenders_stop(void);
bool contenders_stopped(void);

#endif
