/* SPDX-License-Identifier: MIT */
/* The text of managerd/metrics.h; names and labels as managerd(8) lists them. */
#include <config.h>

#include "managerd/metrics.h"

#include "proto/manager.pb-c.h"
#include "serve/class.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP managerd_%s %s\n# TYPE managerd_%s %s\n", name, help, name, type);
}

static void number(FILE *to, const char *name, const char *type, const char *help, uint64_t value)
{
	head(to, name, type, help);
	fprintf(to, "managerd_%s %" PRIu64 "\n", name, value);
}

/* NAME_IN_CAPITALS of the protocol, as a label. */
static void lower(const char *name, char *ret, size_t size)
{
	size_t i = 0;

	for (; name[i] != '\0' && i < size - 1; i++)
		ret[i] = (char)tolower((unsigned char)name[i]);
	ret[i] = '\0';
}

static void write_operations(FILE *to, const struct serve_stats *stats)
{
	head(to, "requests_total", "counter", "Requests by operation.");
	for (unsigned int i = 0; i < SERVE_STATS_OPERATIONS; i++) {
		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field(&mp__request__descriptor, i);
		if (stats->operations[i] > 0)
			fprintf(to, "managerd_requests_total{operation=\"%s\"} %" PRIu64 "\n",
				field ? field->name : "unknown", stats->operations[i]);
	}
	head(to, "calls_total", "counter", "Calls by class and method.");
	for (size_t i = 0; i < SERVE_STATS_METHODS; i++) {
		const struct serve_method_count *count = &stats->methods[i];
		if (count->class)
			fprintf(to,
				"managerd_calls_total{class=\"%s\",method=\"%s\"} %" PRIu64 "\n",
				count->class->name, count->method->name, count->n);
	}
	head(to, "errors_total", "counter", "Requests that were answered with an error, by code.");
	for (unsigned int i = 0; i < SERVE_STATS_CODES; i++) {
		const ProtobufCEnumValue *code =
			protobuf_c_enum_descriptor_get_value(&mp__code__descriptor, (int)i);
		char name[64];
		if (stats->codes[i] == 0)
			continue;
		lower(code ? code->name : "unknown", name, sizeof(name));
		fprintf(to, "managerd_errors_total{code=\"%s\"} %" PRIu64 "\n", name,
			stats->codes[i]);
	}
}

static void write_connections(FILE *to, const struct serve_context *context)
{
	static const char *const reasons[] = {[SERVE_REFUSED_DENIED] = "denied",
		[SERVE_REFUSED_FULL] = "full",
		[SERVE_REFUSED_USER] = "user",
		[SERVE_REFUSED_RATE] = "rate",
		[SERVE_REFUSED_DESCRIPTORS] = "descriptors",
		[SERVE_REFUSED_MEMORY] = "memory"};
	const struct serve_stats *stats = &context->stats;

	number(to, "connections", "gauge", "Connections now.", context->n_sessions);
	number(to, "connections_limit", "gauge", "Connections that may be.",
		context->limits.max_connections);
	number(to, "connections_total", "counter", "Connections taken.", stats->connections);
	head(to, "connections_refused_total", "counter", "Connections turned away, by reason.");
	for (int i = 0; i < SERVE_N_REFUSALS; i++)
		fprintf(to, "managerd_connections_refused_total{reason=\"%s\"} %" PRIu64 "\n",
			reasons[i], stats->refused[i]);
	number(to, "connections_stalled_total", "counter",
		"Connections ended because they stopped half-way.", stats->stalled);
	number(to, "violations_total", "counter",
		"Connections ended because they broke the protocol.", stats->violations);
	number(to, "received_bytes_total", "counter", "Bytes received.", stats->received);
	number(to, "sent_bytes_total", "counter", "Bytes sent.", stats->sent);
}

