/* SPDX-License-Identifier: MIT */
/* mpctl queue put, queue get: work from one script to another. */
#include <config.h>

#include "mpctl/objects.h"
#include "mpctl/value.h"

#include <errno.h>
#include <mp/error.h>
#include <mp/served_queue.h>
#include <string.h>

/* Whoever comes first makes it. */
static int open_queue(struct line *line, mp_proxy **ret)
{
	static const struct {
		const char *name;
		int order;
	} orders[] = {
		{"fifo", MP_QUEUE_FIFO}, {"lifo", MP_QUEUE_LIFO}, {"priority", MP_QUEUE_PRIORITY}};
	mp_queue_options options = {
		.size = sizeof(options),
		.maxsize = (size_t)line->maxsize,
		.joinable = line->joinable,
	};
	size_t i = 0;

	while (line->order && i < 3 && strcmp(line->order, orders[i].name) != 0)
		i++;
	if (i == 3)
		return mpctl_usage(line->command, "the order of a queue is fifo, lifo or priority");
	options.order = orders[i].order;
	int r = mp_manager_queue(line->manager, line->argv[0], &options, ret);
	return r < 0 ? line_fail(line, r, line->argv[0]) : MPCTL_OK;
}

static int put(struct line *line, mp_proxy *queue, mp_obj *value)
{
	int r = line->priority ? mp_served_queue_put_priority(
					 queue, *value, line->priority, line->timeout_ms)
			       : mp_served_queue_put(queue, *value, line->timeout_ms);

	mp_obj_free(value);
	return r < 0 ? line_fail(line, r, line->argv[0]) : MPCTL_OK;
}

static int put_lines(struct line *line, mp_proxy *queue)
{
	bool end = false;
	int code;

	do {
		mp_obj value = mp_nil();
		code = value_read_line(line, &end, &value);
		if (code == MPCTL_OK && !end)
			code = put(line, queue, &value);
	} while (code == MPCTL_OK && !end);
	return code;
}

static int serve_put(struct line *line)
{
	mp_proxy *queue = NULL;
	int code = open_queue(line, &queue);

	if (code != MPCTL_OK)
		return code;
	if (line->argc == 2 && value_is_stdin(line->argv[1]))
		code = put_lines(line, queue);
	else
		for (int i = 1; i < line->argc && code == MPCTL_OK; i++) {
			mp_obj value = mp_nil();
			code = value_read(line, line->argv[i], &value);
			if (code == MPCTL_OK)
				code = put(line, queue, &value);
		}
	mp_proxy_close(queue);
	if (code == MPCTL_OK && line->json)
		puts("{\"ok\": true}");
	return code;
}

static int serve_get(struct line *line)
{
	mp_proxy *queue = NULL;
	int code = open_queue(line, &queue);

	if (code != MPCTL_OK)
		return code;
	for (int64_t i = 0; i < (line->count ? line->count : 1) && code == MPCTL_OK; i++) {
		mp_obj value = mp_nil();
		int r = mp_served_queue_get(queue, line->timeout_ms, &value);
		if (r < 0) {
			code = line_fail(line, r, line->argv[0]);
			break;
		}
		value_print(line, &value);
		mp_obj_free(&value);
		/* Who got it has it: what cannot be written is not to be followed by more. */
		if (fflush(stdout) != 0)
			code = MPCTL_FAILED;
	}
	mp_proxy_close(queue);
	return code;
}

#define OPTIONS_OF_NEW (OPTION_ORDER | OPTION_MAXSIZE | OPTION_JOINABLE)

const struct command command_queue_get = {
	.name = "queue get",
	.synopsis = "queue get [OPTION...] NAME",
	.summary = "take the next value out of a queue",
	.help = "The queue is made if there is none. --timeout is how long to wait for each value, "
		"without it\n"
		"for ever, with 0 not at all.\n",
	.serve = serve_get,
	.waits = true,
	.options = OPTION_COUNT | OPTIONS_OF_NEW,
	.min = 1,
	.max = 1,
};

const struct command command_queue_put = {
	.name = "queue put",
	.synopsis = "queue put [OPTION...] NAME VALUE...",
	.summary = "put values into a queue",
	.help = "The queue is made if there is none. VALUE - alone is standard input, a value each "
		"line.\n"
		"--timeout is how long to wait while it is full, for each.\n",
	.serve = serve_put,
	.waits = true,
	.options = OPTION_STRING | OPTION_BYTES | OPTION_PRIORITY | OPTIONS_OF_NEW,
	.min = 2,
	.max = 1000000,
	.options_first = true,
};
