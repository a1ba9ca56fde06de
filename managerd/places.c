/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/places.h"

#include "base/cleanup.h"
#include "managerd/dict_expiry.h"
#include "managerd/obj_array.h"
#include "managerd/obj_dict.h"
#include "managerd/obj_list.h"
#include "managerd/obj_namespace.h"
#include "managerd/obj_value.h"
#include "managerd/values.h"
#include "obj/codec.h"

#include <errno.h>
#include <stdlib.h>

/* --- dicts and namespaces, which are kept in a store ---------------------------------------------- */

static bool store_look(const struct serve_object *object, const struct md_place *place,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value)
{
	(void)room;
	return md_dict_get(object->state, md_key_bytes(&place->key), ret_value) == 0;
}

/* The order in which a store takes them: those with an end, others that stay, those that go. */
static int turn_of(const struct md_change *c)
{
	if (c->kind == MD_CHANGE_REMOVE)
		return 2;
	return c->expires_ns > 0 ? 0 : 1;
}

static bool store_prepare(struct md_part *part)
{
	struct serve_store *store = part->object->state;
	size_t n = 0;

	for (int turn = 0; turn <= 2; turn++) {
		for (size_t i = 0; i < part->n; i++) {
			const struct md_change *c = part->changes[i];
			if (turn_of(c) != turn)
				continue;
			part->room[n++] = (struct serve_change){.key = md_key_bytes(&c->place.key),
				.value = c->value,
				.remove = c->kind == MD_CHANGE_REMOVE,
				.keep_value = c->kind == MD_CHANGE_END,
				.expires_ns = c->expires_ns};
		}
	}
	return store->class->prepare(store, part->room, n, &part->batch) == 0;
}

static void store_give_back(struct md_part *part)
{
	struct serve_store *store = part->object->state;

	if (part->batch)
		store->class->abandon(store, part->batch);
}

static void store_commit(struct md_part *part)
{
	struct serve_store *store = part->object->state;

	store->class->commit(store, part->batch);
	md_dict_set_alarm(part->object);
}

/* --- what is kept in items ------------------------------------------------------------------------ */

static bool items_prepare(struct md_part *part)
{
	for (size_t i = 0; i < part->n; i++) {
		struct md_change *c = part->changes[i];
		if (c->kind == MD_CHANGE_REMOVE)
			continue;
		c->item = md_item_new(c->value);
		if (!c->item)
			return false;
	}
	return true;
}

static void items_give_back(struct md_part *part)
{
	for (size_t i = 0; i < part->n; i++)
		free(part->changes[i]->item);
}

/* --- value ---------------------------------------------------------------------------------------- */

static bool value_look(const struct serve_object *object, const struct md_place *place,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value)
{
	(void)place;
	(void)room;
	*ret_value = md_value_now(object);
	return true;
}

static void value_commit(struct md_part *part)
{
	struct md_item *item = part->changes[0]->item;

	md_item_charge(part->object, item);
	md_value_become(part->object, item);
}

/* --- counter -------------------------------------------------------------------------------------- */

static bool counter_look(const struct serve_object *object, const struct md_place *place,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value)
{
	mp_obj number = mp_i64(*md_counter_of(object));

	(void)place;
	ssize_t size = mp__obj_encode_into(&number, NULL, room, MD_NUMBER_MAX);
	*ret_value = (struct serve_bytes){room, (size_t)size};
	return true;
}

static int counter_fit(const struct serve_object *object, struct serve_bytes value,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value)
{
	(void)object;
	(void)room;
	*ret_value = value;
	return serve_type_of(value) == MP_TYPE_I64 ? 0 : -EINVAL;
}

static void counter_commit(struct md_part *part)
{
	const struct md_change *c = part->changes[0];
	mp_obj number;

	(void)mp_obj_decode(c->value.data, c->value.size, &number); /* an i64 needs no memory */
	*md_counter_of(part->object) = number.as.i64;
}

/* --- array ---------------------------------------------------------------------------------------- */

static bool array_look(const struct serve_object *object, const struct md_place *place,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value)
{
	*ret_value = md_array_now(object, place->index, room);
	return true;
}

static void array_commit(struct md_part *part)
{
	for (size_t i = 0; i < part->n; i++)
		md_array_put(part->object, part->changes[i]->place.index, part->changes[i]->value);
}

/* --- list ----------------------------------------------------------------------------------------- */

static size_t list_length(const struct serve_object *object)
{
	return md_list_items(object)->n;
}

static bool list_look(const struct serve_object *object, const struct md_place *place,
	uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value)
{
	(void)room;
	*ret_value = md_item_bytes(*md_items_at(md_list_items(object), place->index));
	return true;
}

/* Each insertion finds a place then: the removals in between give none up. */
static bool list_prepare(struct md_part *part)
{
	size_t n = 0;

	for (size_t i = 0; i < part->n; i++)
		n += part->changes[i]->kind == MD_CHANGE_INSERT;
	return (n == 0 || md_items_reserve(md_list_items(part->object), n)) && items_prepare(part);
}

/* One after the other, as the indexes were meant. */
static void list_commit(struct md_part *part)
{
	struct md_items *items = md_list_items(part->object);

	for (size_t i = 0; i < part->n; i++) {
		const struct md_change *c = part->changes[i];
		size_t at = c->place.index;
		if (c->kind == MD_CHANGE_INSERT)
			(void)md_items_open(items, at, 1); /* there is room */
		else
			md_item_drop(part->object, *md_items_at(items, at));
		if (c->kind == MD_CHANGE_REMOVE) {
			md_items_take(items, at, 1);
			continue;
		}
		md_item_charge(part->object, c->item);
		*md_items_at(items, at) = c->item;
	}
	md_items_trim(items);
}

/* --- all ------------------------------------------------------------------------------------------ */

static const struct md_shape shapes[] = {
	{.class = &md_dict_class,
		.keys = MD_KEYS_ANY,
		.is_stored = true,
		.can_expire = true,
		.look = store_look,
		.prepare = store_prepare,
		.give_back = store_give_back,
		.commit = store_commit},
	{.class = &md_namespace_class,
		.keys = MD_KEYS_NAMES,
		.is_stored = true,
		.look = store_look,
		.prepare = store_prepare,
		.give_back = store_give_back,
		.commit = store_commit},
	{.class = &md_value_class,
		.is_fixed = true,
		.look = value_look,
		.prepare = items_prepare,
		.give_back = items_give_back,
		.commit = value_commit},
	{.class = &md_counter_class,
		.is_fixed = true,
		.takes = "a counter is an integer of 64 bits",
		.look = counter_look,
		.fit = counter_fit,
		.commit = counter_commit},
	{.class = &md_array_class,
		.keys = MD_KEYS_INDEXES,
		.is_fixed = true,
		.takes = "an item of an array is a number of its type",
		.length = md_array_len,
		.look = array_look,
		.fit = md_array_fit,
		.sum = md_array_sum,
		.commit = array_commit},
	{.class = &md_list_class,
		.keys = MD_KEYS_INDEXES,
		.length = list_length,
		.look = list_look,
		.prepare = list_prepare,
		.give_back = items_give_back,
		.commit = list_commit},
};

const struct md_shape *md_shape_of(const struct serve_object *object)
{
	for (size_t i = 0; i < MP__COUNT_OF(shapes); i++) {
		if (shapes[i].class == object->class)
			return &shapes[i];
	}
	return NULL;
}
