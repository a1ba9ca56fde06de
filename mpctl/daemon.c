/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/daemon.h"

#include "base/error.h"
#include "manager/manager.h"
#include "proto/manager.pb-c.h"

#include <errno.h>
#include <string.h>

static int ask(struct line *line, Mp__Request *request, mp_obj *ret)
{
	return mp__manager_ask(line->manager, request, line_deadline(line), ret);
}

/* Patience is for what waits by itself. */
static int ask_list(struct line *line, Mp__Request *request, int patience_ms, mp_obj *ret)
{
	mp__deadline deadline = line_deadline(line);
	mp_obj list;

	deadline.ns += (int64_t)patience_ms * 1000 * 1000;
	int r = mp__manager_ask(line->manager, request, deadline, &list);
	if (r < 0)
		return r;
	if (list.type != MP_TYPE_LIST) {
		mp_obj_free(&list);
		return mp_error_set(-EPROTO, "managerd answered with something else than a list");
	}
	*ret = list;
	return 0;
}

static int tell_page(struct line *line, const mp_obj *page, daemon_item *tell, void *data)
{
	int r = 0;

	for (size_t i = 0; i < page->count && r == 0; i++) {
		if (page->as.items[i].type == MP_TYPE_DICT)
			r = tell(line, &page->as.items[i], data);
	}
	return r;
}

/* The number behind the last one, 0 at the end. */
static uint64_t next_page(const mp_obj *page)
{
	const mp_obj *last = page->count > 0 ? &page->as.items[page->count - 1] : NULL;

	return last && last->type == MP_TYPE_I64 ? (uint64_t)last->as.i64 : 0;
}

int daemon_objects(
	struct line *line, const struct daemon_objects *which, daemon_item *tell, void *data)
{
	Mp__ListObjects op = MP__LIST_OBJECTS__INIT;
	int r;

	if (which->prefix)
		op.prefix = (ProtobufCBinaryData){strlen(which->prefix), (uint8_t *)which->prefix};
	if (which->class_name)
		op.class_name = (char *)which->class_name;
	op.nameless = which->nameless;
	Mp__Request request = MP__REQUEST(LIST_OBJECTS, list_objects, &op);
	do {
		mp_obj page;
		r = ask_list(line, &request, 0, &page);
		if (r < 0)
			return r;
		uint64_t next = next_page(&page);
		r = tell_page(line, &page, tell, data);
		mp_obj_free(&page);
		/* Whoever answers with the same again must not keep us for ever. */
		if (next != 0 && next <= op.after)
			return mp_error_set(-EPROTO, "managerd's list of objects has no end");
		op.after = next;
	} while (r == 0 && op.after != 0);
	return r;
}

int daemon_clients(struct line *line, mp_obj *ret_list)
{
	Mp__ListClients op = MP__LIST_CLIENTS__INIT;

	return ask_list(line, &MP__REQUEST(LIST_CLIENTS, list_clients, &op), 0, ret_list);
}

int daemon_holds(struct line *line, mp_obj *ret_list)
{
	Mp__ListHolds op = MP__LIST_HOLDS__INIT;

	return ask_list(line, &MP__REQUEST(LIST_HOLDS, list_holds, &op), 0, ret_list);
}

int daemon_stats(struct line *line, mp_obj *ret_text)
{
	Mp__Stats op = MP__STATS__INIT;
	mp_obj text;

	int r = ask(line, &MP__REQUEST(STATS, stats, &op), &text);
	if (r < 0)
		return r;
	if (text.type != MP_TYPE_STR) {
		mp_obj_free(&text);
		return mp_error_set(-EPROTO, "managerd answered with something else than a text");
	}
	*ret_text = text;
	return 0;
}

int daemon_monitor(struct line *line, int timeout_ms, uint64_t *after, mp_obj *ret_list)
{
	Mp__Monitor op = MP__MONITOR__INIT;

	op.after = *after;
	op.timeout_ms = (uint64_t)timeout_ms;
	int r = ask_list(line, &MP__REQUEST(MONITOR, monitor, &op), timeout_ms, ret_list);
	if (r < 0)
		return r;
	uint64_t next = next_page(ret_list);
	if (next == 0) {
		mp_obj_free(ret_list);
		return mp_error_set(-EPROTO, "managerd does not say where to go on");
	}
	*after = next;
	return 0;
}

int daemon_unlink(struct line *line, const char *name)
{
	Mp__Unlink op = MP__UNLINK__INIT;

	op.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	return ask(line, &MP__REQUEST(UNLINK, unlink, &op), NULL);
}

int daemon_shutdown(struct line *line)
{
	Mp__Shutdown op = MP__SHUTDOWN__INIT;

	return ask(line, &MP__REQUEST(SHUTDOWN, shutdown, &op), NULL);
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
