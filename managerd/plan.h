/* SPDX-License-Identifier: MIT */
/*
 * managerd/plan.h - what a transaction is about to make of some objects.
 *
 * Each place that is changed, a key of a dict or the inside of a value or counter, stands here once, as
 * it is to be. Nothing of it is seen by others until md_plan_carry_out(), which first gets all the memory
 * that the changes of all objects take, and then makes changes that cannot fail.
 *
 * What a value refers to is kept as soon as it stands in the plan; what is not carried out, lets go.
 */
#ifndef MANAGERD_PLAN_H
#define MANAGERD_PLAN_H

#include "managerd/compare.h"
#include "serve/call.h"

/* How many objects may be in a transaction. */
#define MD_PLAN_OBJECTS 64

struct md_change;

struct md_plan {
	struct serve_call *call;
	struct md_change *changes;
	size_t n;
	bool is_done;
};

/* Room for so many changes. False: no memory. */
bool md_plan_init(struct md_plan *plan, struct serve_call *call, size_t max);
void md_plan_deinit(struct md_plan *plan);

/* Can keys of it be in a plan; can anything? */
bool md_plan_is_dict(const struct serve_object *object);
bool md_plan_has_places(const struct serve_object *object);

/* What is there by the plan; `room` may take a number. The key is of size 0 where there is none. */
bool md_plan_look(const struct md_plan *plan, const struct serve_object *object,
	const struct mp__key *key, uint8_t room[MD_NUMBER_MAX], struct serve_bytes *ret_value);

/*
 * A part of an argument, or a sum, is to be there. False: that is not what a counter can be, or it is
 * answered why it cannot be stored (call->refused).
 */
bool md_plan_set(struct md_plan *plan, struct serve_object *object, const struct mp__key *key,
	struct serve_bytes value);
bool md_plan_sum(struct md_plan *plan, struct serve_object *object, const struct mp__key *key,
	struct serve_bytes sum);
void md_plan_delete(struct md_plan *plan, struct serve_object *object, const struct mp__key *key);

/* Make it so. False: no memory, and nothing has changed. */
bool md_plan_carry_out(struct md_plan *plan);

#endif
