/* SPDX-License-Identifier: MIT */
/*
 * serve/stats.h - what a server has done since it began: counters, for whoever looks.
 *
 * They only grow, and nothing decides by them. There is one thread, so that counting is an addition.
 */
#ifndef SERVE_STATS_H
#define SERVE_STATS_H

#include <stddef.h>
#include <stdint.h>

struct serve_class;
struct serve_method;

/* Why a connection was turned away. */
enum serve_refusal {
	SERVE_REFUSED_DENIED,
	SERVE_REFUSED_FULL, /* of the server's connections */
	SERVE_REFUSED_USER, /* of the user's */
	SERVE_REFUSED_RATE,
	SERVE_REFUSED_DESCRIPTORS,
	SERVE_REFUSED_MEMORY,
	SERVE_N_REFUSALS
};

/* Operations and codes by their numbers in proto/manager.proto; 0 is for what is beyond. */
#define SERVE_STATS_OPERATIONS 64
#define SERVE_STATS_CODES 64
#define SERVE_STATS_METHODS 512 /* a power of two */
/* Turns of the loop that worked for up to 10 us, 100 us, 1 ms, 10 ms, 100 ms, 1 s, and longer. */
#define SERVE_STATS_TURNS 7
#define SERVE_STATS_TURN_FIRST_NS 10000

struct serve_method_count {
	const struct serve_class *class; /* NULL: free */
	const struct serve_method *method;
	uint64_t n;
};

struct serve_stats {
	uint64_t connections; /* that were taken */
	uint64_t refused[SERVE_N_REFUSALS];
	uint64_t stalled; /* connections that were ended for it */
	uint64_t violations;
	uint64_t received; /* bytes */
	uint64_t sent;
	uint64_t operations[SERVE_STATS_OPERATIONS];
	uint64_t codes[SERVE_STATS_CODES];
	uint64_t waited;       /* calls that were parked */
	uint64_t expired;      /* keys that went by themselves */
	uint64_t expired_most; /* of them in one turn */
	uint64_t turns[SERVE_STATS_TURNS];
	uint64_t turn_ns;
	struct serve_method_count methods[SERVE_STATS_METHODS];
};

static inline void serve_count_operation(struct serve_stats *stats, unsigned int number)
{
	stats->operations[number < SERVE_STATS_OPERATIONS ? number : 0]++;
}

static inline void serve_count_code(struct serve_stats *stats, unsigned int code)
{
	stats->codes[code < SERVE_STATS_CODES ? code : 0]++;
}

void serve_count_method(struct serve_stats *stats, const struct serve_class *class,
	const struct serve_method *method);
void serve_count_turn(struct serve_stats *stats, int64_t ns);

#endif
