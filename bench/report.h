/* SPDX-License-Identifier: MIT */
/* report.h - results as a table for people, or one JSON object a line; and a picture of those. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/bench.h"

#include <stdio.h>

struct result {
	const char *name;
	const char *who;
	const char *unit;
	const char *version; /* of a peer, or "" */
	enum bench_better better;
	double value;  /* median of the rounds */
	double spread; /* (largest - smallest) / median */
};

/* All rows that mpbench knows, in the order of reports; ended by an entry without a name. */
extern const struct bench_row bench_rows[];
const struct bench_row *bench_row_find(const char *name);

void report_machine(FILE *out, int rounds);
void report_row_text(FILE *out, const struct result *results, size_t n);
/* 0, or -1 when it could not be written. */
int report_row_json(FILE *out, const struct result *results, size_t n);

/* Draw the lines of JSON on `in` into an SVG file. 0, or -1 after a message on standard error. */
int chart(FILE *in, const char *path);

#endif
