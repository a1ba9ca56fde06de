/* SPDX-License-Identifier: MIT */
/*
 * managerd - the command line and exit codes; everything else is in libmanagerd.
 */
#include <config.h>

#include "base/error.h"
#include "managerd/config.h"
#include "managerd/daemon.h"
#include "managerd/log.h"
#include "managerd/systemd.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_IN_USE = 3 };

static const char usage[] =
	"Usage: managerd [--config FILE] --listen unix:/PATH [OPTION...]\n"
	"       managerd --private-fd N --owner-fd N [OPTION...]\n"
	"       managerd --check-config --config FILE [OPTION...]\n"
	"\n"
	"Serve objects that programs share through libmp.\n"
	"\n"
	"  --config FILE            read managerd.conf(5); the command line is above it\n"
	"  --check-config           say what is wrong with file and options, and end\n"
	"  --help, --version\n";

/* What is no setting; above the characters, one of which is what getopt says of an error. */
enum option_id { OPTION_CONFIG = 256, OPTION_CHECK, OPTION_HELP, OPTION_VERSION, OPTION_FIRST };

/* Those above, a row for each setting, and the end. */
#define LONG_OPTIONS_MAX 128

struct command_line {
	const char *config; /* or NULL */
	bool check;
	bool again; /* it has been applied before */
	struct option options[LONG_OPTIONS_MAX];
	char **argv;
	int argc;
};

static void init_command_line(struct command_line *line, int argc, char **argv)
{
	size_t n = 0;

	*line = (struct command_line){.argc = argc, .argv = argv};
	line->options[n++] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
	line->options[n++] = (struct option){"check-config", no_argument, NULL, OPTION_CHECK};
	line->options[n++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
	line->options[n++] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
	for (size_t i = 0; i < md_n_options && n < LONG_OPTIONS_MAX - 1; i++)
		line->options[n++] = (struct option){
			md_options[i].name, required_argument, NULL, OPTION_FIRST + (int)i};
}

static int say(const char *text)
{
	fputs(text, stdout);
	if (text == usage) {
		fputs("\nOptions:\n", stdout);
		md_options_print(stdout);
	}
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

/* What is no setting, and whether all of it is there. The exit code, or -1 to go on. */
static int read_command_line(struct command_line *line)
{
	int id;

	while ((id = getopt_long(line->argc, line->argv, "", line->options, NULL)) != -1) {
		if (id == OPTION_HELP)
			return say(usage);
		if (id == OPTION_VERSION)
			return say("managerd " PACKAGE_VERSION "\n");
		if (id == OPTION_CONFIG)
			line->config = optarg;
		else if (id == OPTION_CHECK)
			line->check = true;
		else if (id < OPTION_FIRST) /* getopt has said why */
			return EXIT_USAGE;
	}
	if (optind < line->argc) {
		md_say("%s: there are options only. See managerd --help", line->argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* The settings of the command line, over what is there. Its descriptors are taken once only. */
static int apply_command_line(struct command_line *line, struct md_settings *settings)
{
	int id;

	optind = 0; /* glibc: from the beginning */
	while ((id = getopt_long(line->argc, line->argv, "", line->options, NULL)) != -1) {
		if (id < OPTION_FIRST)
			continue;
		if (line->again && md_options[id - OPTION_FIRST].kind == MD_KIND_FD)
			continue;
		int r = md_option_read(&md_options[id - OPTION_FIRST], optarg, settings);
		if (r < 0) {
			md_say("--%s", mp_error_detail());
			return r;
		}
	}
	return 0;
}

static void complain(const char *sentence, void *data)
{
	(void)data;
	md_say_at(MP_LOG_ERROR, "config", "%s", sentence);
}

/* Defaults, over them the file, over that the command line. What is wrong has been said. */
static int load(struct command_line *line, struct md_settings *ret_settings)
{
	md_settings_init(ret_settings);
	int r = line->config ? md_config_read(line->config, ret_settings, complain, NULL) : 0;
	int r2 = apply_command_line(line, ret_settings);

	line->again = true;
	return r < 0 ? r : r2;
}

static int load_again(struct md_settings *ret_settings, void *data)
{
	struct command_line *line = data;

	return line->config ? load(line, ret_settings) : -ENODATA;
}

/* systemd's sockets, if it has started us. */
static int take_sockets(struct md_daemon *daemon)
{
	int r = md_systemd_take_socket("managerd", &daemon->listen_fd);

	if (r == 0)
		r = md_systemd_take_socket("metrics", &daemon->metrics_fd);
	if (r < 0)
		md_say("%s", mp_error_detail());
	md_systemd_close_others();
	return r;
}

static int start(struct command_line *line, struct md_daemon *daemon)
{
	const struct md_settings *settings = &daemon->settings;

	if (md_systemd_init() < 0) {
		md_say("%s", mp_error_detail());
		return EXIT_FAILED;
	}
	if (load(line, &daemon->settings) < 0)
		return EXIT_USAGE;
	if (line->check)
		return EXIT_OK;
	if (take_sockets(daemon) < 0)
		return EXIT_FAILED;
	bool listens = *settings->listen || daemon->listen_fd >= 0;
	if (listens == (settings->private_fd >= 0)) {
		md_say("either --listen or --private-fd is needed. See managerd --help");
		return EXIT_USAGE;
	}
	int r = md_daemon_run(daemon);
	if (r == 0)
		return EXIT_OK;
	md_say("%s", mp_error_detail());
	return r == -EADDRINUSE ? EXIT_IN_USE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct command_line line;
	static struct md_daemon daemon;

	init_command_line(&line, argc, argv);
	int code = read_command_line(&line);
	if (code >= 0)
		return code;
	md_log_open();
	daemon = (struct md_daemon){
		.load = load_again, .load_data = &line, .listen_fd = -1, .metrics_fd = -1};
	code = start(&line, &daemon);
	md_log_close();
	return code;
}
