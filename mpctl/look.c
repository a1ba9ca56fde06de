/* SPDX-License-Identifier: MIT */
/* mpctl ping, ls, clients, stats, shutdown: how a managerd is, and what is in it. */
#include <config.h>

#include "mpctl/daemon.h"
#include "mpctl/metrics.h"
#include "mpctl/people.h"
#include "mpctl/value.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <mp/error.h>
#include <stdlib.h>
#include <string.h>

/* --- ping --------------------------------------------------------------------------------------- */

static int serve_ping(struct line *line)
{
	for (int64_t i = 0; i < (line->count ? line->count : 1); i++) {
		int64_t begin_ns = mp__now_ns();
		int r = mp_manager_ping(line->manager);
		if (r < 0)
			return line_fail(line, r, NULL);
		double us = (double)(mp__now_ns() - begin_ns) / 1e3;
		if (line->json)
			printf("{\"microseconds\": %.1f}\n", us);
		else
			printf("managerd answers in %.1f us\n", us);
	}
	return MPCTL_OK;
}

/* --- ls ----------------------------------------------------------------------------------------- */

struct listing {
	const char *pattern; /* or NULL */
	size_t n;
};

static void print_object(const mp_obj *item, const char *name)
{
	char owner[PEOPLE_NAME_SIZE];
	const mp_obj *uid = mp_obj_get(item, mp_str("uid"));

	snprintf(owner, sizeof(owner), "-");
	if (uid)
		people_user((uid_t)mp_obj_i64(uid), owner);
	printf("%-18s %12" PRId64 " %4" PRId64 "  %-12s ", item_str(item, "class"),
		item_i64(item, "bytes"), item_i64(item, "references"), owner);
	if (name)
		mpctl_print_name(stdout, name);
	else
		printf("(number %" PRId64 ")", item_i64(item, "number"));
	putchar('\n');
}

static int list_object(struct line *line, const mp_obj *item, void *data)
{
	struct listing *listing = data;
	const char *name = item_str(item, "name");

	if (listing->pattern && (!name || fnmatch(listing->pattern, name, 0) != 0))
		return 0;
	if (line->is_long && !line->json && listing->n == 0)
		printf("%-18s %12s %4s  %-12s NAME\n", "CLASS", "BYTES", "REFS", "OWNER");
	listing->n++;
	if (line->json) {
		value_write_json(stdout, item);
		putchar('\n');
	} else if (line->is_long || !name) {
		print_object(item, name);
	} else {
		value_print(line, mp_obj_get(item, mp_str("name")));
	}
	return ferror(stdout) ? -EIO : 0;
}

static int serve_ls(struct line *line)
{
	struct listing listing = {.pattern = line->argc > 0 ? line->argv[0] : NULL};
	mp_objects_options which = {.type = line->type, .nameless = line->nameless};
	char prefix[256] = "";

	/* What comes before the first special character is looked for there. */
	if (listing.pattern) {
		size_t length = strcspn(listing.pattern, "*?[\\");
		snprintf(prefix, sizeof(prefix), "%.*s", (int)length, listing.pattern);
		which.prefix = length < sizeof(prefix) ? prefix : NULL;
	}
	int r = daemon_objects(line, &which, list_object, &listing);
	if (r == -EIO) /* main() says it */
		return MPCTL_FAILED;
	return r < 0 ? line_fail(line, r, NULL) : MPCTL_OK;
}

/* --- clients ------------------------------------------------------------------------------------ */

static void print_client(const mp_obj *item)
{
	char program[PEOPLE_NAME_SIZE];
	char user[PEOPLE_NAME_SIZE];
	char age[PEOPLE_NAME_SIZE];
	int64_t pid = item_i64(item, "pid");

	people_program((pid_t)pid, program);
	people_user((uid_t)item_i64(item, "uid"), user);
	people_age(item_f64(item, "seconds"), age);
	printf("%8" PRId64 " %-16s %-12s %8s %10" PRId64 " %7" PRId64 " %5" PRId64 " %7" PRId64
	       " %8" PRId64 "\n",
		pid, program, user, age, item_i64(item, "requests"), item_i64(item, "objects"),
		item_i64(item, "held"), item_i64(item, "waiting"), item_i64(item, "unread"));
}

static int serve_clients(struct line *line)
{
	mp_obj clients;
	int r = daemon_clients(line, &clients);

	if (r < 0)
		return line_fail(line, r, NULL);
	if (!line->json)
		printf("%8s %-16s %-12s %8s %10s %7s %5s %7s %8s\n", "PID", "PROGRAM", "USER",
			"SINCE", "REQUESTS", "OBJECTS", "HELD", "WAITING", "UNREAD");
	for (size_t i = 0; i < clients.count; i++) {
		if (line->json) {
			value_write_json(stdout, &clients.as.items[i]);
			putchar('\n');
		} else {
			print_client(&clients.as.items[i]);
		}
	}
	mp_obj_free(&clients);
	return MPCTL_OK;
}

/* --- stats, shutdown ------------------------------------------------------------------------------ */

static int serve_stats(struct line *line)
{
	mp_obj text;
	int r = daemon_stats(line, &text);

	if (r < 0)
		return line_fail(line, r, NULL);
	metrics_print(text.as.str, line->argc > 0 ? line->argv[0] : NULL, line->json);
	mp_obj_free(&text);
	return MPCTL_OK;
}

static int serve_shutdown(struct line *line)
{
	int r = daemon_shutdown(line);

	if (r < 0)
		return line_fail(line, r, NULL);
	if (line->json)
		puts("{\"ok\": true}");
	return MPCTL_OK;
}

/* --- the commands ------------------------------------------------------------------------------- */

const struct command command_ping = {
	.name = "ping",
	.synopsis = "ping [OPTION...]",
	.summary = "ask managerd whether it is there",
	.help = "",
	.serve = serve_ping,
	.options = OPTION_COUNT,
};

const struct command command_ls = {
	.name = "ls",
	.synopsis = "ls [OPTION...] [PATTERN]",
	.summary = "the objects of managerd, by name",
	.help = "PATTERN is one of the shell's: * ? [a-z].\n",
	.serve = serve_ls,
	.options = OPTION_LONG | OPTION_NAMELESS | OPTION_TYPE,
	.max = 1,
};

const struct command command_clients = {
	.name = "clients",
	.synopsis = "clients [OPTION...]",
	.summary = "who is connected with managerd",
	.help = "All of them for managerd's own user and root, else your own.\n",
	.serve = serve_clients,
};

const struct command command_stats = {
	.name = "stats",
	.synopsis = "stats [OPTION...] [PATTERN]",
	.summary = "what managerd has counted",
	.help = "PATTERN chooses by name, as in the shell. For managerd's own user and root.\n",
	.serve = serve_stats,
	.max = 1,
};

const struct command command_shutdown = {
	.name = "shutdown",
	.synopsis = "shutdown [OPTION...]",
	.summary = "end managerd",
	.help = "As with SIGTERM: those who wait are told. For managerd's own user and root.\n",
	.serve = serve_shutdown,
};
