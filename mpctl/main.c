/* SPDX-License-Identifier: MIT */
/* mpctl: for people who look after programs that use libmp. */
#include <config.h>

#include "mpctl/command.h"
#ifdef MPCTL_SERVE
#include "mpctl/line.h"
#endif

#include <errno.h>
#include <mp/version.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
#ifdef MPCTL_SERVE
	&command_add,
	&command_append,
	&command_call,
	&command_clients,
	&command_del,
#endif
	&command_gc,
#ifdef MPCTL_SERVE
	&command_get,
#endif
	&command_locks,
#ifdef MPCTL_SERVE
	&command_ls,
	&command_ping,
	&command_set,
	&command_shutdown,
	&command_stats,
#endif
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *to)
{
	fputs("usage: mpctl COMMAND [OPTION...] [ARGUMENT...]\n"
	      "       mpctl help COMMAND\n"
	      "       mpctl --help | --version\n\ncommands:\n",
		to);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(to, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nmpctl(1) tells all.\n", to);
	return to == stdout ? MPCTL_OK : MPCTL_USAGE;
}

int mpctl_help(const struct command *command)
{
	printf("usage: mpctl %s\n\n%s.\n\n%s", command->synopsis, command->summary, command->help);
#ifdef MPCTL_SERVE
	if (command->serve) {
		fputs(*command->help ? "\n" : "", stdout);
		line_print_options(stdout, command);
	}
#endif
	return MPCTL_OK;
}

int mpctl_usage(const struct command *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "mpctl %s: ", command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nusage: mpctl %s\n", command->synopsis);
	return MPCTL_USAGE;
}

const struct command *mpctl_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i];
	}
	fprintf(stderr, "mpctl: no command ");
	mpctl_print_name(stderr, name);
	putc('\n', stderr);
	return NULL;
}

void mpctl_json_string(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (*c < ' ' || *c > '~')
			printf("\\u00%02x", *c);
		else
			putchar(*c);
	}
	putchar('"');
}

void mpctl_print_name(FILE *to, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c > '~' || *c == '\\')
			fprintf(to, "\\x%02x", *c);
		else
			putc(*c, to);
	}
}

/* What was printed must have arrived: a full disk is no success. */
static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	/* Whoever has read enough has not failed, and neither have we. */
	if (errno == EPIPE)
		return code == MPCTL_OK || code == MPCTL_FAILED ? MPCTL_OK : code;
	perror("mpctl: writing");
	return MPCTL_FAILED;
}

static int run(const struct command *command, int argc, char **argv)
{
	if (!command)
		return usage(stderr);
#ifdef MPCTL_SERVE
	if (command->serve)
		return line_run(command, argc, argv);
#endif
	return command->run(argc, argv);
}

static int help(int argc, char **argv)
{
	if (argc < 3)
		return usage(stdout);
	const struct command *command = mpctl_find(argv[2]);
	return command ? mpctl_help(command) : MPCTL_USAGE;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	/* A reader that has gone is an error of writing. */
	signal(SIGPIPE, SIG_IGN);
	if (!name)
		return usage(stderr);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return finish(usage(stdout));
	if (strcmp(name, "help") == 0)
		return finish(help(argc, argv));
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("mpctl (libmp) %s\n", mp_version());
		return finish(MPCTL_OK);
	}
	return finish(run(mpctl_find(name), argc - 1, argv + 1));
}
