/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "obj/compare.h"

#include "base/error.h"
#include "obj/arena.h"
#include "obj/block.h"

#include <stdlib.h>

#define STACK_ARENA 4096

/* -1, 0, 1 */
#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

/* u64 and i64 are one kind: both have the rank of i64. */
static uint32_t rank(const mp_obj *value)
{
	return value->type == MP_TYPE_U64 ? MP_TYPE_I64 : value->type;
}

static int order_integers(const mp_obj *a, const mp_obj *b)
{
	bool a_negative = a->type == MP_TYPE_I64 && a->as.i64 < 0;
	bool b_negative = b->type == MP_TYPE_I64 && b->as.i64 < 0;

	if (a_negative != b_negative)
		return a_negative ? -1 : 1;
	/* Of the same sign: two's complement orders like unsigned. */
	return ORDER(a->as.u64, b->as.u64);
}

/* IEEE totalOrder: the bits are sign and magnitude; this makes them unsigned in order. */
static uint64_t f64_key(const mp_obj *value)
{
	uint64_t bits;

	memcpy(&bits, &value->as.f64, sizeof(bits));
	return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static int order_text(const mp_obj *a, const mp_obj *b)
{
	size_t common = a->count < b->count ? a->count : b->count;
	int r = common > 0 ? memcmp(a->as.bytes, b->as.bytes, common) : 0;

	return r ? ORDER(r, 0) : ORDER(a->count, b->count);
}

static int fd_number(const mp_obj *value)
{
	const struct mp__held *held = mp__held_fd(value);

	return held ? atomic_load(&held->fd) : (int)value->as.i64;
}

static int order_handles(const mp_obj *a, const mp_obj *b)
{
	if (a->kind != b->kind)
		return ORDER(a->kind, b->kind);
	if (a->kind == MP__HANDLE_FD)
		return ORDER(fd_number(a), fd_number(b));
	return ORDER((uintptr_t)a->as.handle, (uintptr_t)b->as.handle);
}

static int order(const mp_obj *a, const mp_obj *b, size_t depth, bool *ret_in_dict);

static int order_items(const mp_obj *a, const mp_obj *b, size_t depth, bool *ret_in_dict)
{
	size_t common = a->count < b->count ? a->count : b->count;

	/* The same items, or so deep that they are no values: what matters is to come to an end. */
	if (a->as.items == b->as.items)
		return ORDER(a->count, b->count);
	if (depth >= MP_OBJ_MAX_DEPTH)
		return ORDER((uintptr_t)a->as.items, (uintptr_t)b->as.items);
	for (size_t i = 0; i < common; i++) {
		int r = order(&a->as.items[i], &b->as.items[i], depth + 1, ret_in_dict);
		if (r)
			return r;
	}
	return ORDER(a->count, b->count);
}

/* *ret_in_dict is set to true if the difference lies inside a dict. */
static int order(const mp_obj *a, const mp_obj *b, size_t depth, bool *ret_in_dict)
{
	int r;

	if (rank(a) != rank(b))
		return ORDER(rank(a), rank(b));
	switch (a->type) {
	case MP_TYPE_NIL:
		return 0;
	case MP_TYPE_BOOL:
		return ORDER(a->as.boolean, b->as.boolean);
	case MP_TYPE_I64:
	case MP_TYPE_U64:
		return order_integers(a, b);
	case MP_TYPE_F64:
		return ORDER(f64_key(a), f64_key(b));
	case MP_TYPE_STR:
	case MP_TYPE_BYTES:
		return order_text(a, b);
	case MP_TYPE_LIST:
		return order_items(a, b, depth, ret_in_dict);
	case MP_TYPE_DICT:
		r = order_items(a, b, depth, ret_in_dict);
		*ret_in_dict |= r != 0;
		return r;
	case MP_TYPE_HANDLE:
		return order_handles(a, b);
	default:
		return ORDER(a->as.u64, b->as.u64);
	}
}

int mp_obj_compare(const mp_obj *a, const mp_obj *b)
{
	bool in_dict = false;

	if (!a || !b)
		return ORDER(a != NULL, b != NULL);
	return order(a, b, 0, &in_dict);
}

/* --- canonical form ----------------------------------------------------------------------------- */

struct pair {
	mp_obj key;
	mp_obj value;
	size_t position;
};

static int order_pairs(const void *a_, const void *b_)
{
	const struct pair *a = a_;
	const struct pair *b = b_;
	int r = mp_obj_compare(&a->key, &b->key);

	return r ? r : ORDER(a->position, b->position);
}

static int canonical(struct mp__arena *arena, const mp_obj *from, size_t depth, mp_obj *to);

static int canonical_dict(struct mp__arena *arena, const mp_obj *from, size_t depth, mp_obj *to)
{
	size_t n = from->count / 2;
	size_t kept = 0;
	struct pair *pairs = mp__arena_array(arena, n, sizeof(*pairs));
	mp_obj *items = mp__arena_array(arena, 2 * n, sizeof(*items));

	if (!pairs || !items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = canonical(arena, &from->as.items[2 * i], depth + 1, &pairs[i].key);
		if (r == 0)
			r = canonical(
				arena, &from->as.items[2 * i + 1], depth + 1, &pairs[i].value);
		if (r < 0)
			return r;
		pairs[i].position = i;
	}
	qsort(pairs, n, sizeof(*pairs), order_pairs);
	for (size_t i = 0; i < n; i++) {
		if (i + 1 < n && mp_obj_compare(&pairs[i].key, &pairs[i + 1].key) == 0)
			continue; /* a later one has the same key */
		items[kept++] = pairs[i].key;
		items[kept++] = pairs[i].value;
	}
	*to = mp_dict_of(items, kept);
	return 0;
}

static int canonical(struct mp__arena *arena, const mp_obj *from, size_t depth, mp_obj *to)
{
	*to = *from;
	if ((from->type != MP_TYPE_LIST && from->type != MP_TYPE_DICT) || from->count == 0)
		return 0;
	if (depth >= MP_OBJ_MAX_DEPTH)
		return -EOVERFLOW;
	if (from->type == MP_TYPE_DICT)
		return canonical_dict(arena, from, depth, to);

	mp_obj *items = mp__arena_array(arena, from->count, sizeof(*items));
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < from->count; i++) {
		int r = canonical(arena, &from->as.items[i], depth + 1, &items[i]);
		if (r < 0)
			return r;
	}
	to->as.items = items;
	return 0;
}

