/* SPDX-License-Identifier: MIT */
/*
 * mpctl/command.h - what a command of mpctl is.
 *
 * A command is a row of the table in main.c: name, arguments, help, function. There are two kinds.
 * Those that look at this machine get the command line as it is (run). Those that talk to a managerd
 * (serve) get it taken apart (struct line), with a connection: they say which options and how many
 * arguments they take, and the rest is done in line.c. Both print on standard output what they found,
 * for people or as JSON, say on standard error what went wrong, and return an exit code.
 */
#ifndef MPCTL_COMMAND_H
#define MPCTL_COMMAND_H

#include <mp/manager.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes, for scripts: mpctl(1) lists them. */
enum {
	MPCTL_OK = 0,
	MPCTL_NOT_THERE = 1, /* no such object, key, item, process */
	MPCTL_USAGE = 2,     /* it was not understood */
	MPCTL_DEADLOCK = 3,
	MPCTL_TIMEOUT = 4,
	MPCTL_NO_DAEMON = 5,
	MPCTL_FAILED = 6, /* it was tried, and did not work */
	/* Where the exit code is that of a command which is run; as timeout(1) and env(1) do. */
	MPCTL_RUN_TIMEOUT = 124,
	MPCTL_RUN_FAILED = 125,
	MPCTL_RUN_NOT_EXECUTABLE = 126,
	MPCTL_RUN_NOT_FOUND = 127,
};

/* Options of commands that talk to a managerd; --socket, --timeout, --json and --help are everybody's. */
enum {
	OPTION_STRING = 1 << 0,
	OPTION_BYTES = 1 << 1,
	OPTION_TYPE = 1 << 2,
	OPTION_LONG = 1 << 3,
	OPTION_NAMELESS = 1 << 4,
	OPTION_COUNT = 1 << 5,
	OPTION_INTERVAL = 1 << 6,
	OPTION_ORDER = 1 << 7,
	OPTION_MAXSIZE = 1 << 8,
	OPTION_JOINABLE = 1 << 9,
	OPTION_PRIORITY = 1 << 10,
	OPTION_NOW = 1 << 11,
	OPTION_FOR = 1 << 12,
	OPTION_RUNS = 1 << 13, /* no option: behind the first argument stands a command to run */
};

struct command;

/* A command line taken apart. */
struct line {
	const struct command *command;
	const char *socket;
	int timeout_ms; /* MP_FOREVER: none was given */
	bool json;
	bool string;
	bool bytes;
	const char *type;
	bool is_long;
	bool nameless;
	int64_t count; /* 0: none was given */
	int interval_ms;
	int for_ms; /* 0: none was given */
	const char *order;
	int64_t maxsize;
	bool joinable;
	int64_t priority;
	bool now;
	int argc; /* arguments behind the name and the options */
	char **argv;
	mp_manager *manager; /* connected */
};

struct command {
	const char *name;
	const char *synopsis; /* behind "mpctl ", in one line */
	const char *summary;  /* for `mpctl --help` */
	const char *help;     /* for `mpctl NAME --help`: what is special about it, whole lines */
	int (*run)(int argc, char **argv);
	/* Or: */
	int (*serve)(struct line *line);
	unsigned options;
	int min;
	int max;
	bool options_first; /* what follows the first argument is not looked at */
	bool waits; /* for others: --timeout is for that, and the daemon has its usual time */
};

extern const struct command command_add;
extern const struct command command_append;
extern const struct command command_call;
extern const struct command command_clients;
extern const struct command command_del;
extern const struct command command_gc;
extern const struct command command_get;
extern const struct command command_lock;
extern const struct command command_locks;
extern const struct command command_ls;
extern const struct command command_make;
extern const struct command command_monitor;
extern const struct command command_ping;
extern const struct command command_queue_get;
extern const struct command command_queue_put;
extern const struct command command_set;
extern const struct command command_shutdown;
extern const struct command command_stats;
extern const struct command command_top;
extern const struct command command_unlock;
extern const struct command command_watch;

/* --- what all commands say alike (say.c) --- */

/* `mpctl NAME --help`, up to the options. MPCTL_OK. */
int mpctl_help(const struct command *command);
/* "mpctl NAME: ...", and how to get help. MPCTL_USAGE. */
int mpctl_usage(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Nobody reads what is printed any more. */
bool mpctl_reader_gone(void);

/* The text between quotes of JSON; any bytes: what is not ASCII text is written as \u00XX. */
void mpctl_json_string(const char *text);
/* A name for a terminal: control characters and bytes above 126 as \xXX. */
void mpctl_print_name(FILE *to, const char *text);

#endif
