/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/line.h"

#include <errno.h>
#include <mp/error.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_DEFAULT "/run/managerd/managerd.sock"
#define ALL UINT32_MAX

/* How a text becomes the member of struct line. */
enum kind { FLAG, TEXT, COUNT, NUMBER, SECONDS, DURATION };

struct option {
	const char *name;
	unsigned bit; /* ALL: every command takes it */
	enum kind kind;
	size_t offset;
	const char *argument;
	const char *help;
};

#define MEMBER(member) offsetof(struct line, member)

static const struct option options[] = {
	{"string", OPTION_STRING, FLAG, MEMBER(string), NULL, "KEY and VALUE are strings"},
	{"bytes", OPTION_BYTES, FLAG, MEMBER(bytes), NULL, "VALUE is bytes"},
	{"type", OPTION_TYPE, TEXT, MEMBER(type), "CLASS", "the class of object that is meant"},
	{"long", OPTION_LONG, FLAG, MEMBER(is_long), NULL, "tell more"},
	{"nameless", OPTION_NAMELESS, FLAG, MEMBER(nameless), NULL, "those without a name, too"},
	{"count", OPTION_COUNT, COUNT, MEMBER(count), "N", "end after so many"},
	{"interval", OPTION_INTERVAL, DURATION, MEMBER(interval_ms), "S", "every so many seconds"},
	{"order", OPTION_ORDER, TEXT, MEMBER(order), "ORDER",
		"of a new queue: fifo, lifo or priority"},
	{"maxsize", OPTION_MAXSIZE, COUNT, MEMBER(maxsize), "N", "of a new queue: its limit"},
	{"joinable", OPTION_JOINABLE, FLAG, MEMBER(joinable), NULL, "of a new queue"},
	{"priority", OPTION_PRIORITY, NUMBER, MEMBER(priority), "N",
		"in a queue of that order; small ones first"},
	{"for", OPTION_FOR, DURATION, MEMBER(for_ms), "S", "in a dict: the key goes after so long"},
	{"now", OPTION_NOW, FLAG, MEMBER(now), NULL, "tell how it is at first, too"},
	{"json", ALL, FLAG, MEMBER(json), NULL, "print JSON"},
	{"timeout", ALL, SECONDS, MEMBER(timeout_ms), "S", "give up after so many seconds"},
	{"socket", ALL, TEXT, MEMBER(socket), "PATH",
		"of the daemon; else $MP_MANAGERD_SOCKET, or " SOCKET_DEFAULT},
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static bool takes(const struct command *command, const struct option *o)
{
	return o->bit == ALL || (command->options & o->bit) != 0;
}

static void print_options(const struct command *command)
{
	char left[32];

	for (const struct option *o = options; o < options + N_OPTIONS; o++) {
		if (!takes(command, o))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->argument ? " " : "",
			o->argument ? o->argument : "");
		printf("  %-16s %s\n", left, o->help);
	}
}

int line_help(const struct command *command)
{
	mpctl_help(command);
	fputs(*command->help ? "\n" : "", stdout);
	print_options(command);
	return MPCTL_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool line_number(const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (*text == '\0' || *end != '\0' || errno != 0)
		return false;
	*ret = number;
	return true;
}

static bool read_seconds(const char *text, int *ret_ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !(seconds >= 0) || seconds > INT32_MAX / 1000)
		return false;
	double ms = seconds * 1000;
	*ret_ms = (int)ms + (ms > (int)ms); /* upwards, without libm */
	return true;
}

static bool set(struct line *line, const struct option *o, const char *text)
{
	void *member = (char *)line + o->offset;

	switch (o->kind) {
	case FLAG:
		*(bool *)member = true;
		return true;
	case TEXT:
		*(const char **)member = text;
		return true;
	case COUNT:
		return line_number(text, member) && *(int64_t *)member > 0;
	case NUMBER:
		return line_number(text, member);
	case SECONDS:
		return read_seconds(text, member);
	case DURATION: /* of 0 it would be none */
		return read_seconds(text, member) && *(int *)member > 0;
	}
	return false;
}

static const struct option *find_option(
	const struct command *command, const char *name, size_t length)
{
	for (const struct option *o = options; o < options + N_OPTIONS; o++) {
		if (strlen(o->name) == length && memcmp(o->name, name, length) == 0 &&
			takes(command, o))
			return o;
	}
	return NULL;
}

