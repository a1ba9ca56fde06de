/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wire/frame.h"

#include "obj/wireformat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first allocation, and what an empty buffer keeps. */
#define ROOM_FIRST ((size_t)4096)
#define ROOM_KEPT ((size_t)256 << 10)

void mp__frame_put_length(uint8_t *at, size_t length)
{
	at[0] = (uint8_t)length;
	at[1] = (uint8_t)(length >> 8);
	at[2] = (uint8_t)(length >> 16);
	at[3] = (uint8_t)(length >> 24);
}

int mp__frame_next(const void *data, size_t size, size_t max, size_t *ret_length)
{
	const uint8_t *at = data;

	*ret_length = 0;
	if (size < MP__FRAME_HEADER)
		return 0;
	size_t length = at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
	if (length > max)
		return -EMSGSIZE;
	*ret_length = length;
	return size - MP__FRAME_HEADER >= length;
}

uint64_t mp__frame_id(const void *message, size_t size)
{
	const uint8_t *at = message;
	const uint8_t *end = at + size;
	uint64_t tag;
	uint64_t number;

	while (mp__varint_get(&at, end, &tag)) {
		uint64_t skip = 0;
		switch (tag & 7) {
		case 0:
			if (!mp__varint_get(&at, end, &number))
				return 0;
			if (tag >> 3 == 1)
				return number;
			break;
		case 1:
			skip = 8;
			break;
		case 2:
			if (!mp__varint_get(&at, end, &skip))
				return 0;
			break;
		case 5:
			skip = 4;
			break;
		default:
			return 0;
		}
		if (skip > (size_t)(end - at))
			return 0;
		at += skip;
	}
	return 0;
}

uint8_t *mp__buffer_reserve(struct mp__buffer *buffer, size_t size)
{
	size_t used = mp__buffer_size(buffer);

	if (buffer->room - buffer->end >= size && buffer->data)
		return buffer->data + buffer->end;
	if (size > SIZE_MAX / 4 - used)
		return NULL;
	/* Moving to the front is worth it while it copies no more than it makes free. */
	if (buffer->data && buffer->room - used >= size && used <= buffer->start) {
		memcpy(buffer->data, buffer->data + buffer->start, used);
	} else {
		size_t room = buffer->room ? buffer->room : ROOM_FIRST;
		while (room < used + size)
			room *= 2;
		uint8_t *data = malloc(room);
		if (!data)
			return NULL;
		if (buffer->data)
			memcpy(data, buffer->data + buffer->start, used);
		free(buffer->data);
		buffer->data = data;
		buffer->room = room;
	}
	buffer->start = 0;
	buffer->end = used;
	return buffer->data + used;
}

int mp__buffer_append(struct mp__buffer *buffer, const void *data, size_t size)
{
	if (size == 0)
		return 0;
	uint8_t *at = mp__buffer_reserve(buffer, size);
	if (!at)
		return -ENOMEM;
	memcpy(at, data, size);
	buffer->end += size;
	return 0;
}

void mp__buffer_consume(struct mp__buffer *buffer, size_t size)
{
	buffer->start += size;
	if (buffer->start < buffer->end)
		return;
	buffer->start = 0;
	buffer->end = 0;
	if (buffer->room > ROOM_KEPT)
		mp__buffer_free(buffer);
}

void mp__buffer_free(struct mp__buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

int mp__frame_append(struct mp__buffer *buffer, const ProtobufCMessage *message, size_t max)
{
	size_t length = protobuf_c_message_get_packed_size(message);

	if (length > max || length > UINT32_MAX)
		return -EMSGSIZE;
	uint8_t *at = mp__buffer_reserve(buffer, MP__FRAME_HEADER + length);
	if (!at)
		return -ENOMEM;
	mp__frame_put_length(at, length);
	protobuf_c_message_pack(message, at + MP__FRAME_HEADER);
	buffer->end += MP__FRAME_HEADER + length;
	return 0;
}
