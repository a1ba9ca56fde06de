/* SPDX-License-Identifier: MIT */
/*
 * pool/bytes.h - encoded values on their way into a slot.
 *
 * Small ones never see malloc(): the buffer begins inside the struct. A map's items and results
 * stand one after the other, each after its length, so that both sides decode one at a time.
 */
#ifndef MP_POOL_BYTES_H
#define MP_POOL_BYTES_H

#include "obj/codec.h"

#include <mp/obj.h>

#define MP__POOL_BYTES_INLINE 256

struct mp__pool_bytes {
	uint8_t *data; /* inside, or malloc'ed */
	size_t size;
	size_t room;
	uint8_t inside[MP__POOL_BYTES_INLINE];
};

void mp__pool_bytes_init(struct mp__pool_bytes *bytes);
void mp__pool_bytes_free(struct mp__pool_bytes *bytes);
/* Append bytes as they are. */
int mp__pool_bytes_add(struct mp__pool_bytes *bytes, const void *data, size_t size);
/* Append a value. cargo NULL: handles are -ENOTSUP. Errors of mp_obj_encode(), and -EMSGSIZE. */
int mp__pool_bytes_put(struct mp__pool_bytes *bytes, const mp_obj *value, struct mp__cargo *cargo);
/* The same with the length in front. */
int mp__pool_bytes_put_item(
	struct mp__pool_bytes *bytes, const mp_obj *value, struct mp__cargo *cargo);

/*
 * Where an item of a map lies: false when there is none at *at, or it leads outside. Moves *at
 * on.
 */
bool mp__pool_bytes_next(
	const uint8_t *data, size_t size, size_t *at, const uint8_t **ret_item, size_t *ret_size);

#endif
