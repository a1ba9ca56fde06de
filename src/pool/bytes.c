/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/bytes.h"

#include "base/error.h"
#include "base/hot.h"
#include "pool/pool_layout.h"

#include <stdlib.h>
#include <string.h>

MP__HOT void mp__pool_bytes_init(struct mp__pool_bytes *bytes)
{
	bytes->data = bytes->inside;
	bytes->size = 0;
	bytes->room = sizeof(bytes->inside);
}

MP__HOT void mp__pool_bytes_free(struct mp__pool_bytes *bytes)
{
	if (bytes->data != bytes->inside)
		free(bytes->data);
	mp__pool_bytes_init(bytes);
}

static int grow(struct mp__pool_bytes *b, size_t needed)
{
	size_t room = b->room * 2 > needed ? b->room * 2 : needed;
	uint8_t *data = b->data == b->inside ? malloc(room) : realloc(b->data, room);

	if (!data)
		return mp_error_set(-ENOMEM, "no memory for %zu bytes of a task", room);
	if (b->data == b->inside)
		memcpy(data, b->inside, b->size);
	b->data = data;
	b->room = room;
	return 0;
}

int mp__pool_bytes_add(struct mp__pool_bytes *bytes, const void *data, size_t size)
{
	if (bytes->room - bytes->size < size) {
		int r = grow(bytes, bytes->size + size);
		if (r < 0)
			return r;
	}
	memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
	return 0;
}

MP__HOT static int put(
	struct mp__pool_bytes *b, const mp_obj *value, struct mp__cargo *cargo, size_t frame)
{
	for (;;) {
		size_t used = b->size + frame;
		size_t room = b->room > used ? b->room - used : 0;
		ssize_t n = mp__obj_encode_into(value, cargo, b->data + used, room);
		if (n < 0)
			return (int)n;
		if ((size_t)n > room) {
			if (used + (size_t)n >= MP__POOL_PAYLOAD_MAX)
				return mp_error_set(
					-EMSGSIZE, "more than 2 GiB for one worker at a time");
			int r = grow(b, used + (size_t)n);
			if (r < 0)
				return r;
			continue;
		}
		uint32_t length = (uint32_t)n;
		memcpy(b->data + b->size, &length, frame);
		b->size = used + (size_t)n;
		return 0;
	}
}

MP__HOT int mp__pool_bytes_put(
	struct mp__pool_bytes *bytes, const mp_obj *value, struct mp__cargo *cargo)
{
	return put(bytes, value, cargo, 0);
}

int mp__pool_bytes_put_item(
	struct mp__pool_bytes *bytes, const mp_obj *value, struct mp__cargo *cargo)
{
	return put(bytes, value, cargo, sizeof(uint32_t));
}

bool mp__pool_bytes_next(
	const uint8_t *data, size_t size, size_t *at, const uint8_t **ret_item, size_t *ret_size)
{
	uint32_t length;

	if (size - *at < sizeof(length))
		return false;
	memcpy(&length, data + *at, sizeof(length));
	if (length > size - *at - sizeof(length))
		return false;
	*ret_item = data + *at + sizeof(length);
	*ret_size = length;
	*at += sizeof(length) + length;
	return true;
}
