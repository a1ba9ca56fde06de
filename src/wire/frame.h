/* SPDX-License-Identifier: MIT */
/*
 * wire/frame.h - frames of the managerd protocol: four bytes of length, then one message.
 *
 * Both ends collect bytes in a mp__buffer and look for whole frames at its start. A length is
 * compared with the limit before it is used for anything. Knows protobuf, but no sockets.
 */
#ifndef MP_WIRE_FRAME_H
#define MP_WIRE_FRAME_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP__PROTOCOL_VERSION 1

#define MP__FRAME_HEADER 4
/* The longest message before the hello is answered: it needs few bytes, strangers get no more. */
#define MP__FRAME_FIRST_MAX 4096
/* What a key and a value may have together, and what the message around them needs at most. */
#define MP__PAYLOAD_MAX ((size_t)64 << 20)
#define MP__FRAME_OVERHEAD ((size_t)64 << 10)
#define MP__FRAME_MAX (MP__PAYLOAD_MAX + MP__FRAME_OVERHEAD)

/* What unpacking a message of this length may take beyond a first block, see obj/arena.h. */
#define MP__UNPACK_BUDGET(length) ((length) + ((size_t)128 << 10))

/* The header of a frame. */
void mp__frame_put_length(uint8_t *at, size_t length);

/*
 * One frame at the start of data: 1 and its message's length, 0 more bytes are needed (*ret_length
 * is that of the message if the header is there, else 0), -EMSGSIZE longer than max.
 */
int mp__frame_next(const void *data, size_t size, size_t max, size_t *ret_length);

/*
 * Field 1 of a Request or Response, without unpacking it: 0 if there is none, or if the message is
 * broken (which unpacking will find).
 */
uint64_t mp__frame_id(const void *message, size_t size);

/* Bytes that are appended at the end and consumed at the start. All zero is empty. */
struct mp__buffer {
	uint8_t *data;
	size_t start;
	size_t end;
	size_t room;
};

static inline size_t mp__buffer_size(const struct mp__buffer *buffer)
{
	return buffer->end - buffer->start;
}

static inline uint8_t *mp__buffer_at(const struct mp__buffer *buffer)
{
	return buffer->data ? buffer->data + buffer->start : NULL;
}

/* Room for `size` more bytes behind the end: where they go, or NULL without memory. */
uint8_t *mp__buffer_reserve(struct mp__buffer *buffer, size_t size);
int mp__buffer_append(struct mp__buffer *buffer, const void *data, size_t size);
/* Forget bytes at the start. An emptied buffer gives memory back that is beyond the usual. */
void mp__buffer_consume(struct mp__buffer *buffer, size_t size);
void mp__buffer_free(struct mp__buffer *buffer);

/* Append the message as a frame: 0, -EMSGSIZE longer than max, -ENOMEM. */
int mp__frame_append(struct mp__buffer *buffer, const ProtobufCMessage *message, size_t max);

#endif
