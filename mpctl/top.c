/* SPDX-License-Identifier: MIT */
/* mpctl top: what managerd does just now, and for whom. */
#include <config.h>

#include "base/error.h"
#include "mpctl/daemon.h"
#include "mpctl/metrics.h"
#include "mpctl/people.h"
#include "mpctl/screen.h"
#include "mpctl/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rows: of operations at most, and of clients where there is no screen that limits them. */
#define OPERATIONS_MAX 8
#define CLIENTS_MAX 20
#define CLIENTS_MIN 3
/* Lines of a page that are no rows. */
#define OTHER_LINES 7

struct sample {
	mp_obj stats;
	mp_obj clients;
	int64_t time_ns;
};

/* One of the table of operations: what was done in the interval. */
struct row {
	char name[64];
	double rate;
	double total;
};

struct client {
	const mp_obj *item;
	double rate;
};

struct page {
	const struct sample *old;
	const struct sample *new;
	double seconds;
	struct row *operations;
	size_t n_operations;
	struct client *clients;
	size_t n_clients;
};

/* --- samples -------------------------------------------------------------------------------------- */

static void sample_free(struct sample *sample)
{
	mp_obj_free(&sample->stats);
	mp_obj_free(&sample->clients);
}

static int sample_take(struct line *line, struct sample *ret)
{
	struct sample sample = {.time_ns = mp__now_ns()};

	int r = daemon_stats(line, &sample.stats);
	if (r == 0)
		r = daemon_clients(line, &sample.clients);
	if (r < 0) {
		sample_free(&sample);
		return r;
	}
	*ret = sample;
	return 0;
}

static double now_of(const struct page *page, const char *name)
{
	return metrics_sum(page->new->stats.as.str, name, NULL);
}

static double rate_of(const struct page *page, const char *name)
{
	return (now_of(page, name) - metrics_sum(page->old->stats.as.str, name, NULL)) /
	       page->seconds;
}

/* --- operations ------------------------------------------------------------------------------------- */

/* The text of a label: class="dict" */
static void label_of(const struct metric *m, const char *label, char *ret, size_t size)
{
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "%s=\"", label);
	const char *at = memmem(m->labels, m->labels_length, wanted, strlen(wanted));
	*ret = '\0';
	if (!at)
		return;
	at += strlen(wanted);
	snprintf(ret, size, "%.*s", (int)strcspn(at, "\""), at);
}

static void add_operation(struct page *page, const struct metric *m, bool call)
{
	struct row *row = &page->operations[page->n_operations];
	char labels[128];
	char class_name[32];
	char name[32];

	label_of(m, call ? "method" : "operation", name, sizeof(name));
	if (call) {
		label_of(m, "class", class_name, sizeof(class_name));
		snprintf(row->name, sizeof(row->name), "%s.%s", class_name, name);
	} else {
		snprintf(row->name, sizeof(row->name), "%s", name);
	}
	snprintf(labels, sizeof(labels), "%.*s", (int)m->labels_length, m->labels);
	row->total = strtod(m->value, NULL);
	row->rate = (row->total - metrics_sum(page->old->stats.as.str,
					  call ? "calls_total" : "requests_total", labels)) /
		    page->seconds;
	page->n_operations++;
}

static bool is_of(const struct metric *m, const char *name)
{
	return m->labels && m->name_length == strlen(name) &&
	       memcmp(m->name, name, m->name_length) == 0;
}

static int by_rate(const void *left, const void *right)
{
	const struct row *a = left;
	const struct row *b = right;

	if (a->rate != b->rate)
		return a->rate < b->rate ? 1 : -1;
	return a->total != b->total ? (a->total < b->total ? 1 : -1) : strcmp(a->name, b->name);
}

/* Calls are told by their methods. False without memory. */
static bool find_operations(struct page *page)
{
	const char *text = page->new->stats.as.str;
	struct metric m;
	size_t n = 0;

	for (const char *at = text; metrics_next(&at, &m);)
		n++;
	page->operations = calloc(n + 1, sizeof(*page->operations));
	if (!page->operations)
		return false;
	for (const char *at = text; metrics_next(&at, &m);) {
		if (is_of(&m, "calls_total"))
			add_operation(page, &m, true);
		else if (is_of(&m, "requests_total") &&
			 !memmem(m.labels, m.labels_length, "\"call\"", 6))
			add_operation(page, &m, false);
	}
	qsort(page->operations, page->n_operations, sizeof(*page->operations), by_rate);
	return true;
}

/* --- clients ------------------------------------------------------------------------------------ */

/* A connection of the sample before, known again by its process and its age. */
struct known {
	int64_t pid;
	double seconds;
	double requests;
};

