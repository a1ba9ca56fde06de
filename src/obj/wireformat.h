/* SPDX-License-Identifier: MIT */
/*
 * obj/wireformat.h - protobuf's wire format, for those who read or write it without protobuf-c's
 * tables: the check of values, keys, the most frequent messages.
 *
 * A field is a tag (number * 8 + wire type: 0 varint, 1 eight bytes, 2 length and bytes) and its
 * payload. All tags of mp.Value take one byte.
 */
#ifndef MP_OBJ_WIREFORMAT_H
#define MP_OBJ_WIREFORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of mp.Value, and of what stands in it. */
enum {
	MP__TAG_NIL = 1 << 3 | 0,
	MP__TAG_BOOLEAN = 2 << 3 | 0,
	MP__TAG_I64 = 3 << 3 | 0,
	MP__TAG_U64 = 4 << 3 | 0,
	MP__TAG_F64 = 5 << 3 | 1,
	MP__TAG_STR = 6 << 3 | 2,
	MP__TAG_BYTES = 7 << 3 | 2,
	MP__TAG_LIST = 8 << 3 | 2,
	MP__TAG_DICT = 9 << 3 | 2,
	MP__TAG_HANDLE = 10 << 3 | 2,
	MP__TAG_REFERENCE = 11 << 3 | 2,
	MP__TAG_ITEM = 1 << 3 | 2,               /* in List and Dict */
	MP__TAG_HANDLE_KIND = 1 << 3 | 0,        /* in Handle */
	MP__TAG_HANDLE_DATA = 2 << 3 | 2,        /* in Handle */
	MP__TAG_HANDLE_DESCRIPTORS = 3 << 3 | 0, /* in Handle */
	MP__TAG_REFERENCE_TOKEN = 1 << 3 | 2,    /* in Reference */
	MP__TAG_REFERENCE_CLASS = 2 << 3 | 2,    /* in Reference */
};

#define MP__VARINT32_BYTES 5
#define MP__VARINT64_BYTES 10

static inline size_t mp__varint_size(uint64_t number)
{
	size_t size = 1;

	while (number >>= 7)
		size++;
	return size;
}

/* The position behind it. */
static inline uint8_t *mp__varint_put(uint8_t *at, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*at++ = (uint8_t)(number | 0x80);
	*at++ = (uint8_t)number;
	return at;
}

/* The number at *at, which moves on. False: it ends neither before `end` nor in time. */
static inline bool mp__varint_get(const uint8_t **at, const uint8_t *end, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (int shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;
		number |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_number = number;
			return true;
		}
	}
	return false;
}

#endif
