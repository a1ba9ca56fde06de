/* SPDX-License-Identifier: MIT */
/* mpctl watch: an object each time it changes. */
#include <config.h>

#include "mpctl/objects.h"
#include "mpctl/value.h"

#include <errno.h>
#include <mp/error.h>

struct watch {
	struct line *line;
	mp_proxy *object;
	const char *key; /* or NULL */
	bool known;      /* `last` is what was printed, or what it was at first */
	mp_obj last;     /* nil: it was not there */
};

/* What it is now; nil for a key that is not there. */
static int look(struct watch *w, mp_obj *ret)
{
	int r = 0;
	int code = object_get(w->line, w->object, w->key, &r, ret);

	if (code != MPCTL_OK)
		return code;
	if (w->key && (r == -ENOENT || r == -ERANGE))
		*ret = mp_nil();
	else if (r < 0)
		return line_fail(w->line, r, w->line->argv[0]);
	return MPCTL_OK;
}

/* A change elsewhere in the object is none under the key. */
static int show(struct watch *w, bool print, bool *ret_shown)
{
	mp_obj value;
	int code = look(w, &value);

	*ret_shown = false;
	if (code != MPCTL_OK)
		return code;
	if (print && !(w->known && w->key && mp_obj_equal(&value, &w->last))) {
		value_print(w->line, &value);
		fflush(stdout);
		*ret_shown = true;
	}
	mp_obj_free(&w->last);
	w->last = value;
	w->known = true;
	return MPCTL_OK;
}

/* The version comes first: what changes between the two is told as a change. */
static int run(struct watch *w)
{
	int64_t left = w->line->count ? w->line->count : INT64_MAX;
	int64_t version;
	bool shown;

	int r = mp_proxy_version(w->object, &version);
	if (r < 0)
		return line_fail(w->line, r, w->line->argv[0]);
	int code = show(w, w->line->now, &shown);
	left -= shown;
	while (code == MPCTL_OK && left > 0 && !mpctl_reader_gone() && !ferror(stdout)) {
		r = mp_proxy_watch(w->object, version, w->line->timeout_ms, &version);
		if (r < 0)
			return line_fail(w->line, r, w->line->argv[0]);
		code = show(w, true, &shown);
		left -= shown;
	}
	return code;
}

static int serve_watch(struct line *line)
{
	struct watch watch = {.line = line, .key = line->argc > 1 ? line->argv[1] : NULL};

	int code = object_open(line, line->argv[0], NULL, &watch.object);
	if (code != MPCTL_OK)
		return code;
	code = run(&watch);
	mp_obj_free(&watch.last);
	mp_proxy_close(watch.object);
	return code;
}

const struct command command_watch = {
	.name = "watch",
	.synopsis = "watch [OPTION...] NAME [KEY]",
	.summary = "print an object each time it changes",
	.help = "As `mpctl get` does; with KEY only when that changes, and null when it is not "
		"there. Many\n"
		"changes may be told as one, the last is never missed. --timeout is how long to "
		"wait for one.\n",
	.serve = serve_watch,
	.waits = true,
	.options = OPTION_STRING | OPTION_COUNT | OPTION_NOW,
	.min = 1,
	.max = 2,
};