static int by_pid(const void *left, const void *right)
{
	const struct known *a = left;
	const struct known *b = right;

	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static struct known *sort_known(const mp_obj *list)
{
	struct known *known = calloc(list->count + 1, sizeof(*known));

	for (size_t i = 0; known && i < list->count; i++) {
		const mp_obj *item = &list->as.items[i];
		known[i] = (struct known){item_i64(item, "pid"), item_f64(item, "seconds"),
			(double)item_i64(item, "requests")};
	}
	if (known)
		qsort(known, list->count, sizeof(*known), by_pid);
	return known;
}

/* How many requests this one had made before: 0 if it is new. */
static double requests_before(
	const struct page *page, const struct known *known, const mp_obj *item)
{
	size_t n = page->old->clients.count;
	struct known wanted = {.pid = item_i64(item, "pid")};
	double began = item_f64(item, "seconds") - page->seconds;
	const struct known *at = bsearch(&wanted, known, n, sizeof(*known), by_pid);

	while (at && at > known && at[-1].pid == wanted.pid)
		at--;
	for (; at && at < known + n && at->pid == wanted.pid; at++) {
		if (at->seconds - began < 0.5 && at->seconds - began > -0.5)
			return at->requests;
	}
	return 0;
}

static int by_client_rate(const void *left, const void *right)
{
	const struct client *a = left;
	const struct client *b = right;

	if (a->rate != b->rate)
		return a->rate < b->rate ? 1 : -1;
	int64_t pids = item_i64(a->item, "pid") - item_i64(b->item, "pid");
	return pids < 0 ? -1 : pids > 0;
}

static bool find_clients(struct page *page)
{
	const mp_obj *list = &page->new->clients;
	struct known *known = sort_known(&page->old->clients);

	page->clients = calloc(list->count + 1, sizeof(*page->clients));
	for (size_t i = 0; known && page->clients && i < list->count; i++) {
		const mp_obj *item = &list->as.items[i];
		double requests = (double)item_i64(item, "requests");
		requests -= requests_before(page, known, item);
		page->clients[page->n_clients++] =
			(struct client){.item = item, .rate = requests / page->seconds};
	}
	free(known);
	if (page->clients && page->n_clients > 0)
		qsort(page->clients, page->n_clients, sizeof(*page->clients), by_client_rate);
	return page->clients && page->n_clients == list->count;
}

/* --- a page ------------------------------------------------------------------------------------- */

static const char *of_bytes(double bytes, char text[32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;

	for (; bytes >= 1024 && unit < 4; unit++)
		bytes /= 1024;
	snprintf(text, 32, bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return text;
}

static void write_head(FILE *to, const struct page *page)
{
	double turns = rate_of(page, "loop_turn_seconds_count");
	char a[32];
	char b[32];
	char c[32];

	fprintf(to, "%.0f requests/s, %s/s in, %s/s out, CPU %.1f %%, memory %s",
		rate_of(page, "requests_total"), of_bytes(rate_of(page, "received_bytes_total"), a),
		of_bytes(rate_of(page, "sent_bytes_total"), b),
		100 * rate_of(page, "process_cpu_seconds_total"),
		of_bytes(now_of(page, "process_resident_memory_bytes"), c));
	if (turns > 0)
		fprintf(to, ", %.0f us a turn",
			1e6 * rate_of(page, "loop_turn_seconds_sum") / turns);
	fprintf(to,
		"\n%.0f connections of %.0f, %.0f objects of %.0f, %.0f calls wait, %.1f "
		"errors/s\n",
		now_of(page, "connections"), now_of(page, "connections_limit"),
		now_of(page, "objects"), now_of(page, "objects_limit"), now_of(page, "waiters"),
		rate_of(page, "errors_total"));
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void write_client(FILE *to, const struct client *client)
{
	char program[PEOPLE_NAME_SIZE];
	char user[PEOPLE_NAME_SIZE];

	people_program((pid_t)item_i64(client->item, "pid"), program);
	people_user((uid_t)item_i64(client->item, "uid"), user);
	fprintf(to,
		"%8" PRId64 " %-16s %-12s %10.0f %8" PRId64 " %6" PRId64 " %8" PRId64 " %8" PRId64
		"\n",
		item_i64(client->item, "pid"), program, user, client->rate,
		item_i64(client->item, "objects"), item_i64(client->item, "held"),
		item_i64(client->item, "waiting"), item_i64(client->item, "unread"));
}

/* In so many lines, if there is a screen; else 0. */
static void write_page(FILE *to, const struct page *page, size_t lines)
{
	size_t operations = least(page->n_operations, OPERATIONS_MAX);
	size_t clients = CLIENTS_MAX;

	if (lines > 0) {
		clients = lines > OTHER_LINES + operations ? lines - OTHER_LINES - operations
							   : CLIENTS_MIN;
	}
	write_head(to, page);
	fprintf(to, "\n%-32s %10s %14s\n", "OPERATION", "PER SECOND", "IN ALL");
	for (size_t i = 0; i < operations; i++)
		fprintf(to, "%-32s %10.0f %14.0f\n", page->operations[i].name,
			page->operations[i].rate, page->operations[i].total);
	fprintf(to, "\n%8s %-16s %-12s %10s %8s %6s %8s %8s\n", "PID", "PROGRAM", "USER",
		"PER SECOND", "OBJECTS", "HELD", "WAITING", "UNREAD");
	for (size_t i = 0; i < least(page->n_clients, clients); i++)
		write_client(to, &page->clients[i]);
	if (page->n_clients > clients)
		fprintf(to, "%8s %zu more\n", "", page->n_clients - clients);
}

static void write_json(FILE *to, const struct page *page)
{
	static const char *const numbers[] = {
		"connections", "objects", "waiters", "process_resident_memory_bytes"};
	static const char *const rates[] = {"requests_total", "received_bytes_total",
		"sent_bytes_total", "errors_total", "process_cpu_seconds_total"};

	fprintf(to, "{\"seconds\": %.3f", page->seconds);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		fprintf(to, ", \"%s\": %.0f", numbers[i], now_of(page, numbers[i]));
	fputs(", \"per_second\": {", to);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		fprintf(to, "%s\"%s\": %.3f", i ? ", " : "", rates[i], rate_of(page, rates[i]));
	fputs("}, \"operations\": [", to);
	for (size_t i = 0; i < page->n_operations; i++)
		fprintf(to, "%s{\"name\": \"%s\", \"per_second\": %.3f, \"total\": %.0f}",
			i ? ", " : "", page->operations[i].name, page->operations[i].rate,
			page->operations[i].total);
	fputs("], \"clients\": [", to);
	for (size_t i = 0; i < page->n_clients; i++) {
		fprintf(to, "%s{\"per_second\": %.3f, \"client\": ", i ? ", " : "",
			page->clients[i].rate);
		value_write_json(to, page->clients[i].item);
		fputs("}", to);
	}
	fputs("]}\n", to);
}

/* --- the command ---------------------------------------------------------------------------------- */

static void show(const struct line *line, const struct page *page, bool screen)
{
	char *text = NULL;
	size_t size;
	FILE *to = screen ? open_memstream(&text, &size) : stdout;

	if (!to)
		return;
	if (line->json)
		write_json(to, page);
	else
		write_page(to, page, screen ? screen_lines() : 0);
	if (!screen) {
		fputs(line->json ? "" : "\n", stdout);
		fflush(stdout);
	} else if (fclose(to) == 0) {
		screen_draw(text);
	}
	free(text);
}

static int show_interval(
	struct line *line, const struct sample *old, const struct sample *new, bool screen)
{
	struct page page = {.old = old, .new = new};

	page.seconds = (double)(new->time_ns - old->time_ns) / 1e9;
	bool found = find_operations(&page) && find_clients(&page);
	if (found)
		show(line, &page, screen);
	free(page.operations);
	free(page.clients);
	return found ? 0 : mp_error_set(-ENOMEM, "out of memory");
}

/* Until somebody has seen enough: 0; or an error. */
static int run(struct line *line, bool screen)
{
	int64_t left = line->count ? line->count : INT64_MAX;
	struct sample old;
	struct sample new;

	int r = sample_take(line, &old);
	if (r < 0)
		return r;
	while (r == 0 && left > 0 && screen_wait(line->interval_ms) && !mpctl_reader_gone()) {
		r = sample_take(line, &new);
		if (r < 0)
			break;
		r = show_interval(line, &old, &new, screen);
		sample_free(&old);
		old = new;
		left--;
	}
	sample_free(&old);
	return r;
}

static int serve_top(struct line *line)
{
	/* JSON is for programs, whatever it is printed on. */
	bool screen = !line->json && screen_begin();
	int r = run(line, screen);
	if (screen)
		screen_end();
	return r < 0 ? line_fail(line, r, NULL) : MPCTL_OK;
}

const struct command command_top = {
	.name = "top",
	.synopsis = "top [OPTION...]",
	.summary = "show what managerd does just now, and for whom",
	.help = "One page, drawn again each second, until q is pressed; where standard output is "
		"no terminal,\n"
		"one page after the other. For managerd's own user and root.\n",
	.serve = serve_top,
	.options = OPTION_COUNT | OPTION_INTERVAL,
};
