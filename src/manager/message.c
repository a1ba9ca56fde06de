/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/message.h"

#include "base/error.h"
#include "wire/code.h"
#include "wire/quick.h"

#include <stdlib.h>
#include <string.h>

#define ERRNO_MAX 4096

/* --- requests --------------------------------------------------------------------------------- */

void mp__packed_init(struct mp__packed *packed)
{
	packed->buffer = (struct mp__buffer){.data = packed->small, .room = sizeof(packed->small)};
}

/* What the borrowed block does not take goes to one of its own, with all before it: 1. */
static int pack_small(struct mp__packed *packed, const Mp__Request *request, size_t max)
{
	struct mp__buffer *buffer = &packed->buffer;
	struct mp__buffer own = {0};
	size_t left = buffer->room - buffer->end;
	int r = -EMSGSIZE;

	if (left >= MP__FRAME_HEADER) {
		left -= MP__FRAME_HEADER;
		r = mp__quick_request(buffer, request, max < left ? max : left);
	}
	if (r != -EMSGSIZE)
		return r;
	if (mp__buffer_append(&own, packed->small, buffer->end) < 0)
		return -ENOMEM;
	*buffer = own;
	return 1;
}

int mp__request_pack(struct mp__packed *packed, const Mp__Request *request, size_t max)
{
	int r = packed->buffer.data == packed->small ? pack_small(packed, request, max) : 1;

	if (r > 0)
		r = mp__quick_request(&packed->buffer, request, max);
	if (r == -EMSGSIZE)
		return mp_error_set(r,
			"a request of %zu bytes to managerd, which takes %zu at most: split the "
			"value",
			protobuf_c_message_get_packed_size(&request->base), max);
	return r < 0 ? mp_error_set(r, "no memory for a request to managerd") : 0;
}

void mp__packed_free(struct mp__packed *packed)
{
	if (packed->buffer.data != packed->small)
		mp__buffer_free(&packed->buffer);
}

/* --- replies ---------------------------------------------------------------------------------- */

int mp__reply_fill(struct mp__reply *reply, const uint8_t *message, size_t size)
{
	reply->data = size <= sizeof(reply->small) ? reply->small : malloc(size);
	if (!reply->data)
		return -ENOMEM;
	memcpy(reply->data, message, size);
	reply->size = size;
	return 0;
}

/* What a method of somebody's own type has returned. */
static int failure_of(const Mp__Response *response)
{
	return response->error > 0 && response->error < ERRNO_MAX ? -response->error : -EPROTO;
}

int mp__reply_unpack(struct mp__reply *reply, bool news)
{
	struct mp__arena *arena = &reply->arena;

	mp__arena_init(arena, reply->block, sizeof(reply->block));
	if (mp__quick_response(reply->data, reply->size, &reply->plain)) {
		reply->response = &reply->plain;
		return 0;
	}
	mp__arena_reset(arena, MP__UNPACK_BUDGET(reply->size));
	reply->response = mp__response__unpack(&arena->allocator, reply->size, reply->data);
	if (!reply->response && arena->refused)
		return mp_error_set(-ENOMEM, "no memory for a reply of managerd");
	if (!reply->response)
		return mp_error_set(-EPROTO, "managerd sent a reply that cannot be read");
	int r = mp__code_to_result((int)reply->response->code);
	if (r > 0 && !news)
		return mp_error_set(-EPROTO, "managerd answered with code %d, which no request has",
			(int)reply->response->code);
	if (reply->response->code == MP__CODE__FAILED)
		return mp_error_set(failure_of(reply->response), "%s", reply->response->detail);
	reply->refused = r < 0;
	return r < 0 ? mp_error_set(r, "%s", reply->response->detail) : r;
}

void mp__reply_free(struct mp__reply *reply)
{
	mp__arena_release(&reply->arena);
	if (reply->data != reply->small)
		free(reply->data);
}

/* The reason why the daemon hangs up. */
int mp__reply_last_words(const uint8_t *message, size_t size)
{
	MP__ARENA(arena, MP__REPLY_BLOCK);
	int r;

	mp__arena_reset(&arena, MP__UNPACK_BUDGET(size));
	Mp__Response *response = mp__response__unpack(&arena.allocator, size, message);
	if (response) {
		r = mp__code_to_result((int)response->code);
		r = mp_error_set(r < 0 ? r : -EPROTO, "managerd: %s", response->detail);
	} else {
		r = mp_error_set(
			-EPROTO, "managerd sent what is no reply: does it speak another version?");
	}
	return r;
}
