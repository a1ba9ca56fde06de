/* SPDX-License-Identifier: MIT */
/*
 * managerd - options and exit codes; everything else is in libmanagerd.
 */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "managerd/log.h"
#include "serve/server.h"
#include "wire/frame.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_IN_USE = 3 };

static const char usage[] =
	"Usage: managerd --listen unix:/PATH [LIMITS]\n"
	"       managerd --private-fd N --owner-fd N [LIMITS]\n"
	"\n"
	"Serve objects that programs share through libmp.\n"
	"\n"
	"  --listen unix:/PATH    listen on this socket\n"
	"  --private-fd N         serve only the connections that come over this socket\n"
	"  --owner-fd N           end when the process of this pidfd has ended\n"
	"  --ready-fd N           write a byte there, and close it, when ready\n"
	"  --help, --version\n"
	"\n"
	"Limits:\n"
	"  --max-frame BYTES      of one message (67174400)\n"
	"  --max-connections N    (1000)\n"
	"  --max-objects N        (1000000)\n"
	"  --max-references N     objects that one connection has open (100000)\n"
	"  --max-output BYTES     unread replies after which a connection has to wait (1048576)\n"
	"  --stall-ms N           patience with connections that stop half-way (30000)\n";

enum option_id {
	OPTION_LISTEN = 1,
	OPTION_PRIVATE_FD,
	OPTION_OWNER_FD,
	OPTION_READY_FD,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_MAX_FRAME,
	OPTION_MAX_CONNECTIONS,
	OPTION_MAX_OBJECTS,
	OPTION_MAX_REFERENCES,
	OPTION_MAX_OUTPUT,
	OPTION_STALL_MS,
};

static const struct option options[] = {
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"private-fd", required_argument, NULL, OPTION_PRIVATE_FD},
	{"owner-fd", required_argument, NULL, OPTION_OWNER_FD},
	{"ready-fd", required_argument, NULL, OPTION_READY_FD},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"max-frame", required_argument, NULL, OPTION_MAX_FRAME},
	{"max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS},
	{"max-objects", required_argument, NULL, OPTION_MAX_OBJECTS},
	{"max-references", required_argument, NULL, OPTION_MAX_REFERENCES},
	{"max-output", required_argument, NULL, OPTION_MAX_OUTPUT},
	{"stall-ms", required_argument, NULL, OPTION_STALL_MS},
	{0},
};

static bool read_number(const char *text, unsigned long min, unsigned long max, uint32_t *ret)
{
	char *end;

	errno = 0;
	unsigned long number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number < min ||
		number > max) {
		md_log("%s is not a number from %lu to %lu", text, min, max);
		return false;
	}
	*ret = (uint32_t)number;
	return true;
}

/* An inherited descriptor that is really open. */
static bool read_fd(const char *text, int *ret_fd)
{
	uint32_t fd;

	if (!read_number(text, 3, INT32_MAX, &fd))
		return false;
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0) {
		md_log("descriptor %s is not open", text);
		return false;
	}
	*ret_fd = (int)fd;
	return true;
}

static bool read_address(const char *text, const char **ret_path)
{
	if (strncmp(text, "unix:", 5) == 0)
		text += 5;
	if (*text != '/') {
		md_log("%s is no address; it must be unix:/PATH", text);
		return false;
	}
	*ret_path = text;
	return true;
}

static bool read_option(int option, const char *value, struct serve_config *config)
{
	struct serve_limits *limits = &config->limits;

	switch (option) {
	case OPTION_LISTEN:
		return read_address(value, &config->listen_path);
	case OPTION_PRIVATE_FD:
		return read_fd(value, &config->connector_fd);
	case OPTION_OWNER_FD:
		return read_fd(value, &config->owner_fd);
	case OPTION_READY_FD:
		return read_fd(value, &config->ready_fd);
	case OPTION_MAX_FRAME:
		return read_number(value, MP__FRAME_FIRST_MAX, MP__FRAME_MAX, &limits->max_frame);
	case OPTION_MAX_CONNECTIONS:
		return read_number(value, 1, INT32_MAX, &limits->max_connections);
	case OPTION_MAX_OBJECTS:
		return read_number(value, 1, 1u << 30, &limits->max_objects);
	case OPTION_MAX_REFERENCES:
		return read_number(value, 1, 1u << 30, &limits->max_references);
	case OPTION_MAX_OUTPUT:
		return read_number(value, 1, 1u << 30, &limits->max_output);
	case OPTION_STALL_MS:
		return read_number(value, 1, INT32_MAX, &limits->stall_ms);
	default:
		return false; /* getopt has said why */
	}
}

/* The exit code, or -1 to go on. */
static int read_options(int argc, char **argv, struct serve_config *config)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPTION_HELP || option == OPTION_VERSION) {
			if (option == OPTION_HELP)
				fputs(usage, stdout);
			else
				puts("managerd " PACKAGE_VERSION);
			return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
		}
		if (!read_option(option, optarg, config))
			return EXIT_USAGE;
	}
	if (optind < argc) {
		md_log("what is %s? See managerd --help", argv[optind]);
		return EXIT_USAGE;
	}
	if (!config->listen_path == (config->connector_fd < 0)) {
		md_log("either --listen or --private-fd is needed. See managerd --help");
		return EXIT_USAGE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct serve_config config = {
		.connector_fd = -1,
		.owner_fd = -1,
		.ready_fd = -1,
		.limits = SERVE_LIMITS_DEFAULT,
	};

	int code = read_options(argc, argv, &config);
	if (code >= 0)
		return code;
	int r = serve_server_run(&config);
	if (r == 0)
		return EXIT_OK;
	md_log("%s", mp_error_detail());
	return r == -EADDRINUSE ? EXIT_IN_USE : EXIT_FAILED;
}
