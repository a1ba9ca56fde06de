/* SPDX-License-Identifier: MIT */
/*
 * obj/codec.h - mp_obj to and from the bytes of mp.Value (proto/value.proto).
 *
 * Bytes are hostile: mp__value_check() walks them once, without recursion and without allocating,
 * before anything is decoded. managerd uses it alone: it stores values as they came.
 */
#ifndef MP_OBJ_CODEC_H
#define MP_OBJ_CODEC_H

#include "base/fds.h"
#include "obj/handle.h"

#include <mp/obj.h>

#include <stdbool.h>

/*
 * Descriptors that travel beside the bytes, in the order in which handles name them. The sender's
 * are borrowed from the handles in the value; the receiver's are owned, and decoding takes those
 * out that it uses (sets them to -1), even if it fails then; the caller closes what is left.
 *
 * Several values may share a cargo: encoding appends, and leaves n_fds as it was if it fails or the
 * value does not fit; decoding goes on behind those that have been taken.
 */
struct mp__cargo {
	int *fds; /* the caller's; of malloc(3) or NULL if it grows */
	size_t n_fds;
	size_t room; /* for encoding */
	bool grows;  /* encoding makes more room where there is not enough */
	/* Handles travel as references of a managerd, and no descriptors do. NULL: the usual way. */
	struct mp__referrer *referrer;
};

/* A cargo on the stack for as many as travel in one message. */
#define MP__CARGO(name)              \
	int name##_fds[MP__FDS_MAX]; \
	struct mp__cargo name = {.fds = name##_fds, .room = MP__FDS_MAX}

/*
 * Encode into a malloc'ed buffer with `reserve` unused bytes in front (room for a frame header,
 * counted in *ret_size too). cargo == NULL: handles are -ENOTSUP. Errors as mp_obj_encode();
 * -EMSGSIZE also for more descriptors than a cargo that does not grow has room for.
 */
int mp__obj_encode(const mp_obj *value, size_t reserve, struct mp__cargo *cargo, void **ret_data,
	size_t *ret_size);

/*
 * Encode into `buffer` if it fits: the size needed, in either case (> room: nothing of use was
 * written). For small values in slots of shared memory and on the stack.
 */
ssize_t mp__obj_encode_into(
	const mp_obj *value, struct mp__cargo *cargo, void *buffer, size_t room);

/*
 * Decode; errors as mp_obj_decode(). cargo == NULL: handles are -ENOTSUP, as are handles of a kind
 * that this library does not know; -EBADMSG also when they name more descriptors than there are.
 */
int mp__obj_decode(const void *data, size_t size, struct mp__cargo *cargo, mp_obj *ret_value);

/* What a check found. */
struct mp__value_info {
	uint32_t type; /* of the outermost value */
	size_t nodes;  /* values, itself included */
	size_t text;   /* bytes of strings and bytes */
	size_t strings;
	size_t handles; /* anywhere inside */
	size_t references;
	size_t depth;
};

/*
 * Is this a valid mp.Value? 0, -EBADMSG (detail says what and at which byte) or -EOVERFLOW. Valid
 * means that mp__obj_decode() cannot fail on it, except for memory and for handles.
 */
int mp__value_check(const void *data, size_t size, struct mp__value_info *ret_info);

#endif
