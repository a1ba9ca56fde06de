/* SPDX-License-Identifier: MIT */
/*
 * Bytes to mp_obj. What is small is read at once (small.h). The rest is checked (check.c), unpacked by
 * protobuf-c into an arena, and moved from there into one block of the exact size.
 *
 * What hostile bytes can cost: an item takes at least 4 bytes of message. In the block it is
 * sizeof(mp_obj) = 32 bytes, 8 times as much, and an empty string one byte more; at the peak, with
 * the arena of protobuf-c's structs, it was measured as 42 times the message. So whoever caps the
 * size of messages caps the memory.
 */
#include <config.h>

#include "obj/codec.h"

#include "base/error.h"
#include "base/hot.h"
#include "obj/arena.h"
#include "obj/block.h"
#include "obj/small.h"
#include "proto/value.pb-c.h"

#define STACK_ARENA 4096

struct decoder {
	struct mp__builder builder;
	struct mp__cargo *cargo;
	size_t next_fd;
};

static int unpack(struct mp__arena *arena, const void *data, size_t size, Mp__Value **ret_root)
{
	*ret_root = mp__value__unpack(&arena->allocator, size, data);
	/* The bytes were checked: there is no other cause. */
	return *ret_root ? 0 : mp_error_set(-ENOMEM, "no memory to decode %zu bytes", size);
}

static const struct mp__handle_class *find_class(uint32_t kind)
{
	for (const struct mp__handle_class *const *c = mp__handle_classes; *c; c++) {
		if ((uint32_t)(*c)->kind == kind)
			return *c;
	}
	return NULL;
}

static int import_handle(
	struct decoder *d, const struct mp__handle_class *class, const Mp__Handle *from, mp_obj *to)
{
	struct mp__handle_wire wire = {.size = from->data.len, .n_fds = from->descriptors};
	struct mp__handle *handle;

	if (from->data.len > 0)
		memcpy(wire.data, from->data.data, from->data.len);
	for (size_t i = 0; i < wire.n_fds; i++) {
		wire.fds[i] = d->cargo->fds[d->next_fd];
		d->cargo->fds[d->next_fd++] = -1;
	}
	int r = class->import(&wire, &handle);
	mp__fds_close(wire.fds, wire.n_fds);
	if (r == 0)
		*to = mp__block_handle(&d->builder, handle);
	return r;
}

static int decode_handle(struct decoder *d, const Mp__Handle *from, mp_obj *to)
{
	const struct mp__handle_class *class = find_class(from->kind);

	if (from->kind != MP__HANDLE_FD && !class)
		return mp_error_set(-ENOTSUP, "a handle of kind %u, which this libmp does not know",
			from->kind);
	if (from->descriptors > d->cargo->n_fds - d->next_fd)
		return mp_error_set(-EBADMSG, "a handle names more descriptors than came along");
	if (class)
		return import_handle(d, class, from, to);
	*to = mp__block_fd(&d->builder, d->cargo->fds[d->next_fd]);
	d->cargo->fds[d->next_fd++] = -1;
	return 0;
}

static int decode_reference(struct decoder *d, const Mp__Reference *from, mp_obj *to)
{
	struct mp__referrer *referrer = d->cargo->referrer;
	struct mp__reference reference = {0};
	struct mp__handle *handle;

	/* Both have been checked. */
	memcpy(reference.token, from->token.data, sizeof(reference.token));
	memcpy(reference.class_name, from->class_name, strlen(from->class_name));
	int r = referrer->resolve(referrer, &reference, &handle);
	if (r == 0)
		*to = mp__block_handle(&d->builder, handle);
	return r;
}

static int decode(struct decoder *d, const Mp__Value *from, mp_obj *to);

static int decode_items(
	struct decoder *d, Mp__Value *const *from, size_t count, uint32_t type, mp_obj *to)
{
	mp_obj *items = mp__block_items(&d->builder, count);
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = decode(d, from[i], &items[i]);
	*to = mp_list_of(items, count);
	to->type = type;
	return r;
}

static int decode(struct decoder *d, const Mp__Value *from, mp_obj *to)
{
	size_t length;

	switch (from->kind_case) {
	case MP__VALUE__KIND_NIL:
		*to = mp_nil();
		break;
	case MP__VALUE__KIND_BOOLEAN:
		*to = mp_bool(from->boolean != 0);
		break;
	case MP__VALUE__KIND_I64:
		*to = mp_i64(from->i64);
		break;
	case MP__VALUE__KIND_U64:
		*to = mp_u64(from->u64);
		break;
	case MP__VALUE__KIND_F64:
		*to = mp_f64(from->f64);
		break;
	case MP__VALUE__KIND_STR:
		length = strlen(from->str);
		*to = mp_strn(mp__block_str(&d->builder, from->str, length), length);
		break;
	case MP__VALUE__KIND_BYTES:
		length = from->bytes.len;
		*to = mp_bytes(mp__block_bytes(&d->builder, from->bytes.data, length), length);
		break;
	case MP__VALUE__KIND_LIST:
		return decode_items(d, from->list->items, from->list->n_items, MP_TYPE_LIST, to);
	case MP__VALUE__KIND_DICT:
		return decode_items(d, from->dict->items, from->dict->n_items, MP_TYPE_DICT, to);
	case MP__VALUE__KIND_HANDLE:
		return decode_handle(d, from->handle, to);
	case MP__VALUE__KIND_REFERENCE:
		return decode_reference(d, from->reference, to);
	default:
		return mp_error_set(-EBADMSG, "not a valid mp.Value: no kind");
	}
	return 0;
}

/* Descriptors that an earlier value of the same message has taken stand first, as -1. */
static size_t first_fd(const struct mp__cargo *cargo)
{
	size_t i = 0;

	while (cargo && i < cargo->n_fds && cargo->fds[i] < 0)
		i++;
	return i;
}

static int decode_large(const void *data, size_t size, struct mp__cargo *cargo, mp_obj *ret_value)
{
	MP__ARENA(arena, STACK_ARENA);
	struct decoder d = {.cargo = cargo, .next_fd = first_fd(cargo)};
	struct mp__value_info info;
	Mp__Value *root;
	mp_obj value;

	int r = mp__value_check(data, size, &info);
	if (r < 0)
		return r;
	if (info.handles > 0 && (!cargo || cargo->referrer))
		return mp_error_set(
			-ENOTSUP, "a handle came in bytes alone, without what it stands for");
	if (info.references > 0 && (!cargo || !cargo->referrer))
		return mp_error_set(-ENOTSUP, "an object of a managerd, not from there");
	struct mp__block_plan plan = {
		.nodes = info.nodes - 1,
		.text = info.text + info.strings,
		.held = info.handles + info.references,
	};
	r = unpack(&arena, data, size, &root);
	if (r < 0)
		return r;
	r = mp__block_new(&plan, &d.builder);
	if (r < 0)
		return r;
	r = decode(&d, root, &value);
	if (r < 0) {
		mp__block_free(d.builder.block);
		return r;
	}
	value.block = d.builder.block;
	*ret_value = value;
	return 0;
}

MP__HOT int mp__obj_decode(
	const void *data, size_t size, struct mp__cargo *cargo, mp_obj *ret_value)
{
	if (mp__small_decode(data, size, ret_value))
		return 0;
	return decode_large(data, size, cargo, ret_value);
}

int mp_obj_decode(const void *data, size_t size, mp_obj *ret_value)
{
	if (!ret_value)
		return mp_error_set(-EINVAL, "decoding a value: no place for it");
	return mp__obj_decode(data, size, NULL, ret_value);
}
