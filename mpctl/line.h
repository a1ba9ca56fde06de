/* SPDX-License-Identifier: MIT */
/*
 * mpctl/line.h - the command line of a command that talks to a managerd: read it, connect, run.
 *
 * Options are long ones only, so that -5 is a number and - is standard input wherever they stand.
 */
#ifndef MPCTL_LINE_H
#define MPCTL_LINE_H

#include "mpctl/command.h"

#include "base/deadline.h"

/* How long the daemon may take for an answer, if nobody says another time. */
#define LINE_TIMEOUT_MS 10000

/* Read, connect, command->serve(). The exit code. */
int line_run(const struct command *command, int argc, char **argv);
/* `mpctl NAME --help`, with the options that it takes. MPCTL_OK. */
int line_help(const struct command *command);

/* "mpctl NAME: ..." with the sentence of the error; its exit code. `what` may be NULL. */
int line_fail(struct line *line, int result, const char *what);
/* For those without a line: what the commands about this machine have in common. */
const char *line_socket(void);

/* How long the daemon may take for a request. */
mp__deadline line_deadline(const struct line *line);

/* A number, whole: false if it is none. */
bool line_number(const char *text, int64_t *ret);

#endif
