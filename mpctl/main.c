/* SPDX-License-Identifier: MIT */
/* mpctl: for people who look after programs that use libmp. */
#include <config.h>

#include "mpctl/command.h"
#ifdef MPCTL_SERVE
#include "mpctl/line.h"
#endif

#include <mp/version.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
	&command_lock,
#endif
	&command_locks,
#ifdef MPCTL_SERVE
	&command_ls,
	&command_make,
	&command_monitor,
	&command_ping,
	&command_queue_get,
	&command_queue_put,
	&command_set,
	&command_shutdown,
	&command_stats,
	&command_top,
	&command_unlock,
	&command_watch,
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

/* Is this the first of the two words of its name? */
static bool begins_with(const struct command *command, const char *word)
{
	size_t length = strlen(word);

	return strncmp(command->name, word, length) == 0 && command->name[length] == ' ';
}

/* Names may be of two words: how many of argv are this one's, 0: none. */
static int words_of(const struct command *command, int argc, char **argv)
{
	const char *space = strchr(command->name, ' ');

	if (!space)
		return argc > 0 && strcmp(argv[0], command->name) == 0;
	return argc > 1 && begins_with(command, argv[0]) && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

/* NULL: there is none, and that has been said. *ret_words of argv are its name. */
static const struct command *find(int argc, char **argv, int *ret_words)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		*ret_words = words_of(commands[i], argc, argv);
		if (*ret_words > 0)
			return commands[i];
	}
	fprintf(stderr, "mpctl: no command ");
	mpctl_print_name(stderr, argv[0]);
	const char *between = "; there is ";
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (begins_with(commands[i], argv[0])) {
			fprintf(stderr, "%s%s", between, commands[i]->name);
			between = " and ";
		}
	}
	putc('\n', stderr);
	return NULL;
}

/* What was printed must have arrived: a full disk is no success. */
static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	/* Who has read enough knows, and need not be told; scripts may want to. */
	if (!mpctl_reader_gone())
		perror("mpctl: writing");
	return code == MPCTL_OK ? MPCTL_FAILED : code;
}

/* What is closed must stay so: no socket that is printed to, and no input that is just empty. */
static void keep_standard_descriptors(void)
{
	int for_input = fcntl(STDIN_FILENO, F_GETFD) < 0 ? O_WRONLY : O_RDONLY;
	int fd = open("/dev/null", for_input | O_CLOEXEC);

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
}

static int run(int argc, char **argv)
{
	int words;
	const struct command *command = find(argc, argv, &words);

	if (!command)
		return usage(stderr);
	argc -= words - 1;
	argv += words - 1;
#ifdef MPCTL_SERVE
	if (command->serve)
		return line_run(command, argc, argv);
#endif
	return command->run(argc, argv);
}

static int help(int argc, char **argv)
{
	int words;

	if (argc == 0)
		return usage(stdout);
	const struct command *command = find(argc, argv, &words);
	if (!command)
		return MPCTL_USAGE;
#ifdef MPCTL_SERVE
	if (command->serve)
		return line_help(command);
#endif
	return mpctl_help(command);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	keep_standard_descriptors();
	/* A reader that has gone is an error of writing. */
	signal(SIGPIPE, SIG_IGN);
	if (!name)
		return usage(stderr);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return finish(usage(stdout));
	if (strcmp(name, "help") == 0)
		return finish(help(argc - 2, argv + 2));
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("mpctl (libmp) %s\n", mp_version());
		return finish(MPCTL_OK);
	}
	return finish(run(argc - 1, argv + 1));
}
