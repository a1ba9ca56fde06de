/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/daemon.h"

#include "base/error.h"
#include "manager/inspect.h"
#include "proto/manager.pb-c.h"

#include <errno.h>

int daemon_objects(
	struct line *line, const mp_objects_options *which, daemon_item *tell, void *data)
{
	uint64_t after = 0;
	int r;

	do {
		mp_obj page;
		r = mp__inspect_objects(line->manager, line_deadline(line), which, &after, &page);
		if (r < 0)
			return r;
		for (size_t i = 0; i < page.count && r == 0; i++) {
			if (page.as.items[i].type == MP_TYPE_DICT)
				r = tell(line, &page.as.items[i], data);
		}
		mp_obj_free(&page);
	} while (r == 0 && after != 0);
	return r;
}

int daemon_clients(struct line *line, mp_obj *ret_list)
{
	return mp__inspect_clients(line->manager, line_deadline(line), ret_list);
}

int daemon_holds(struct line *line, mp_obj *ret_list)
{
	return mp__inspect_holds(line->manager, line_deadline(line), ret_list);
}

int daemon_stats(struct line *line, mp_obj *ret_text)
{
	return mp__inspect_stats(line->manager, line_deadline(line), ret_text);
}

/* Where to go on, 0 if it does not say. */
static uint64_t next_of(const mp_obj *list)
{
	const mp_obj *last = list->count > 0 ? &list->as.items[list->count - 1] : NULL;

	return last && last->type == MP_TYPE_I64 ? (uint64_t)last->as.i64 : 0;
}

int daemon_monitor(struct line *line, int timeout_ms, uint64_t *after, mp_obj *ret_list)
{
	Mp__Monitor op = MP__MONITOR__INIT;
	mp__deadline deadline = line_deadline(line);

	/* Patience is for what waits by itself. */
	deadline.ns += (int64_t)timeout_ms * 1000 * 1000;
	op.after = *after;
	op.timeout_ms = (uint64_t)timeout_ms;
	int r = mp__inspect_list(
		line->manager, &MP__REQUEST(MONITOR, monitor, &op), deadline, ret_list);
	if (r < 0)
		return r;
	uint64_t next = next_of(ret_list);
	if (next == 0) {
		mp_obj_free(ret_list);
		return mp_error_set(-EPROTO, "managerd does not say where to go on");
	}
	*after = next;
	return 0;
}

int daemon_unlink(struct line *line, const char *name)
{
	return mp__inspect_unlink(line->manager, line_deadline(line), name);
}

int daemon_shutdown(struct line *line)
{
	Mp__Shutdown op = MP__SHUTDOWN__INIT;

	return mp__manager_ask(
		line->manager, &MP__REQUEST(SHUTDOWN, shutdown, &op), line_deadline(line), NULL);
}

int64_t item_i64(const mp_obj *item, const char *key)
{
	return mp_obj_i64(mp_obj_get(item, mp_str(key)));
}

double item_f64(const mp_obj *item, const char *key)
{
	return mp_obj_f64(mp_obj_get(item, mp_str(key)));
}

const char *item_str(const mp_obj *item, const char *key)
{
	return mp_obj_str(mp_obj_get(item, mp_str(key)));
}
