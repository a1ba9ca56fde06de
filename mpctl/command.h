/* SPDX-License-Identifier: MIT */
/*
 * mpctl/command.h - what a command of mpctl is.
 *
 * One file each, with one struct command; the table is in main.c. A command gets what stands behind
 * its name, reads its options by getopt_long(3), prints on standard output what it found (for people,
 * or with --json one object a line), and says on standard error what went wrong.
 */
#ifndef MPCTL_COMMAND_H
#define MPCTL_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

/* Exit codes. */
enum {
	MPCTL_OK = 0,
	MPCTL_FAILED = 1, /* it was tried, and did not work */
	MPCTL_USAGE = 2,  /* it was not understood */
};

struct command {
	const char *name;
	const char *synopsis; /* behind "mpctl ", in one line */
	const char *summary;  /* for `mpctl --help` */
	const char *help;     /* for `mpctl NAME --help`: the options, a line each */
	int (*run)(int argc, char **argv);
};

extern const struct command command_gc;
extern const struct command command_locks;

/* `mpctl NAME --help`. */
int mpctl_help(const struct command *command);
/* "mpctl NAME: ...", and how to get help. MPCTL_USAGE. */
int mpctl_usage(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The text between quotes of JSON; any bytes: what is not ASCII text is written as \u00XX. */
void mpctl_json_string(const char *text);
/* A name for a terminal: control characters and bytes above 126 as \xXX. */
void mpctl_print_name(FILE *to, const char *text);

#endif
