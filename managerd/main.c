/* SPDX-License-Identifier: MIT */
/*
 * managerd - the command line and exit codes; everything else is in libmanagerd.
 */
#include <config.h>

#include "base/error.h"
#include "managerd/access.h"
#include "managerd/classes.h"
#include "managerd/config.h"
#include "managerd/log.h"
#include "managerd/service.h"
#include "serve/log.h"
#include "serve/server.h"
#include "managerd/settings.h"
#include "managerd/systemd.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

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

/* What is no setting. */
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

/* What the daemon runs with, and where that came from. */
struct daemon {
	struct command_line line;
	struct md_settings settings;
	struct md_service service;
	int listen_fd; /* systemd's, or -1 */
};

/* One remark for what changed, one for each option that cannot; none if the file is as before. */
static void adopt(struct md_settings *settings, const struct md_settings *news)
{
	unsigned changed = 0;

	for (const struct md_option *o = md_options; o < md_options + md_n_options; o++) {
		if (!o->section || md_option_same(o, settings, news))
			continue;
		if (o->when == MD_AT_START) {
			md_say_at(MP_LOG_WARNING, "config",
				"%s stays as it is until the next start", o->name);
			continue;
		}
		md_option_copy(o, settings, news);
		changed++;
	}
	md_say_at(MP_LOG_INFO, "config", "read again: %u options changed", changed);
}

/* What the daemon itself has open, and what the watching of a client's process takes at times. */
#define OWN_DESCRIPTORS 64

/* As many descriptors as connections may come; nothing here uses select(2), so that many are fine. */
static void raise_descriptors(const struct md_settings *settings)
{
	rlim_t wanted = (rlim_t)settings->limits.max_connections + OWN_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < wanted)
		md_say_at(MP_LOG_WARNING, "descriptors",
			"max-connections is %u, but only %llu files may be open",
			settings->limits.max_connections, (unsigned long long)limit.rlim_cur);
}

static void read_again(struct daemon *daemon, struct serve_limits *limits)
{
	struct md_settings news;

	if (!daemon->line.config) {
		md_say_at(MP_LOG_WARNING, "config", "there is no --config to read again");
		return;
	}
	if (load(&daemon->line, &news) < 0) {
		md_say_at(MP_LOG_ERROR, "config", "the configuration stays as it was");
		return;
	}
	adopt(&daemon->settings, &news);
	raise_descriptors(&daemon->settings);
	*limits = daemon->settings.limits;
}

/* SIGHUP. */
static void reload(struct serve_limits *limits, void *data)
{
	struct daemon *daemon = data;

	md_service_reloading();
	read_again(daemon, limits);
	md_service_reloaded(&daemon->service);
}

static mode_t socket_mode(const struct md_settings *settings)
{
	if (settings->socket_mode != MD_MODE_DEFAULT)
		return settings->socket_mode;
	return settings->socket_group != SERVE_GROUP_NONE ? 0660 : 0600;
}

static bool admits(int fd, const struct ucred *peer, void *data)
{
	const struct daemon *daemon = data;

	return md_access_admits(fd, peer, daemon->settings.socket_group);
}

static int started(struct serve_loop *loop, struct serve_context *context, void *data)
{
	struct daemon *daemon = data;
	int r = md_log_join(loop);

	return r < 0 ? r : md_service_start(&daemon->service, loop, context);
}

static void draining(void *data)
{
	(void)data;
	md_service_stopping();
}

static int run(struct daemon *daemon)
{
	const struct md_settings *settings = &daemon->settings;
	struct serve_config config = {
		.service = &md_served,
		.listen_path = *settings->listen ? settings->listen : NULL,
		.listen_mode = socket_mode(settings),
		.listen_group = settings->socket_group,
		.listen_fd = daemon->listen_fd,
		.connector_fd = settings->private_fd,
		.owner_fd = settings->owner_fd,
		.ready_fd = settings->ready_fd,
		.stop_fd = -1,
		.limits = settings->limits,
		.hooks = {.admits = admits,
			.started = started,
			.reload = reload,
			.draining = draining,
			.data = daemon},
	};

	raise_descriptors(settings);
	int r = serve_server_run(&config);
	md_service_stop(&daemon->service);
	if (r == 0)
		return EXIT_OK;
	md_say("%s", mp_error_detail());
	return r == -EADDRINUSE ? EXIT_IN_USE : EXIT_FAILED;
}

/* systemd's sockets, if it has started us. */
static int take_sockets(struct daemon *daemon)
{
	int r = md_systemd_take_socket("managerd", &daemon->listen_fd);

	if (r < 0)
		md_say("%s", mp_error_detail());
	md_systemd_close_others();
	return r;
}

static int start(struct daemon *daemon)
{
	const struct md_settings *settings = &daemon->settings;

	if (load(&daemon->line, &daemon->settings) < 0)
		return EXIT_USAGE;
	if (daemon->line.check)
		return EXIT_OK;
	if (take_sockets(daemon) < 0)
		return EXIT_FAILED;
	bool listens = *settings->listen || daemon->listen_fd >= 0;
	if (listens == (settings->private_fd >= 0)) {
		md_say("either --listen or --private-fd is needed. See managerd --help");
		return EXIT_USAGE;
	}
	return run(daemon);
}

static void log_text(const char *text)
{
	md_log("%s", text);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {.service = MD_SERVICE_NULL, .listen_fd = -1};

	init_command_line(&daemon.line, argc, argv);
	int code = read_command_line(&daemon.line);
	if (code >= 0)
		return code;
	if (md_systemd_init() < 0) {
		md_say("%s", mp_error_detail());
		return EXIT_FAILED;
	}
	md_log_open();
	serve_log_sink = log_text;
	code = start(&daemon);
	md_log_close();
	return code;
}
