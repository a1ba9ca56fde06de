/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/plan.h"

#include "base/cleanup.h"
#include "managerd/dict_expiry.h"
#include "managerd/dict_methods.h"
#include "serve/refer.h"

#include <stdlib.h>
#include <string.h>

/* --- looking ------------------------------------------------------------------------------------ */

/* A place stands in the plan once; of lists and arrays none is found. */
static struct md_change *change_of(
	const struct md_plan *plan, const struct serve_object *object, const struct md_place *place)
{
	const struct mp__key *key = &place->key;

	if (md_shape_of(object)->keys == MD_KEYS_INDEXES)
		return NULL;
	for (size_t i = 0; i < plan->n; i++) {
		struct md_change *c = &plan->changes[i];
		if (c->object == object && c->place.key.size == key->size &&
			(key->size == 0 || memcmp(c->place.key.data, key->data, key->size) == 0))
			return c;
	}
	return NULL;
}

size_t md_plan_length(
	const struct md_plan *plan, const struct serve_object *object, const struct md_shape *shape)
{
	size_t length = shape->length(object);

	for (size_t i = 0; i < plan->n; i++) {
		const struct md_change *c = &plan->changes[i];
		if (c->object == object && c->kind == MD_CHANGE_INSERT)
			length++;
		if (c->object == object && c->kind == MD_CHANGE_REMOVE)
			length--;
	}
	return length;
}

/* The change that put what has the index now; NULL: it was at *index before all of them. */
static const struct md_change *trace(
	const struct md_plan *plan, const struct serve_object *object, size_t *index)
{
	for (size_t i = plan->n; i-- > 0;) {
		const struct md_change *c = &plan->changes[i];
		if (c->object != object)
			continue;
		if (c->kind == MD_CHANGE_REMOVE) {
			*index += *index >= c->place.index;
			continue;
		}
		if (*index == c->place.index)
			return c;
		*index -= c->kind == MD_CHANGE_INSERT && *index > c->place.index;
	}
	return NULL;
}

bool md_plan_look(const struct md_plan *plan, const struct serve_object *object,
	const struct md_shape *shape, const struct md_place *place, uint8_t room[MD_NUMBER_MAX],
	struct serve_bytes *ret_value)
{
	struct md_place before = {.key.size = 0};
	const struct md_change *c;

	if (shape->keys == MD_KEYS_INDEXES) {
		before.index = place->index;
		c = trace(plan, object, &before.index);
		place = &before;
	} else {
		c = change_of(plan, object, place);
	}
	if (!c || c->kind == MD_CHANGE_END)
		return shape->look(object, place, room, ret_value);
	*ret_value = c->value;
	return c->kind != MD_CHANGE_REMOVE;
}

/* --- planning ----------------------------------------------------------------------------------- */

bool md_plan_init(struct md_plan *plan, struct serve_call *call, size_t max)
{
	*plan = (struct md_plan){.call = call};
	plan->changes = calloc(max ? max : 1, sizeof(*plan->changes));
	return plan->changes;
}

static void let_go(struct md_change *c)
{
	if (c->is_referred)
		serve_unrefer(c->object, c->value);
	c->is_referred = false;
}

void md_plan_deinit(struct md_plan *plan)
{
	for (size_t i = 0; i < plan->n && !plan->is_done; i++)
		let_go(&plan->changes[i]);
	free(plan->changes);
}

/* The change of that place, made if there is none yet: there is room for one a step. */
static struct md_change *change_for(struct md_plan *plan, struct serve_object *object,
	const struct md_place *place, enum md_change_kind kind)
{
	struct md_change *c = change_of(plan, object, place);

	if (!c) {
		c = &plan->changes[plan->n++];
		*c = (struct md_change){
			.object = object, .place = *place, .expires_ns = SERVE_STORE_AS_BEFORE};
		if (place->key.data == place->key.small)
			c->place.key.data = c->place.key.small;
	}
	let_go(c);
	c->kind = kind;
	return c;
}

/*
 * So much more at a place, besides what is in the plan for other places of objects of the same user.
 * False: answered.
 */
