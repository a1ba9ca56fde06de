/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/inspect.h"

#include "base/error.h"
#include "base/options.h"
#include "manager/argument.h"
#include "obj/utf8.h"

#include <string.h>

int mp__inspect_list(
	struct mp_manager *manager, Mp__Request *request, mp__deadline deadline, mp_obj *ret_list)
{
	mp_obj list;

	int r = mp__manager_ask(manager, request, deadline, &list);
	if (r < 0)
		return r;
	if (list.type != MP_TYPE_LIST) {
		mp_obj_free(&list);
		return mp__argument_unexpected();
	}
	*ret_list = list;
	return 0;
}

/* The number behind the last dict says where to go on, and is no part of the list; 0 at the end. */
static int take_next(mp_obj *page, uint64_t *after)
{
	const mp_obj *last = page->count > 0 ? &page->as.items[page->count - 1] : NULL;
	uint64_t next = 0;

	if (last && last->type == MP_TYPE_I64) {
		next = (uint64_t)last->as.i64;
		page->count--;
		/* Whoever answers with the same again must not keep us for ever. */
		if (next <= *after)
			return mp_error_set(-EPROTO, "managerd's list of objects has no end");
	}
	*after = next;
	return 0;
}

static bool is_text(const char *text)
{
	return !text || mp__utf8_valid(text, strlen(text));
}

int mp__inspect_objects(struct mp_manager *manager, mp__deadline deadline,
	const mp_objects_options *which, uint64_t *after, mp_obj *ret_list)
{
	Mp__ListObjects op = MP__LIST_OBJECTS__INIT;
	mp_obj page;

	if (!is_text(which->prefix) || !is_text(which->type))
		return mp_error_set(-EILSEQ, "looking for objects by what is not UTF-8");
	if (which->prefix)
		op.prefix = (ProtobufCBinaryData){strlen(which->prefix), (uint8_t *)which->prefix};
	if (which->type)
		op.class_name = (char *)which->type;
	op.nameless = which->nameless;
	op.after = *after;
	int r = mp__inspect_list(
		manager, &MP__REQUEST(LIST_OBJECTS, list_objects, &op), deadline, &page);
	if (r < 0)
		return r;
	r = take_next(&page, after);
	if (r < 0)
		mp_obj_free(&page);
	else
		*ret_list = page;
	return r;
}

int mp__inspect_clients(struct mp_manager *manager, mp__deadline deadline, mp_obj *ret_list)
{
	Mp__ListClients op = MP__LIST_CLIENTS__INIT;

	return mp__inspect_list(
		manager, &MP__REQUEST(LIST_CLIENTS, list_clients, &op), deadline, ret_list);
}

int mp__inspect_holds(struct mp_manager *manager, mp__deadline deadline, mp_obj *ret_list)
{
	Mp__ListHolds op = MP__LIST_HOLDS__INIT;

	return mp__inspect_list(
		manager, &MP__REQUEST(LIST_HOLDS, list_holds, &op), deadline, ret_list);
}

int mp__inspect_stats(struct mp_manager *manager, mp__deadline deadline, mp_obj *ret_text)
{
	Mp__Stats op = MP__STATS__INIT;
	mp_obj text;

	int r = mp__manager_ask(manager, &MP__REQUEST(STATS, stats, &op), deadline, &text);
	if (r < 0)
		return r;
	if (text.type != MP_TYPE_STR) {
		mp_obj_free(&text);
		return mp__argument_unexpected();
	}
	*ret_text = text;
	return 0;
}

int mp__inspect_unlink(struct mp_manager *manager, mp__deadline deadline, const char *name)
{
	Mp__Unlink op = MP__UNLINK__INIT;

	op.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)name};
	return mp__manager_ask(manager, &MP__REQUEST(UNLINK, unlink, &op), deadline, NULL);
}

/* --- public ----------------------------------------------------------------------------------- */

static int nowhere(const char *what)
{
	return mp_error_set(-EINVAL, "%s of a managerd: no manager, or no place for them", what);
}

int mp_manager_objects(
	mp_manager *manager, const mp_objects_options *options, uint64_t *after, mp_obj *ret_list)
{
	mp_objects_options known;

	if (!manager || !after || !ret_list)
		return nowhere("objects");
	int r = mp__options_load(&known, sizeof(known), 0, options);
	if (r < 0)
		return r;
	return mp__inspect_objects(manager, mp__manager_deadline(manager), &known, after, ret_list);
}

int mp_manager_clients(mp_manager *manager, mp_obj *ret_list)
{
	if (!manager || !ret_list)
		return nowhere("clients");
	return mp__inspect_clients(manager, mp__manager_deadline(manager), ret_list);
}

int mp_manager_holds(mp_manager *manager, mp_obj *ret_list)
{
	if (!manager || !ret_list)
		return nowhere("holds");
	return mp__inspect_holds(manager, mp__manager_deadline(manager), ret_list);
}

int mp_manager_stats(mp_manager *manager, mp_obj *ret_text)
{
	if (!manager || !ret_text)
		return nowhere("figures");
	return mp__inspect_stats(manager, mp__manager_deadline(manager), ret_text);
}

int mp_manager_unlink(mp_manager *manager, const char *name)
{
	if (!manager || !name)
		return mp_error_set(-EINVAL, "unlinking a name: no manager, or no name");
	return mp__inspect_unlink(manager, mp__manager_deadline(manager), name);
}
