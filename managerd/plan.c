/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/plan.h"

#include "base/cleanup.h"
#include "managerd/dict_methods.h"
#include "managerd/obj_dict.h"
#include "managerd/obj_value.h"
#include "managerd/values.h"
#include "obj/codec.h"
#include "serve/refer.h"

#include <stdlib.h>
#include <string.h>

struct md_change {
	struct serve_object *object;
	struct mp__key key;
	struct serve_bytes value;
	uint8_t number[MD_NUMBER_MAX]; /* `value`, if it is a sum */
	struct md_item *item;          /* `value`, about to be in a served value */
	bool is_there;
	bool is_kept;     /* a sum: if the key is to expire, it still is */
	bool is_referred; /* what the value refers to is kept for it */
	bool is_taken;    /* its object is being dealt with */
};

bool md_plan_is_dict(const struct serve_object *object)
{
	return object->class == &md_dict_class;
}

static bool is_counter(const struct serve_object *object)
{
	return object->class == &md_counter_class;
}

bool md_plan_has_places(const struct serve_object *object)
{
	return md_plan_is_dict(object) || is_counter(object) || object->class == &md_value_class;
}

/* --- looking ------------------------------------------------------------------------------------ */

static struct md_change *change_of(
	const struct md_plan *plan, const struct serve_object *object, const struct mp__key *key)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct md_change *c = &plan->changes[i];
		if (c->object == object && c->key.size == key->size &&
			(key->size == 0 || memcmp(c->key.data, key->data, key->size) == 0))
			return c;
	}
	return NULL;
}

bool md_plan_look(const struct md_plan *plan, const struct serve_object *object,
	const struct mp__key *key, uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value)
{
	const struct md_change *c = change_of(plan, object, key);

	if (c) {
		*ret_value = c->value;
		return c->is_there;
	}
	if (md_plan_is_dict(object))
		return md_dict_get(object->state, md_key_bytes(key), ret_value) == 0;
	if (is_counter(object)) {
		mp_obj number = mp_i64(*md_counter_of(object));
		ssize_t size = mp__obj_encode_into(&number, NULL, room, MD_NUMBER_MAX);
		*ret_value = (struct serve_bytes){room, (size_t)size};
	} else {
		*ret_value = md_value_now(object);
	}
	return true;
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
static struct md_change *change_for(
	struct md_plan *plan, struct serve_object *object, const struct mp__key *key)
{
	struct md_change *c = change_of(plan, object, key);

	if (!c) {
		c = &plan->changes[plan->n++];
		*c = (struct md_change){.object = object, .key = *key, .is_kept = true};
		if (key->data == key->small)
			c->key.data = c->key.small;
	}
	return c;
}

/* References are counted for the object in which they are about to stand. */
static bool refer(struct md_plan *plan, struct serve_object *object, struct serve_bytes value)
{
	struct serve_object *own = plan->call->object;

	plan->call->object = object;
	bool good = md_plan_is_dict(object) ? md_dict_refer(plan->call, value)
					    : serve_may_grow(plan->call, value.size) &&
						      serve_refer(plan->call, value);
	plan->call->object = own;
	return good;
}

static bool may_hold(const struct serve_object *object, struct serve_bytes value)
{
	return !is_counter(object) || serve_type_of(value) == MP_TYPE_I64;
}

bool md_plan_set(struct md_plan *plan, struct serve_object *object, const struct mp__key *key,
	struct serve_bytes value)
{
	if (!may_hold(object, value) || !refer(plan, object, value))
		return false;
	struct md_change *c = change_for(plan, object, key);
	let_go(c);
	c->value = value;
	c->is_there = c->is_referred = true;
	c->is_kept = false;
	return true;
}

bool md_plan_sum(struct md_plan *plan, struct serve_object *object, const struct mp__key *key,
	struct serve_bytes sum)
{
	if (!may_hold(object, sum))
		return false;
	struct md_change *c = change_for(plan, object, key);
	let_go(c);
	memcpy(c->number, sum.data, sum.size);
	c->value = (struct serve_bytes){c->number, sum.size};
	c->is_there = true;
	return true;
}

void md_plan_delete(struct md_plan *plan, struct serve_object *object, const struct mp__key *key)
{
	struct md_change *c = change_for(plan, object, key);

	let_go(c);
	c->is_there = c->is_kept = false;
}

/* --- carrying out ------------------------------------------------------------------------------- */

/* What is ready of one object. */
struct part {
	struct serve_object *object;
	struct serve_batch *batch; /* of a dict */
	struct md_change *change;  /* of others, which have one place */
};

/* The changes of the object's dict, those that put first: the store makes room for them all. */
static size_t collect(
	struct md_plan *plan, const struct serve_object *object, struct serve_change *changes)
{
	size_t n = 0;

	for (int remove = 0; remove <= 1; remove++) {
		for (size_t i = 0; i < plan->n; i++) {
			const struct md_change *c = &plan->changes[i];
			if (c->object != object || c->is_there == remove)
				continue;
			changes[n++] = (struct serve_change){.key = md_key_bytes(&c->key),
				.value = c->value,
				.remove = remove,
				.expires_ns = c->is_kept ? SERVE_STORE_AS_BEFORE : 0};
		}
	}
	return n;
}

/* Get what the changes of the object of this one take; *n_changes are in use. */
static bool prepare(struct md_plan *plan, struct md_change *first, struct serve_change *changes,
	size_t *n_changes, struct part *part)
{
	struct serve_object *object = first->object;
	struct serve_store *dict = object->state;

	*part = (struct part){.object = object, .change = first};
	for (size_t i = 0; i < plan->n; i++)
		plan->changes[i].is_taken |= plan->changes[i].object == object;
	if (is_counter(object))
		return true;
	if (!md_plan_is_dict(object)) {
		first->item = md_item_new(first->value);
		return first->item;
	}
	changes += *n_changes;
	size_t n = collect(plan, object, changes);
	*n_changes += n;
	return dict->class->prepare(dict, changes, n, &part->batch) == 0;
}

static void give_back(const struct part *part)
{
	const struct serve_store *dict = part->object->state;

	if (part->batch)
		dict->class->abandon(part->object->state, part->batch);
	free(part->change->item);
}

static void commit(const struct part *part)
{
	const struct serve_store *dict = part->object->state;
	mp_obj number;

	if (part->batch) {
		dict->class->commit(part->object->state, part->batch);
	} else if (is_counter(part->object)) {
		(void)mp_obj_decode(part->change->value.data, part->change->value.size, &number);
		*md_counter_of(part->object) = number.as.i64;
	} else {
		md_item_charge(part->object, part->change->item);
		md_value_become(part->object, part->change->item);
	}
}

bool md_plan_carry_out(struct md_plan *plan)
{
	MP__AUTO_FREE struct serve_change *changes = calloc(plan->n + 1, sizeof(*changes));
	struct part parts[MD_PLAN_OBJECTS];
	size_t n_changes = 0;
	size_t n = 0;
	bool good = changes;

	for (size_t i = 0; i < plan->n && good; i++) {
		if (!plan->changes[i].is_taken)
			good = prepare(plan, &plan->changes[i], changes, &n_changes, &parts[n++]);
	}
	for (size_t i = 0; i < n; i++) {
		if (good)
			commit(&parts[i]);
		else
			give_back(&parts[i]);
	}
	/* Who watches one of them sees all that was done. */
	for (size_t i = 0; i < n && good; i++)
		serve_changed(parts[i].object);
	plan->is_done = good;
	return good;
}
