/* SPDX-License-Identifier: MIT */
/*
 * visits - the daily visits of a web site.
 *
 * A pool of worker processes reads access logs, one task a file. Each worker counts lines and
 * distinct visitors and stores them under the file's name in a dict of managerd, where the parent
 * (and, with --manager, any other program) finds them.
 */
#define _GNU_SOURCE
#include <mp.h>

#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"Usage: visits [OPTION]... [FILE]...\n"
	"Count the lines and the distinct visitors of access logs, in parallel.\n"
	"Without FILE, a small set of sample logs is counted.\n"
	"\n"
	"  --workers N             worker processes (default: one for each CPU)\n"
	"  --start-method METHOD   fork, spawn or forkserver (default: fork)\n"
	"  --manager ADDRESS       store in the managerd at ADDRESS (unix:/PATH)\n"
	"                          instead of a private one\n"
	"  --json                  print one JSON object instead of a table\n"
	"  --help                  show this and exit\n"
	"\n"
	"A visitor is the text before \" - -\", up to the first comma. Blank lines do not count.\n"
	"Exit status: 0 all counted; 1 a file could not be read, or another failure; 2 wrong "
	"usage.\n";

struct settings {
	int workers;
	int start_method;
	const char *manager;
	bool json;
};

struct job {
	const char *path;
	char *name; /* the key in the dict */
	mp_future *future;
	bool failed;
};

/* --- what runs in the workers ---------------------------------------------------------------- */

static mp_dict *visits;

/* Once in each worker: keep the dict that the parent hands over. */
static int open_dict(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc;
	(void)ret;
	visits = mp_dict_ref(mp_obj_dict(&argv[0]));
	return visits ? 0 : mp_error_set(-EINVAL, "no dict was handed over");
}

