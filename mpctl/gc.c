/* SPDX-License-Identifier: MIT */
/* mpctl gc: named shared memory whose users are all dead. */
#include <config.h>

#include "mpctl/command.h"
#include "mpctl/people.h"

#include <getopt.h>
#include <inttypes.h>
#include <mp/block.h>
#include <mp/error.h>
#include <stdio.h>

struct run {
	bool remove;
	bool json;
	int listed;
	int failed;
};

static void print_json(const struct run *run, const mp_shm_leftover *l)
{
	printf("{\"name\":");
	mpctl_json_string(l->name);
	printf(",\"kind\":\"%s\",\"bytes\":%" PRIu64 ",\"age_ms\":%" PRId64 ",\"creator\":%d"
	       ",\"program\":",
		l->kind, l->bytes, l->age_ms, (int)l->creator);
	mpctl_json_string(l->program);
	printf(",\"removed\":%s}\n", run->remove && l->result == 0 ? "true" : "false");
}

static void print_line(const mp_shm_leftover *l)
{
	char age[PEOPLE_NAME_SIZE];

	people_age((double)l->age_ms / 1000, age);
	printf("%-12s %10" PRIu64 " KiB  %8s  of ", l->kind, (l->bytes + 1023) / 1024, age);
	mpctl_print_name(stdout, l->program);
	printf(" (%d)  ", (int)l->creator);
	mpctl_print_name(stdout, l->name);
	putchar('\n');
}

static void found(const mp_shm_leftover *l, void *data)
{
	struct run *run = data;

	run->listed++;
	if (run->json)
		print_json(run, l);
	else
		print_line(l);
	if (l->result < 0) {
		run->failed++;
		fprintf(stderr, "mpctl gc: removing ");
		mpctl_print_name(stderr, l->name);
		fprintf(stderr, ": %s\n", mp_strerror(l->result));
	}
}

static int run_gc(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"json", no_argument, NULL, 'j'},
		{"remove", no_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	struct run run = {0};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return mpctl_help(&command_gc);
		if (option == '?')
			return mpctl_usage(&command_gc, "no option %s", argv[optind - 1]);
		run.json |= option == 'j';
		run.remove |= option == 'r';
	}
	if (optind < argc)
		return mpctl_usage(&command_gc, "it takes no arguments: %s", argv[optind]);
	int r = mp_shm_gc(run.remove ? MP_SHM_REMOVE : 0, found, &run);
	if (r < 0) {
		fprintf(stderr, "mpctl gc: %s\n", mp_error_detail());
		return MPCTL_FAILED;
	}
	if (!run.json && run.listed > 0 && !run.remove)
		printf("%d left behind; `mpctl gc --remove` removes them\n", run.listed);
	return run.failed > 0 ? MPCTL_FAILED : MPCTL_OK;
}

const struct command command_gc = {
	.name = "gc",
	.synopsis = "gc [--remove] [--json]",
	.summary = "named shared memory whose users are all dead",
	.help = "  --remove    remove it, too\n"
		"  --json      one JSON object a line\n",
	.run = run_gc,
};
