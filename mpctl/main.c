/* SPDX-License-Identifier: MIT */
/* mpctl: for people who look after programs that use libmp. */
#include <config.h>

#include "mpctl/command.h"

#include <mp/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
	&command_gc,
	&command_locks,
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *to)
{
	fputs("usage: mpctl COMMAND [OPTION...]\n"
	      "       mpctl --help | --version\n\ncommands:\n",
		to);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(to, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n`mpctl COMMAND --help` tells its options; mpctl(1) tells all.\n", to);
	return to == stdout ? MPCTL_OK : MPCTL_USAGE;
}

int mpctl_help(const struct command *command)
{
	printf("usage: mpctl %s\n\n%s.\n\n%s", command->synopsis, command->summary, command->help);
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
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("mpctl: writing");
		return MPCTL_FAILED;
	}
	return code;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name)
		return usage(stderr);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return finish(usage(stdout));
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("mpctl (libmp) %s\n", mp_version());
		return finish(MPCTL_OK);
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(name, commands[i]->name) == 0)
			return finish(commands[i]->run(argc - 1, argv + 1));
	}
	fprintf(stderr, "mpctl: no command %s\n", name);
	return usage(stderr);
}