static bool may_grow(struct md_plan *plan, const struct serve_object *object,
	const struct md_place *place, size_t more)
{
	const struct md_change *same = change_of(plan, object, place);

	for (size_t i = 0; i < plan->n; i++) {
		const struct md_change *c = &plan->changes[i];
		if (c == same || c->object->account != object->account)
			continue;
		more += c->is_referred ? c->value.size : 0;
		more += c->expires_ns > 0 ? 2 * c->place.key.size : 0;
	}
	return serve_may_grow(plan->call, more);
}

/* References are counted for the object in which they are about to stand. */
static bool refer(struct md_plan *plan, struct serve_object *object, const struct md_place *place,
	struct serve_bytes value)
{
	struct serve_object *own = plan->call->object;

	plan->call->object = object;
	bool good = may_grow(plan, object, place, value.size) &&
		    (md_shape_of(object)->is_stored ? md_dict_refer(plan->call, value)
						    : serve_refer(plan->call, value));
	plan->call->object = own;
	return good;
}

static void hold(struct md_change *c, struct serve_bytes number)
{
	memcpy(c->number, number.data, number.size);
	c->value = (struct serve_bytes){c->number, number.size};
}

bool md_plan_put(struct md_plan *plan, struct serve_object *object, const struct md_place *place,
	struct serve_bytes value, bool insert)
{
	if (!refer(plan, object, place, value))
		return false;
	struct md_change *c =
		change_for(plan, object, place, insert ? MD_CHANGE_INSERT : MD_CHANGE_PUT);
	c->value = value;
	c->is_referred = true;
	c->expires_ns = 0;
	return true;
}

void md_plan_sum(struct md_plan *plan, struct serve_object *object, const struct md_place *place,
	struct serve_bytes sum)
{
	hold(change_for(plan, object, place, MD_CHANGE_PUT), sum);
}

void md_plan_remove(struct md_plan *plan, struct serve_object *object, const struct md_place *place)
{
	change_for(plan, object, place, MD_CHANGE_REMOVE)->expires_ns = 0;
}

bool md_plan_end(struct md_plan *plan, struct serve_object *object, const struct md_place *place,
	int64_t expires_ns)
{
	struct md_change *c = change_of(plan, object, place);
	struct serve_object *own = plan->call->object;

	plan->call->object = object;
	bool good = expires_ns == 0 || (may_grow(plan, object, place, 2 * place->key.size) &&
					       md_dict_need_alarm(plan->call));
	plan->call->object = own;
	if (!good)
		return false;
	/* A value that is to be there has its end with it. */
	if (!c)
		c = change_for(plan, object, place, MD_CHANGE_END);
	c->expires_ns = expires_ns;
	return true;
}

/* --- carrying out ------------------------------------------------------------------------------- */

/* All changes of the object of this one, and what they take; *n_used of `all` and `room` are in use. */
static bool prepare(struct md_plan *plan, size_t first, struct md_change **all,
	struct serve_change *room, size_t *n_used, struct md_part *part)
{
	struct serve_object *object = plan->changes[first].object;

	*part = (struct md_part){.object = object,
		.shape = md_shape_of(object),
		.changes = all + *n_used,
		.room = room + *n_used};
	for (size_t i = first; i < plan->n; i++) {
		struct md_change *c = &plan->changes[i];
		if (c->object != object)
			continue;
		c->is_taken = true;
		part->changes[part->n++] = c;
	}
	*n_used += part->n;
	return !part->shape->prepare || part->shape->prepare(part);
}

bool md_plan_carry_out(struct md_plan *plan)
{
	MP__AUTO_FREE struct serve_change *room = calloc(plan->n + 1, sizeof(*room));
	MP__AUTO_FREE struct md_change **all = calloc(plan->n + 1, sizeof(struct md_change *));
	struct md_part parts[MD_PLAN_OBJECTS];
	bool good = room && all;
	size_t n_used = 0;
	size_t n = 0;

	for (size_t i = 0; i < plan->n && good; i++) {
		if (!plan->changes[i].is_taken)
			good = prepare(plan, i, all, room, &n_used, &parts[n++]);
	}
	for (size_t i = 0; i < n; i++) {
		if (good)
			parts[i].shape->commit(&parts[i]);
		else if (parts[i].shape->give_back)
			parts[i].shape->give_back(&parts[i]);
	}
	/* Who watches one of them sees all that was done. */
	for (size_t i = 0; i < n && good; i++)
		serve_changed(parts[i].object);
	plan->is_done = good;
	return good;
}
