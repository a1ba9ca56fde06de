/* SPDX-License-Identifier: MIT */
/*
 * wire/value.h - encoded mp.Values as the manager protocol uses them.
 *
 * Keys are compared as bytes, so they have one form: integers that fit are i64, -0.0 is 0.0,
 * lengths and numbers take no more bytes than they need. The client makes keys so, and the daemon again,
 * because it trusts no client. Lists and dicts are assembled from, and taken apart into, encoded
 * items without decoding these.
 */
#ifndef MP_WIRE_VALUE_H
#define MP_WIRE_VALUE_H

#include "obj/codec.h"

#include <mp/obj.h>

/* A stored value stands one level deeper in the answer to items(). */
#define MP__STORED_MAX_DEPTH (MP_OBJ_MAX_DEPTH - 1)

/* A key in canonical form: in `small`, or in the bytes that it was made from. */
struct mp__key {
	const void *data;
	size_t size;
	uint8_t small[16];
};

/*
 * The canonical form of an encoded key; may write to `data`. -EBADMSG not a value, -EINVAL not a
 * key (nil, NaN, list, dict), -ENOTSUP a handle.
 */
int mp__key_canonical(uint8_t *data, size_t size, struct mp__key *ret_key);

/* The mp_obj that is encoded for this key. -EINVAL as above. */
int mp__key_normal(mp_obj key, mp_obj *ret_key);

/* Is this what may be stored? -EBADMSG, -EOVERFLOW, -ENOTSUP. */
int mp__value_check_stored(const void *data, size_t size, struct mp__value_info *ret_info);

/* Bytes that a value takes as an item of a list or dict. */
size_t mp__item_size(size_t size);
/* Write it there; the position behind it. */
uint8_t *mp__item_put(uint8_t *at, const void *data, size_t size);

/* What stands before the items of a list or dict that take `items` bytes: at most 6 bytes. */
#define MP__LIST_HEAD_MAX 6
size_t mp__list_head_size(size_t items);
uint8_t *mp__list_head_put(uint8_t *at, bool is_dict, size_t items);

/* The items of an encoded list or dict that has been checked. */
struct mp__items {
	uint8_t *at;
	uint8_t *end;
};
struct mp__items mp__items_of(uint8_t *data, size_t size);
bool mp__items_next(struct mp__items *items, uint8_t **ret_data, size_t *ret_size);

#endif
