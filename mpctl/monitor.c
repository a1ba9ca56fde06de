/* SPDX-License-Identifier: MIT */
/* mpctl monitor: every request, as it happens. */
#include <config.h>

#include "base/error.h"
#include "mpctl/daemon.h"
#include "mpctl/people.h"
#include "mpctl/value.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

/* One question waits so long; the daemon keeps what happens in between. */
#define SLICE_MS 5000

struct monitor {
	struct line *line;
	uint64_t after;
	uint64_t latest; /* number that was printed; 0 none yet */
	int64_t left;
};

static void print_time(double seconds)
{
	char text[32] = "";
	time_t whole = (time_t)seconds;
	struct tm tm;

	if (localtime_r(&whole, &tm))
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%06d", text, (int)((seconds - (double)whole) * 1e6));
}

static void print_event(const mp_obj *event)
{
	const char *method = item_str(event, "method");
	const char *class_name = item_str(event, "class");
	const char *name = item_str(event, "name");
	const mp_obj *key = mp_obj_get(event, mp_str("key"));
	char program[PEOPLE_NAME_SIZE];
	char user[PEOPLE_NAME_SIZE];
	pid_t pid = (pid_t)item_i64(event, "pid");

	people_program(pid, program);
	people_user((uid_t)item_i64(event, "uid"), user);
	print_time(item_f64(event, "time"));
	printf(" %d (%s) %s: %s", (int)pid, program, user,
		method ? method : item_str(event, "operation"));
	if (class_name)
		printf(" %s", class_name);
	if (name) {
		putchar(' ');
		mpctl_print_name(stdout, name);
	} else if (class_name) {
		printf(" (number %" PRId64 ")", item_i64(event, "object"));
	}
	if (key) {
		putchar(' ');
		value_write_json(stdout, key);
	}
	putchar('\n');
}

static void note_gap(struct monitor *m, uint64_t number)
{
	if (m->latest != 0 && number > m->latest + 1)
		fprintf(stderr, "mpctl monitor: %" PRIu64 " requests came too fast to be shown\n",
			number - m->latest - 1);
	m->latest = number;
}

static size_t print_events(struct monitor *m, const mp_obj *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->count && m->left > 0; i++) {
		const mp_obj *event = &list->as.items[i];
		if (event->type != MP_TYPE_DICT)
			continue;
		note_gap(m, (uint64_t)item_i64(event, "number"));
		if (m->line->json) {
			value_write_json(stdout, event);
			putchar('\n');
		} else {
			print_event(event);
		}
		m->left--;
		n++;
	}
	fflush(stdout);
	return n;
}

static int serve_monitor(struct line *line)
{
	struct monitor m = {.line = line, .left = line->count ? line->count : INT64_MAX};
	mp__deadline deadline = mp__deadline_in(line->timeout_ms);

	while (m.left > 0 && !mpctl_reader_gone() && !ferror(stdout)) {
		mp_obj list;
		int ms = mp__deadline_poll_ms(mp__deadline_slice(deadline, SLICE_MS));
		int r = daemon_monitor(line, ms, &m.after, &list);
		if (r < 0)
			return line_fail(line, r, NULL);
		size_t n = print_events(&m, &list);
		mp_obj_free(&list);
		if (n > 0)
			deadline = mp__deadline_in(line->timeout_ms);
		else if (mp__deadline_passed(deadline))
			return line_fail(line,
				mp_error_set(-ETIMEDOUT, "nobody has asked for anything"), NULL);
	}
	return MPCTL_OK;
}

const struct command command_monitor = {
	.name = "monitor",
	.synopsis = "monitor [OPTION...]",
	.summary = "print every request of every client, as it happens",
	.help = "Names and keys are shown, values not. What comes faster than it can be printed is "
		"counted.\n"
		"For managerd's own user and root.\n",
	.serve = serve_monitor,
	.waits = true,
	.options = OPTION_COUNT,
};
