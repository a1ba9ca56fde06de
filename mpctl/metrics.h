/* SPDX-License-Identifier: MIT */
/*
 * mpctl/metrics.h - the text that Prometheus reads, taken apart: what managerd's stats are.
 *
 * A line is NAME VALUE or NAME{LABEL="TEXT",...} VALUE; the ones that begin with # are for people.
 */
#ifndef MPCTL_METRICS_H
#define MPCTL_METRICS_H

#include <stdbool.h>
#include <stddef.h>

struct metric {
	const char *name; /* without managerd_ before it */
	size_t name_length;
	const char *labels; /* what stands between the braces */
	size_t labels_length;
	const char *value;
	size_t value_length;
};

/* The next one of a text, and behind it. False at the end. */
bool metrics_next(const char **text, struct metric *ret);

/* The sum of all of that name which have this among their labels (NULL: whatever they have). */
double metrics_sum(const char *text, const char *name, const char *label);

/* All whose names match the pattern (NULL: all): a line each, or one JSON object. */
void metrics_print(const char *text, const char *pattern, bool json);

#endif
