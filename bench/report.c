/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "bench/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void cpu_model(char *model, size_t size)
{
	char line[512];
	FILE *file = fopen("/proc/cpuinfo", "re");

	snprintf(model, size, "unknown CPU");
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(model, size, "%s", colon + 2);
			break;
		}
	}
	if (file)
		fclose(file);
}

void report_machine(FILE *out, int rounds)
{
	char model[256];
	struct utsname system;
	double load = 0;

	cpu_model(model, sizeof(model));
	uname(&system);
	if (getloadavg(&load, 1) < 1)
		load = 0;
	fprintf(out, "%s, %ld CPUs online, %s %s, load average %.2f\n", model,
		sysconf(_SC_NPROCESSORS_ONLN), system.sysname, system.release, load);
	fprintf(out, "libmp %s; medians of %d interleaved rounds; +-: half of the range;\n",
		PACKAGE_VERSION, rounds);
	fprintf(out, "ratio: how many times better libmp is (below 1: worse)\n\n");
}

static const struct result *find_libmp(const struct result *results, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(results[i].who, "libmp") == 0)
			return &results[i];
	}
	return NULL;
}

/* 1234567 as "1 234 567", and small values with digits that mean something. */
static void format_value(char *text, size_t size, double value)
{
	char digits[64];
	size_t n = 0;

	if (value < 100) {
		snprintf(text, size, "%.3g", value);
		return;
	}
	int length = snprintf(digits, sizeof(digits), "%.0f", value);
	for (int i = 0; i < length && n + 2 < size; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			text[n++] = ' ';
		text[n++] = digits[i];
	}
	text[n] = '\0';
}

void report_row_text(FILE *out, const struct result *results, size_t n)
{
	const struct result *libmp = find_libmp(results, n);

	if (n == 0)
		return;
	fprintf(out, "%s (%s, %s is better)\n", results->name, results->unit,
		results->better == BENCH_LOWER ? "lower" : "higher");
	for (size_t i = 0; i < n; i++) {
		const struct result *r = &results[i];
		char value[64];

		format_value(value, sizeof(value), r->value);
		fprintf(out, "  %-10s %14s  +-%3.0f%%", r->who, value, r->spread * 50);
		if (libmp && r != libmp)
			fprintf(out, "  %8.2f x",
				r->better == BENCH_LOWER ? r->value / libmp->value
							 : libmp->value / r->value);
		else if (r->version[0])
			fprintf(out, "  %10s", "");
		fprintf(out, r->version[0] ? "  (%s)\n" : "\n", r->version);
	}
	fputc('\n', out);
	fflush(out);
}

int report_row_json(FILE *out, const struct result *results, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_t *line = json_pack("{s:s, s:s, s:f, s:s}", "name", results[i].name, "who",
			results[i].who, "value", results[i].value, "unit", results[i].unit);
		int r = line ? json_dumpf(line, out, JSON_COMPACT | JSON_REAL_PRECISION(6)) : -1;

		json_decref(line);
		if (r < 0 || fputc('\n', out) == EOF)
			return -1;
	}
	return fflush(out) == 0 ? 0 : -1;
}
