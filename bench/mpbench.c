/* SPDX-License-Identifier: MIT */
/*
 * mpbench - measure libmp beside the raw floor and its peers. See bench/README.md for what each row
 * does, and bench.h for how it is done.
 */
#include <config.h>

#include "bench/contender.h"
#include "bench/report.h"

#include <errno.h>
#include <getopt.h>
#include <mp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct bench_row bench_rows[] = {
	{"process_fork", "us", BENCH_LOWER},
	{"process_spawn", "us", BENCH_LOWER},
	{"process_forkserver", "us", BENCH_LOWER},
	{"process_fork_1GiB", "us", BENCH_LOWER},
	{"process_spawn_16MiB", "us", BENCH_LOWER},
	{"process_spawn_1GiB", "us", BENCH_LOWER},
	{"process_forkserver_1GiB", "us", BENCH_LOWER},
	{"process_fork_100", "us", BENCH_LOWER},
	{"process_fork_1000", "us", BENCH_LOWER},
	{"process_forkserver_100", "us", BENCH_LOWER},
	{"process_forkserver_1000", "us", BENCH_LOWER},
	{"pool_map_chunk1", "task/s", BENCH_HIGHER},
	{"pool_submit", "task/s", BENCH_HIGHER},
	{"pool_apply_rtt", "us", BENCH_LOWER},
	{"pool_apply_asleep", "us", BENCH_LOWER},
	{"pool_queued_task", "byte", BENCH_LOWER},
	{"parallel_for", "iteration/s", BENCH_HIGHER},
	{"manager_start", "us", BENCH_LOWER},
	{"manager_set_1", "op/s", BENCH_HIGHER},
	{"manager_get_1", "op/s", BENCH_HIGHER},
	{"manager_get_crowd", "op/s", BENCH_HIGHER},
	{"manager_set_50", "op/s", BENCH_HIGHER},
	{"manager_get_50", "op/s", BENCH_HIGHER},
	{"manager_get_50_p16", "op/s", BENCH_HIGHER},
	{"manager_get_50_p16_idle", "op/s", BENCH_HIGHER},
	{"manager_idle", "byte", BENCH_LOWER},
	{"manager_entry", "byte", BENCH_LOWER},
	{"obj_roundtrip", "op/s", BENCH_HIGHER},
	{"conn_rtt_64B", "us", BENCH_LOWER},
	{"wait_1000", "us", BENCH_LOWER},
	{"wait_1000_once", "us", BENCH_LOWER},
	{"semaphore", "op/s", BENCH_HIGHER},
	{"event_handover", "us", BENCH_LOWER},
	{"event_handover_spin", "us", BENCH_LOWER},
	{"condition_handover", "us", BENCH_LOWER},
	{"condition_handover_spin", "us", BENCH_LOWER},
	{"lock_uncontended", "ns", BENCH_LOWER},
	{"lock_contended_2p", "ns", BENCH_LOWER},
	{"lock_handover", "us", BENCH_LOWER},
	{"rlock_uncontended", "ns", BENCH_LOWER},
	{"rwlock_read_1", "ns", BENCH_LOWER},
	{"rwlock_read_2", "ns", BENCH_LOWER},
	{"value_add", "ns", BENCH_LOWER},
	{"value_add_contended", "ns", BENCH_LOWER},
	{"heap_alloc_free", "ns", BENCH_LOWER},
	{"pipe_rtt_64B", "us", BENCH_LOWER},
	{"pipe_rtt_64B_sleep", "us", BENCH_LOWER},
	{"queue_64B_1p1c", "msg/s", BENCH_HIGHER},
	{"queue_64B_2p2c", "msg/s", BENCH_HIGHER},
	{"queue_64B_batch", "msg/s", BENCH_HIGHER},
	{"queue_1MiB", "byte/s", BENCH_HIGHER},
	{"queue_1MiB_peek", "byte/s", BENCH_HIGHER},
	{NULL, NULL, BENCH_HIGHER},
};

