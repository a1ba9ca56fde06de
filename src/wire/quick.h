/* SPDX-License-Identifier: MIT */
/*
 * wire/quick.h - the most frequent messages of the protocol without protobuf-c's tables.
 *
 * Reading takes only what clients usually write: each field once, in order, nothing unknown. For
 * everything else it says so, and protobuf-c reads the message. Tests compare the two.
 */
#ifndef MP_WIRE_QUICK_H
#define MP_WIRE_QUICK_H

#include "proto/manager.pb-c.h"
#include "wire/frame.h"

/* A dict_set, dict_get, dict_pop, dict_contains or dict_setdefault; the bytes are the message's. */
struct mp__quick {
	uint64_t id;
	Mp__Request__OpCase op;
	uint64_t reference;
	ProtobufCBinaryData key;
	ProtobufCBinaryData value; /* of set and setdefault */
};

/*
 * False: not one of these, or not written as usual, or with a key that has to be made canonical in
 * place; the message is to be read by protobuf-c.
 */
bool mp__quick_read(const uint8_t *message, size_t size, struct mp__quick *ret_quick);

/*
 * Append the request as a frame, as mp__frame_append() does, without its tables where `request` is one of
 * those above.
 */
int mp__quick_request(struct mp__buffer *buffer, const Mp__Request *request, size_t max);
/*
 * A Response with code OK and nothing, a value or a count, which stays in the message. False: it is
 * another one, or not written as usual, and is to be read by protobuf-c.
 */
bool mp__quick_response(const uint8_t *message, size_t size, Mp__Response *ret_response);

/* Append a Response with code OK and: nothing, a value, a count. -EMSGSIZE, -ENOMEM. */
int mp__quick_ok(struct mp__buffer *buffer, uint64_t id);
int mp__quick_count(struct mp__buffer *buffer, uint64_t id, uint64_t count);
int mp__quick_value(
	struct mp__buffer *buffer, uint64_t id, const void *value, size_t size, size_t max);

#endif