static int compare_visitors(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Note the visitor of this line in the tree; 1 if it is a new one, -ENOMEM. */
static int add_visitor(void **seen, const char *line, size_t length)
{
	const char *end = memmem(line, length, " - -", 4);
	size_t size = end ? (size_t)(end - line) : length;
	const char *comma = memchr(line, ',', size);
	char *visitor = strndup(line, comma ? (size_t)(comma - line) : size);
	char **node = visitor ? tsearch(visitor, seen, compare_visitors) : NULL;

	if (node && *node == visitor)
		return 1;
	free(visitor);
	return node ? 0 : -ENOMEM;
}

/* Task: argv is the path and the name of one log. */
static int count_visits(int argc, const mp_obj *argv, mp_obj *ret)
{
	const char *path = mp_obj_str(&argv[0]);
	FILE *log = fopen(path, "re");
	void *seen = NULL;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int64_t total = 0;
	int64_t ip = 0;
	int r = 0;

	(void)argc;
	(void)ret;
	if (!log)
		return mp_error_set(-errno, "%s: %s", path, strerror(errno));
	errno = 0;
	while (r >= 0 && (length = getline(&line, &room, log)) >= 0) {
		while (length > 0 && strchr(" \t\r\n", line[length - 1]))
			length--;
		if (length == 0)
			continue;
		total++;
		r = add_visitor(&seen, line, (size_t)length);
		ip += r > 0;
	}
	if (r >= 0 && ferror(log))
		r = -errno;
	free(line);
	fclose(log);
	tdestroy(seen, free);
	if (r < 0)
		return mp_error_set(r, "%s: %s", path, strerror(-r));
	return mp_dict_set(
		visits, argv[1], MP_DICT(mp_str("total"), mp_i64(total), mp_str("ip"), mp_i64(ip)));
}

/* --- what runs in the parent ------------------------------------------------------------------- */

static int complain(const char *what)
{
	fprintf(stderr, "visits: %s: %s\n", what, mp_error_detail());
	return 1;
}

static void show_progress(size_t done, size_t n)
{
	enum { WIDTH = 40 };

	if (!isatty(STDERR_FILENO))
		return;
	size_t filled = done * WIDTH / n;
	fprintf(stderr, "\r[%.*s%*s] %zu/%zu", (int)filled,
		"########################################", (int)(WIDTH - filled), "", done, n);
	if (done == n)
		fprintf(stderr, "\r\033[K");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* A name that is good as a key and for JSON: bytes that are not UTF-8 are written as \xNN. */
static char *readable(const char *name)
{
	json_t *valid = json_string(name);
	char *text = NULL;
	size_t size;
	FILE *out;

	if (valid) {
		json_decref(valid);
		return strdup(name);
	}
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (const unsigned char *c = (const unsigned char *)name; *c; c++)
		fprintf(out, *c < 0x80 ? "%c" : "\\x%02x", *c);
	return fclose(out) == 0 ? text : NULL;
}

static int compare_jobs(const void *a, const void *b)
{
	const struct job *const *x = a;
	const struct job *const *y = b;

	return strcmp(base_name((*x)->path), base_name((*y)->path));
}

/* A log goes by the last part of its path, unless another path in this run ends in the same. */
static int name_jobs(struct job *jobs, size_t n)
{
	struct job **sorted = calloc(n, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &jobs[i];
	qsort(sorted, n, sizeof(*sorted), compare_jobs);
	for (size_t i = 0; i < n; i++) {
		bool alone = (i == 0 || compare_jobs(&sorted[i - 1], &sorted[i]) != 0) &&
			     (i == n - 1 || compare_jobs(&sorted[i], &sorted[i + 1]) != 0);
		const char *path = sorted[i]->path;
		sorted[i]->name = readable(alone ? base_name(path) : path);
		if (!sorted[i]->name) {
			free(sorted);
			return -ENOMEM;
		}
	}
	free(sorted);
	return 0;
}

/* Submit one task a file and wait for all; a file that fails is named. -errno if nothing works. */
static int count_all(mp_pool *pool, struct job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = mp_pool_submit(pool, count_visits,
			MP_ARGS(mp_str(jobs[i].path), mp_str(jobs[i].name)), &jobs[i].future);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < n; i++) {
		show_progress(i, n);
		jobs[i].failed = mp_future_result(jobs[i].future, MP_FOREVER, NULL) < 0;
		if (jobs[i].failed)
			fprintf(stderr, "%svisits: %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "",
				mp_error_detail());
	}
	show_progress(n, n);
	return 0;
}

static int64_t field(const mp_obj *counts, const char *name)
{
	const mp_obj *value = mp_obj_get(counts, mp_str(name));

	return value ? mp_obj_i64(value) : 0;
}

static void print_table(const mp_obj *all, const struct job *jobs, size_t n)
{
	int width = 4;

	for (size_t i = 0; i < n; i++) {
		int length = (int)strlen(jobs[i].name);
		width = length > width ? length : width;
	}
	printf("%-*s %10s %10s\n", width, "FILE", "TOTAL", "IP");
	for (size_t i = 0; i < n; i++) {
		const mp_obj *counts = mp_obj_get(all, mp_str(jobs[i].name));
		if (!jobs[i].failed && counts)
			printf("%-*s %10lld %10lld\n", width, jobs[i].name,
				(long long)field(counts, "total"), (long long)field(counts, "ip"));
	}
}

static int print_json(const mp_obj *all, const struct job *jobs, size_t n)
{
	json_t *root = json_object();

	for (size_t i = 0; i < n; i++) {
		const mp_obj *counts = mp_obj_get(all, mp_str(jobs[i].name));
		if (!jobs[i].failed && counts)
			json_object_set_new(root, jobs[i].name,
				json_pack("{s:I, s:I}", "total", (json_int_t)field(counts, "total"),
					"ip", (json_int_t)field(counts, "ip")));
	}
	int r = json_dumpf(root, stdout, JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(root);
	return r;
}

static int print_results(mp_dict *dict, const struct job *jobs, size_t n, bool json)
{
	mp_obj all;
	int status = 0;

	if (mp_dict_items(dict, &all) < 0)
		return complain("reading the results");
	if (json)
		status = print_json(&all, jobs, n) < 0;
	else
		print_table(&all, jobs, n);
	mp_obj_free(&all);
	for (size_t i = 0; i < n; i++)
		status |= jobs[i].failed;
	return fflush(stdout) == 0 ? status : 1;
}

/* With the manager up and the dict open: workers, tasks, results. */
static int run_pool(const struct settings *settings, mp_dict *dict, struct job *jobs, size_t n)
{
	mp_pool *pool;

	if (mp_pool_new(MP_POOL_OPTIONS(.name = "visits", .workers = settings->workers,
				.start_method = settings->start_method, .initializer = open_dict,
				.initializer_args = MP_ARGS(mp_handle(dict))),
		    &pool) < 0)
		return complain("starting the workers");

	int status = 0;
	if (count_all(pool, jobs, n) < 0 || mp_pool_join(pool, MP_FOREVER) < 0)
		status = complain("counting");
	for (size_t i = 0; i < n; i++)
		mp_future_close(jobs[i].future);
	mp_pool_close(pool);
	return status ? status : print_results(dict, jobs, n, settings->json);
}

static int run(const struct settings *settings, char **paths, size_t n)
{
	struct job *jobs = calloc(n, sizeof(*jobs));
	mp_manager *manager = NULL;
	mp_dict *dict = NULL;
	int status = 1;

	for (size_t i = 0; jobs && i < n; i++)
		jobs[i].path = paths[i];
	if (!jobs || name_jobs(jobs, n) < 0) {
		fprintf(stderr, "visits: out of memory\n");
	} else if ((settings->manager ? mp_manager_connect(settings->manager, NULL, &manager)
				      : mp_manager_start(NULL, &manager)) < 0) {
		complain("managerd");
	} else if (mp_manager_dict(manager, "visits", &dict) < 0) {
		complain("opening the dict");
	} else {
		status = run_pool(settings, dict, jobs, n);
	}
	mp_dict_close(dict);
	mp_manager_close(manager);
	for (size_t i = 0; jobs && i < n; i++)
		free(jobs[i].name);
	free(jobs);
	return status;
}

static int run_samples(const struct settings *settings)
{
	glob_t samples;
	int status = 1;

	if (glob(VISITS_DATA "/*.log", 0, NULL, &samples) != 0)
		fprintf(stderr, "visits: no sample logs in %s\n", VISITS_DATA);
	else
		status = run(settings, samples.gl_pathv, samples.gl_pathc);
	globfree(&samples);
	return status;
}

static int parse(struct settings *settings, int argc, char **argv)
{
	static const struct option options[] = {
		{"workers", required_argument, NULL, 'w'},
		{"start-method", required_argument, NULL, 's'},
		{"manager", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'w':
			errno = 0;
			long workers = strtol(optarg, &end, 10);
			if (errno || *end || end == optarg || workers < 1 || workers > 1000) {
				fprintf(stderr,
					"visits: --workers wants a number from 1 to 1000\n");
				return -EINVAL;
			}
			settings->workers = (int)workers;
			break;
		case 's':
			settings->start_method = mp_start_method_parse(optarg);
			if (settings->start_method < 0 ||
				settings->start_method == MP_START_THREAD) {
				fprintf(stderr, "visits: no start method for a pool: '%s'\n",
					optarg);
				return -EINVAL;
			}
			break;
		case 'm':
			settings->manager = optarg;
			break;
		case 'j':
			settings->json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(fflush(stdout) == 0 ? 0 : 1);
		default:
			return -EINVAL;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct settings settings = {0};

	mp_begin(&argc, &argv);
	if (parse(&settings, argc, argv) < 0) {
		fprintf(stderr, "Try 'visits --help'.\n");
		return 2;
	}
	if (optind == argc)
		return run_samples(&settings);
	return run(&settings, argv + optind, (size_t)(argc - optind));
}
