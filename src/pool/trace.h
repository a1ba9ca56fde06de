/* SPDX-License-Identifier: MIT */
/*
 * pool/trace.h - a timeline of all tasks, for the trace viewers of browsers and Perfetto.
 *
 * With MP_POOL_TRACE=FILE in the environment each pool appends events to that file, in the array form
 * of the Trace Event Format: one event a line, each written by one write(2) to a descriptor in append
 * mode, a comma in front. So the file is whole at any instant, whoever is killed; viewers do not ask
 * for the closing bracket. The worker writes what it ran, the owner submissions, cancellations and the
 * tasks that died with their worker.
 */
#ifndef MP_POOL_TRACE_H
#define MP_POOL_TRACE_H

#include <stdbool.h>
#include <stdint.h>

/* The descriptor, or -1: nobody asked, or the file cannot be written (which is logged). */
int mp__trace_open(const char *pool_name, int n_workers);

struct mp__trace_event {
	const char *phase; /* "X" a span, "i" an instant */
	const char *name;
	uint64_t task;    /* number in its pool */
	int owner;        /* pid */
	uint32_t worker;  /* from 1; 0: the owner */
	int64_t begin_ns; /* CLOCK_MONOTONIC */
	int64_t end_ns;
	const char *outcome;
	int result;
};

void mp__trace_write(int fd, const struct mp__trace_event *event);

#endif
