/* SPDX-License-Identifier: MIT */
/*
 * managerd/plan.h - what a transaction is about to make of some objects.
 *
 * Each place that is changed (managerd/places.h) stands here once, as it is to be; only the changes of
 * lists and arrays stand here one after the other, since each may move what the next one means. Nothing
 * of it is seen by others until md_plan_carry_out(), which first gets all the memory that the changes of
 * all objects take, and then makes changes that cannot fail.
 *
 * What a value refers to is kept as soon as it stands in the plan; what is not carried out, lets go. What
 * a user may have is asked for with all that is in the plan already.
 */
#ifndef MANAGERD_PLAN_H
#define MANAGERD_PLAN_H

#include "managerd/places.h"
#include "serve/call.h"

/* How many objects may be in a transaction. */
#define MD_PLAN_OBJECTS 64

struct md_plan {
	struct serve_call *call;
	struct md_change *changes;
	size_t n;
	bool is_done;
};

/* Room for so many changes. False: no memory. */
bool md_plan_init(struct md_plan *plan, struct serve_call *call, size_t max);
void md_plan_deinit(struct md_plan *plan);

/* How many items a list or array has, by the plan. */
size_t md_plan_length(const struct md_plan *plan, const struct serve_object *object,
	const struct md_shape *shape);
/* What is there by the plan, at an index that is less than the length; `room` may take a number. */
bool md_plan_look(const struct md_plan *plan, const struct serve_object *object,
	const struct md_shape *shape, const struct md_place *place, uint8_t room[MD_NUMBER_MAX],
	struct serve_bytes *ret_value);

/*
 * A part of an argument, or a number, is to be there; with `insert` in front of what is there. False: it
 * is answered why it cannot be stored.
 */
bool md_plan_put(struct md_plan *plan, struct serve_object *object, const struct md_place *place,
	struct serve_bytes value, bool insert);
/* The same for a sum: what is to expire still is. */
void md_plan_sum(struct md_plan *plan, struct serve_object *object, const struct md_place *place,
	struct serve_bytes sum);
void md_plan_remove(
	struct md_plan *plan, struct serve_object *object, const struct md_place *place);
/* The key, which is there, goes at this time; 0: it stays. False: answered. */
bool md_plan_end(struct md_plan *plan, struct serve_object *object, const struct md_place *place,
	int64_t expires_ns);

/* Make it so. False: no memory, and nothing has changed. */
bool md_plan_carry_out(struct md_plan *plan);

#endif
