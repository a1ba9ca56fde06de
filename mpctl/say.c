/* SPDX-License-Identifier: MIT */
/* What all commands say alike: mpctl/command.h. */
#include <config.h>

#include "mpctl/command.h"

#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

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

bool mpctl_reader_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, 0) == 1 && out.revents & POLLERR;
}