static void write_turns(FILE *to, const struct serve_stats *stats)
{
	static const char *const limits[] = {
		"1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "+Inf"};
	uint64_t n = 0;

	_Static_assert(sizeof(limits) / sizeof(limits[0]) == SERVE_STATS_TURNS, "a limit for each");
	head(to, "loop_turn_seconds", "histogram", "Work of one turn of the loop.");
	for (int i = 0; i < SERVE_STATS_TURNS; i++) {
		n += stats->turns[i];
		fprintf(to, "managerd_loop_turn_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", limits[i],
			n);
	}
	fprintf(to,
		"managerd_loop_turn_seconds_sum %.9f\nmanagerd_loop_turn_seconds_count %" PRIu64
		"\n",
		(double)stats->turn_ns / 1e9, n);
}

static void write_users(FILE *to, const struct serve_accounts *accounts)
{
	static const char *const assets[] = {[SERVE_CONNECTIONS] = "connections",
		[SERVE_OBJECTS] = "objects",
		[SERVE_BYTES] = "bytes",
		[SERVE_WAITERS] = "waiters",
		[SERVE_OUTPUT] = "output"};
	const struct serve_account *account = NULL;
	size_t bucket = 0;

	head(to, "user", "gauge", "What a user has, by uid.");
	while ((account = serve_accounts_next(accounts, &bucket, account)) != NULL) {
		for (int i = 0; i < SERVE_N_ASSETS; i++)
			fprintf(to, "managerd_user{uid=\"%u\",asset=\"%s\"} %" PRIu64 "\n",
				(unsigned)account->uid, assets[i], account->has[i]);
	}
	head(to, "user_refused_total", "counter", "What a user was refused by his limits, by uid.");
	while ((account = serve_accounts_next(accounts, &bucket, account)) != NULL) {
		for (int i = 0; i < SERVE_N_ASSETS; i++) {
			if (account->refused[i] > 0)
				fprintf(to,
					"managerd_user_refused_total{uid=\"%u\",asset=\"%s\"} "
					"%" PRIu64 "\n",
					(unsigned)account->uid, assets[i], account->refused[i]);
		}
		if (account->refused_rate > 0)
			fprintf(to,
				"managerd_user_refused_total{uid=\"%u\",asset=\"rate\"} %" PRIu64
				"\n",
				(unsigned)account->uid, account->refused_rate);
	}
}

static void write_process(FILE *to)
{
	struct rusage usage;
	unsigned long pages = 0;

	getrusage(RUSAGE_SELF, &usage);
	fprintf(to,
		"# HELP process_cpu_seconds_total CPU time.\n"
		"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.6f\n",
		(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	FILE *statm = fopen("/proc/self/statm", "re");
	if (!statm)
		return;
	if (fscanf(statm, "%*u %lu", &pages) == 1)
		fprintf(to,
			"# HELP process_resident_memory_bytes Memory.\n"
			"# TYPE process_resident_memory_bytes gauge\n"
			"process_resident_memory_bytes %lu\n",
			pages * (unsigned long)sysconf(_SC_PAGESIZE));
	fclose(statm);
}

static void write_all(FILE *to, const struct serve_context *context)
{
	head(to, "info", "gauge", "The version.");
	fprintf(to, "managerd_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	write_connections(to, context);
	write_operations(to, &context->stats);
	number(to, "objects", "gauge", "Objects now.", serve_registry_count(&context->registry));
	number(to, "objects_limit", "gauge", "Objects that may be.", context->limits.max_objects);
	number(to, "waiters", "gauge", "Calls that wait.", context->n_waiters);
	number(to, "waited_total", "counter", "Calls that had to wait.", context->stats.waited);
	number(to, "expired_keys_total", "counter", "Keys of dicts that went by themselves.",
		context->stats.expired);
	number(to, "expired_keys_turn_max", "gauge", "Most of them in one turn of the loop.",
		context->stats.expired_most);
	write_turns(to, &context->stats);
	write_users(to, &context->accounts);
	write_process(to);
}

char *md_metrics_text(const struct serve_context *context, size_t *ret_size)
{
	char *text = NULL;
	FILE *stream = open_memstream(&text, ret_size);

	if (!stream)
		return NULL;
	write_all(stream, context);
	bool failed = ferror(stream);
	if (fclose(stream) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}