/* The option at argv[*at], which is moved to its last word. MPCTL_OK, or the end. */
static int read_option(struct line *line, int argc, char **argv, int *at)
{
	const char *name = argv[*at] + 2;
	const char *value = strchr(name, '=');
	size_t length = value ? (size_t)(value - name) : strlen(name);
	const struct option *o = find_option(line->command, name, length);

	if (!o)
		return mpctl_usage(line->command, "no option --%.*s", (int)length, name);
	if (value)
		value++;
	if (o->kind == FLAG && value)
		return mpctl_usage(line->command, "--%s takes no value", o->name);
	if (o->kind != FLAG && !value) {
		if (*at + 1 >= argc)
			return mpctl_usage(line->command, "--%s takes a value", o->name);
		value = argv[++*at];
	}
	if (!set(line, o, value))
		return mpctl_usage(line->command, "%s: wrong for --%s", value, o->name);
	return MPCTL_OK;
}

static int read_line(struct line *line, int argc, char **argv, bool *ret_help)
{
	const struct command *command = line->command;
	bool options_over = false;

	for (int i = 1; i < argc; i++) {
		if (options_over || strncmp(argv[i], "--", 2) != 0) {
			if (strcmp(argv[i], "-h") == 0 && line->argc == 0) {
				*ret_help = true;
				return MPCTL_OK;
			}
			options_over = options_over || command->options_first;
			line->argv[line->argc++] = argv[i];
			continue;
		}
		if (argv[i][2] == '\0') {
			options_over = true;
			continue;
		}
		if (strcmp(argv[i], "--help") == 0) {
			*ret_help = true;
			return MPCTL_OK;
		}
		int code = read_option(line, argc, argv, &i);
		if (code != MPCTL_OK)
			return code;
	}
	if (line->argc < command->min)
		return mpctl_usage(command, "an argument is missing");
	if (line->argc > command->max)
		return mpctl_usage(command, "too many arguments: %s", line->argv[command->max]);
	return MPCTL_OK;
}

/* --- running ---------------------------------------------------------------------------------- */

const char *line_socket(void)
{
	const char *socket = getenv("MP_MANAGERD_SOCKET");

	return socket && *socket ? socket : SOCKET_DEFAULT;
}

/* For an answer. */
static int answer_ms(const struct line *line)
{
	bool given = line->timeout_ms > 0 && !line->command->waits;

	return given ? line->timeout_ms : LINE_TIMEOUT_MS;
}

mp__deadline line_deadline(const struct line *line)
{
	return mp__deadline_in(answer_ms(line));
}

static int code_of(struct line *line, int result)
{
	switch (result) {
	case -ENOENT:
	case -ERANGE:
		return MPCTL_NOT_THERE;
	case -EAGAIN:
	case -ETIMEDOUT:
		return MPCTL_TIMEOUT;
	case -EDEADLK:
		return MPCTL_DEADLOCK;
	case -EPIPE:
		/* The daemon, or only the object: a queue that has been shut down. */
		return mp_manager_ping(line->manager) < 0 ? MPCTL_NO_DAEMON : MPCTL_NOT_THERE;
	case -EPROTO:
		return MPCTL_NO_DAEMON;
	default:
		return MPCTL_FAILED;
	}
}

int line_fail(struct line *line, int result, const char *what)
{
	fprintf(stderr, "mpctl %s: ", line->command->name);
	if (what) {
		mpctl_print_name(stderr, what);
		fputs(": ", stderr);
	}
	fprintf(stderr, "%s\n", mp_error_detail());
	return code_of(line, result);
}

static int connect_and_serve(struct line *line)
{
	int r = mp_manager_connect(
		line->socket, MP_MANAGER_OPTIONS(.timeout_ms = answer_ms(line)), &line->manager);

	if (r < 0) {
		fprintf(stderr, "mpctl %s: %s\n", line->command->name, mp_error_detail());
		if (r == -EINVAL || r == -ENAMETOOLONG)
			return MPCTL_USAGE;
		if (line->command->options & OPTION_RUNS && line->argc > 1)
			return r == -ETIMEDOUT ? MPCTL_RUN_TIMEOUT : MPCTL_RUN_FAILED;
		return r == -ETIMEDOUT ? MPCTL_TIMEOUT : MPCTL_NO_DAEMON;
	}
	int code = line->command->serve(line);
	mp_manager_close(line->manager);
	return code;
}

int line_run(const struct command *command, int argc, char **argv)
{
	struct line line = {.command = command,
		.socket = line_socket(),
		.timeout_ms = MP_FOREVER,
		.interval_ms = 1000,
		.argv = calloc((size_t)argc + 1, sizeof(char *))};
	bool help = false;

	if (!line.argv) {
		fputs("mpctl: out of memory\n", stderr);
		return MPCTL_FAILED;
	}
	int code = read_line(&line, argc, argv, &help);
	if (help)
		code = line_help(command);
	else if (code == MPCTL_OK)
		code = connect_and_serve(&line);
	free(line.argv);
	return code;
}
