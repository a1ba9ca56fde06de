/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wire/quick.h"

#include "obj/wireformat.h"

#include <errno.h>
#include <string.h>

/* Field number * 8 + wire type. */
enum {
	TAG_ID = 1 << 3 | 0,        /* of Request and Response */
	TAG_REFERENCE = 1 << 3 | 0, /* of operations */
	TAG_KEY = 2 << 3 | 2,
	TAG_VALUE = 3 << 3 | 2,
	TAG_RESPONSE_VALUE = 6 << 3 | 2,
	TAG_RESPONSE_COUNT = 7 << 3 | 0,
};

/* --- reading ---------------------------------------------------------------------------------- */

struct reader {
	const uint8_t *at;
	const uint8_t *end;
};

static bool get_number(struct reader *r, uint64_t *ret_number)
{
	return mp__varint_get(&r->at, r->end, ret_number);
}

static bool get_tag(struct reader *r, uint8_t tag)
{
	if (r->at == r->end || *r->at != tag)
		return false;
	r->at++;
	return true;
}

static bool get_bytes(struct reader *r, uint8_t tag, ProtobufCBinaryData *ret_bytes)
{
	uint64_t size;

	if (!get_tag(r, tag) || !get_number(r, &size) || size > (uint64_t)(r->end - r->at))
		return false;
	*ret_bytes = (ProtobufCBinaryData){(size_t)size, (uint8_t *)r->at};
	r->at += size;
	return true;
}

static bool has_value(Mp__Request__OpCase op)
{
	return op == MP__REQUEST__OP_DICT_SET || op == MP__REQUEST__OP_DICT_SETDEFAULT;
}

/* Only the length of a text may be written too long, see wire/value.h. */
static bool is_canonical_at_once(const ProtobufCBinaryData *key)
{
	return key->len < 2 || (key->data[0] != MP__TAG_STR && key->data[0] != MP__TAG_BYTES) ||
	       key->data[1] < 0x80;
}

bool mp__quick_read(const uint8_t *message, size_t size, struct mp__quick *ret_quick)
{
	struct reader r = {message, message + size};
	uint64_t tag;
	uint64_t length;

	if (!get_tag(&r, TAG_ID) || !get_number(&r, &ret_quick->id) || ret_quick->id == 0 ||
		!get_number(&r, &tag) || !get_number(&r, &length) ||
		length != (uint64_t)(r.end - r.at) || (tag & 7) != 2 ||
		tag >> 3 < MP__REQUEST__OP_DICT_SET || tag >> 3 > MP__REQUEST__OP_DICT_SETDEFAULT)
		return false;
	ret_quick->op = (Mp__Request__OpCase)(tag >> 3);
	ret_quick->value = (ProtobufCBinaryData){0};
	if (!get_tag(&r, TAG_REFERENCE) || !get_number(&r, &ret_quick->reference) ||
		!get_bytes(&r, TAG_KEY, &ret_quick->key) || !is_canonical_at_once(&ret_quick->key))
		return false;
	if (has_value(ret_quick->op) && !get_bytes(&r, TAG_VALUE, &ret_quick->value))
		return false;
	return r.at == r.end;
}