struct options {
	bool json;
	bool list;
	int rounds;
	const char *svg;
};

static bool progress; /* standard error is a terminal */

int bench_fail_mp(const char *call, int result)
{
	return bench_fail("%s: %s (%s)", call, mp_strerror(result), mp_error_detail());
}

const struct bench_row *bench_row_find(const char *name)
{
	for (const struct bench_row *row = bench_rows; row->name; row++) {
		if (strcmp(row->name, name) == 0)
			return row;
	}
	return NULL;
}

static void usage(FILE *out)
{
	fputs("usage: mpbench [--json] [--rounds N] [NAME...]\n"
	      "       mpbench --list\n"
	      "       mpbench --svg FILE <RESULTS\n"
	      "\n"
	      "Measure libmp, and interleaved with it the raw floor and every peer found here.\n"
	      "\n"
	      "  --json      one JSON object a line instead of a table\n"
	      "  --list      what can be measured: name, unit, and who\n"
	      "  --rounds N  values are medians of N rounds, 1 to 1000 (5)\n"
	      "  --svg FILE  draw what --json wrote\n"
	      "  --help      this text\n"
	      "\n"
	      "Exit status: 0, 1 when libmp itself failed, 2 on wrong usage.\n",
		out);
}

static void list(FILE *out)
{
	for (const struct bench_row *row = bench_rows; row->name; row++) {
		size_t n;
		struct contender *c = contenders_of(row->name, &n);

		fprintf(out, "%-20s %-7s", row->name, row->unit);
		for (size_t i = 0; i < n; i++)
			fprintf(out, " %s", c[i].who);
		fputc('\n', out);
		free(c);
	}
}

static void show_progress(const struct contender *c, int round, int rounds)
{
	if (!progress)
		return;
	if (!c)
		fprintf(stderr, "\r\033[K");
	else if (round < 0)
		fprintf(stderr, "\r\033[K%s: starting %s", c->name, c->who);
	else
		fprintf(stderr, "\r\033[K%s: round %d of %d, %s", c->name, round, rounds, c->who);
}