/* --- equality --------------------------------------------------------------------------------------- */

/* Every pair of `a` that counts stands in `b` too. */
static bool pairs_stand_in(const mp_obj *a, const mp_obj *b, size_t depth);

static bool equal_slowly(const mp_obj *a, const mp_obj *b, size_t depth)
{
	bool in_dict;

	if (a->type != b->type || (a->type != MP_TYPE_LIST && a->type != MP_TYPE_DICT))
		return order(a, b, depth, &in_dict) == 0;
	if (a->as.items == b->as.items && a->count == b->count)
		return true;
	if (depth >= MP_OBJ_MAX_DEPTH)
		return false;
	if (a->type == MP_TYPE_DICT)
		return pairs_stand_in(a, b, depth) && pairs_stand_in(b, a, depth);
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!equal_slowly(&a->as.items[i], &b->as.items[i], depth + 1))
			return false;
	}
	return true;
}

static const mp_obj *find(const mp_obj *dict, const mp_obj *key, size_t depth)
{
	for (size_t i = dict->count / 2; i-- > 0;) {
		if (equal_slowly(&dict->as.items[2 * i], key, depth))
			return &dict->as.items[2 * i + 1];
	}
	return NULL;
}

static bool pairs_stand_in(const mp_obj *a, const mp_obj *b, size_t depth)
{
	for (size_t i = 0; i < a->count / 2; i++) {
		const mp_obj *key = &a->as.items[2 * i];
		const mp_obj *value = find(a, key, depth + 1);
		const mp_obj *other = find(b, key, depth + 1);
		if (!value || !other || !equal_slowly(value, other, depth + 1))
			return false;
	}
	return true;
}

bool mp__obj_equal_slowly(const mp_obj *a, const mp_obj *b)
{
	return equal_slowly(a, b, 0);
}

static bool equal_canonically(const mp_obj *a, const mp_obj *b)
{
	MP__ARENA(arena, STACK_ARENA);
	mp_obj canonical_a;
	mp_obj canonical_b;

	int r = canonical(&arena, a, 0, &canonical_a);
	if (r == 0)
		r = canonical(&arena, b, 0, &canonical_b);
	if (r == 0)
		return mp_obj_compare(&canonical_a, &canonical_b) == 0;
	return r == -ENOMEM && mp__obj_equal_slowly(a, b);
}

bool mp_obj_equal(const mp_obj *a, const mp_obj *b)
{
	bool in_dict = false;

	if (!a || !b)
		return a == b;
	/* The usual key, for the usual search. */
	if (a->type == MP_TYPE_STR && b->type == MP_TYPE_STR)
		return a->count == b->count &&
		       (a->count == 0 || memcmp(a->as.str, b->as.str, a->count) == 0);
	if (order(a, b, 0, &in_dict) == 0)
		return true;
	return in_dict && equal_canonically(a, b);
}