bool mp__quick_response(const uint8_t *message, size_t size, Mp__Response *ret_response)
{
	Mp__Response response = MP__RESPONSE__INIT;
	struct reader r = {message, message + size};

	if (!get_tag(&r, TAG_ID) || !get_number(&r, &response.id))
		return false;
	if (get_tag(&r, TAG_RESPONSE_COUNT)) {
		response.result_case = MP__RESPONSE__RESULT_COUNT;
		if (!get_number(&r, &response.count))
			return false;
	} else if (r.at != r.end) {
		response.result_case = MP__RESPONSE__RESULT_VALUE;
		if (!get_bytes(&r, TAG_RESPONSE_VALUE, &response.value))
			return false;
	}
	if (r.at != r.end)
		return false;
	*ret_response = response;
	return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int append(struct mp__buffer *buffer, const uint8_t *head, size_t head_size,
	const void *data, size_t size)
{
	size_t length = head_size + size;
	uint8_t *at = mp__buffer_reserve(buffer, MP__FRAME_HEADER + length);

	if (!at)
		return -ENOMEM;
	mp__frame_put_length(at, length);
	memcpy(at + MP__FRAME_HEADER, head, head_size);
	if (size > 0)
		memcpy(at + MP__FRAME_HEADER + head_size, data, size);
	buffer->end += MP__FRAME_HEADER + length;
	return 0;
}

int mp__quick_ok(struct mp__buffer *buffer, uint64_t id)
{
	uint8_t head[1 + MP__VARINT64_BYTES] = {TAG_ID};
	uint8_t *end = mp__varint_put(head + 1, id);

	return append(buffer, head, (size_t)(end - head), NULL, 0);
}

int mp__quick_count(struct mp__buffer *buffer, uint64_t id, uint64_t count)
{
	uint8_t head[2 + 2 * MP__VARINT64_BYTES] = {TAG_ID};
	uint8_t *end = mp__varint_put(head + 1, id);

	*end++ = TAG_RESPONSE_COUNT;
	end = mp__varint_put(end, count);
	return append(buffer, head, (size_t)(end - head), NULL, 0);
}

int mp__quick_value(
	struct mp__buffer *buffer, uint64_t id, const void *value, size_t size, size_t max)
{
	uint8_t head[2 + 2 * MP__VARINT64_BYTES] = {TAG_ID};
	uint8_t *end = mp__varint_put(head + 1, id);

	*end++ = TAG_RESPONSE_VALUE;
	end = mp__varint_put(end, size);
	if (size > max || (size_t)(end - head) + size > max)
		return -EMSGSIZE;
	return append(buffer, head, (size_t)(end - head), value, size);
}

/* What stands in the request, if it is one of ours. */
static bool take_apart(const Mp__Request *request, struct mp__quick *ret_quick)
{
	struct mp__quick q = {.id = request->id, .op = request->op_case};

	switch (request->op_case) {
	case MP__REQUEST__OP_DICT_SET:
		q.reference = request->dict_set->reference;
		q.key = request->dict_set->key;
		q.value = request->dict_set->value;
		break;
	case MP__REQUEST__OP_DICT_GET:
		q.reference = request->dict_get->reference;
		q.key = request->dict_get->key;
		break;
	case MP__REQUEST__OP_DICT_CONTAINS:
		q.reference = request->dict_contains->reference;
		q.key = request->dict_contains->key;
		break;
	default:
		return false;
	}
	*ret_quick = q;
	return true;
}

static uint8_t *put_bytes(uint8_t *at, uint8_t tag, ProtobufCBinaryData bytes)
{
	*at++ = tag;
	at = mp__varint_put(at, bytes.len);
	memcpy(at, bytes.data, bytes.len);
	return at + bytes.len;
}

static size_t bytes_size(ProtobufCBinaryData bytes)
{
	return 1 + mp__varint_size(bytes.len) + bytes.len;
}

int mp__quick_request(struct mp__buffer *buffer, const Mp__Request *request, size_t max)
{
	struct mp__quick q;

	if (!take_apart(request, &q) || q.key.len == 0 || q.reference == 0 || q.id == 0 ||
		(has_value(q.op) && q.value.len == 0))
		return mp__frame_append(buffer, &request->base, max);
	size_t inner = 1 + mp__varint_size(q.reference) + bytes_size(q.key) +
		       (has_value(q.op) ? bytes_size(q.value) : 0);
	uint64_t tag = (uint64_t)q.op << 3 | 2;
	size_t length =
		1 + mp__varint_size(q.id) + mp__varint_size(tag) + mp__varint_size(inner) + inner;
	if (length > max || length > UINT32_MAX)
		return -EMSGSIZE;
	uint8_t *at = mp__buffer_reserve(buffer, MP__FRAME_HEADER + length);
	if (!at)
		return -ENOMEM;
	mp__frame_put_length(at, length);
	at += MP__FRAME_HEADER;
	*at++ = TAG_ID;
	at = mp__varint_put(at, q.id);
	at = mp__varint_put(at, tag);
	at = mp__varint_put(at, inner);
	*at++ = TAG_REFERENCE;
	at = mp__varint_put(at, q.reference);
	at = put_bytes(at, TAG_KEY, q.key);
	if (has_value(q.op))
		put_bytes(at, TAG_VALUE, q.value);
	buffer->end += MP__FRAME_HEADER + length;
	return 0;
}