/* Peers are named once for each reason: most reasons hold for all rows of a peer. */
static void complain(const struct contender *c)
{
	static char said[64][128];
	static size_t n_said;
	char key[128];

	snprintf(key, sizeof(key), "%s %s", c->who, c->reason);
	for (size_t i = 0; i < n_said; i++) {
		if (strcmp(said[i], key) == 0)
			return;
	}
	if (n_said < BENCH_COUNT(said))
		strcpy(said[n_said++], key);
	show_progress(NULL, 0, 0);
	fprintf(stderr, "mpbench: %s: skipping %s: %s\n", c->name, c->who, c->reason);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct result summarise(const struct bench_row *row, struct contender *c)
{
	int n = c->n_values;

	qsort(c->values, (size_t)n, sizeof(double), compare);
	double median = n % 2 ? c->values[n / 2] : (c->values[n / 2 - 1] + c->values[n / 2]) / 2;
	return (struct result){
		.name = row->name,
		.who = c->who,
		.unit = row->unit,
		.version = c->version,
		.better = row->better,
		.value = median,
		.spread = (c->values[n - 1] - c->values[0]) / median,
	};
}

/*
 * One round more than asked for: the first one warms caches and pools up, and does not count. Each
 * round begins with another contender, so that none always follows the same one.
 */
static void measure(struct contender *c, size_t n, int rounds)
{
	for (size_t i = 0; i < n; i++) {
		show_progress(&c[i], -1, rounds);
		contender_start(&c[i], c, n);
	}
	for (int round = 0; round <= rounds; round++) {
		for (size_t k = 0; k < n; k++) {
			struct contender *next = &c[(k + (size_t)round) % n];
			double value;

			if (next->pid <= 0)
				continue;
			show_progress(next, round, rounds);
			if (contender_round(next, &value) == 0 && round > 0)
				next->values[next->n_values++] = value;
		}
	}
	for (size_t i = 0; i < n; i++)
		contender_end(&c[i]);
	show_progress(NULL, 0, 0);
}

/* 0, or -1 when libmp is among the contenders and has no value, or the report cannot be written. */
static int run_row(const struct bench_row *row, const struct options *options)
{
	size_t n;
	struct contender *c = contenders_of(row->name, &n);
	struct result *results = calloc(n + 1, sizeof(*results));
	double *values = calloc(n + 1, sizeof(double) * (size_t)options->rounds);
	size_t n_results = 0;
	int r = 0;

	if (!results || !values)
		abort();
	for (size_t i = 0; i < n; i++)
		c[i].values = values + i * (size_t)options->rounds;
	measure(c, n, options->rounds);
	for (size_t i = 0; i < n && !contenders_stopped(); i++) {
		if (c[i].reason[0]) {
			complain(&c[i]);
			if (strcmp(c[i].who, "libmp") == 0)
				r = -1;
		} else {
			results[n_results++] = summarise(row, &c[i]);
		}
	}
	if (!options->json) {
		report_row_text(stdout, results, n_results);
	} else if (report_row_json(stdout, results, n_results) < 0) {
		fprintf(stderr, "mpbench: cannot write results: %s\n", strerror(errno));
		r = -1;
	}
	free(values);
	free(results);
	free(c);
	return r;
}

static void on_signal(int signal_number)
{
	(void)signal_number;
	contenders_stop();
}

static int parse(int argc, char **argv, struct options *o)
{
	enum { JSON = 256, LIST, ROUNDS, SVG, HELP };
	static const struct option known[] = {{"json", no_argument, NULL, JSON},
		{"list", no_argument, NULL, LIST}, {"rounds", required_argument, NULL, ROUNDS},
		{"svg", required_argument, NULL, SVG}, {"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0}};
	char *end;
	long rounds;

	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (c) {
		case JSON:
			o->json = true;
			break;
		case LIST:
			o->list = true;
			break;
		case ROUNDS:
			rounds = strtol(optarg, &end, 10);
			if (*end || end == optarg || rounds < 1 || rounds > 1000) {
				fprintf(stderr, "mpbench: --rounds %s: not 1 to 1000\n", optarg);
				return 2;
			}
			o->rounds = (int)rounds;
			break;
		case SVG:
			o->svg = optarg;
			break;
		case HELP:
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			return 2;
		}
	}
	for (int i = optind; i < argc; i++) {
		if (!bench_row_find(argv[i])) {
			fprintf(stderr, "mpbench: nothing is called %s; there are:\n", argv[i]);
			list(stderr);
			return 2;
		}
	}
	return 0;
}

static bool chosen(const char *name, char **names)
{
	for (char **n = names; *n; n++) {
		if (strcmp(*n, name) == 0)
			return true;
	}
	return !*names;
}

int main(int argc, char **argv)
{
	struct options options = {.rounds = 5};
	int status;

	if (argc == 2 && strcmp(argv[1], "--nothing") == 0)
		return 0; /* the program that floors start: see bench_process.c */
	mp_begin(&argc, &argv);
	status = parse(argc, argv, &options);
	if (status != 0)
		return status;
	if (options.list) {
		list(stdout);
		return 0;
	}
	if (options.svg)
		return chart(stdin, options.svg) == 0 ? 0 : 1;

	progress = isatty(STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (!options.json)
		report_machine(stdout, options.rounds);
	fflush(stdout);
	for (const struct bench_row *row = bench_rows; row->name; row++) {
		if (contenders_stopped())
			break;
		if (chosen(row->name, argv + optind) && run_row(row, &options) < 0)
			status = 1;
	}
	return contenders_stopped() ? 130 : status;
}
