/* SPDX-License-Identifier: MIT */
/*
 * mp_obj to bytes. What is small is written at once (small.h). The rest is measured, turned into the
 * tree of structs that protobuf-c packs, packed. The tree lives in an arena whose beginning is on the
 * stack: most values cost no malloc.
 */
#include <config.h>

#include "obj/codec.h"

#include "base/error.h"
#include "base/hot.h"
#include "obj/arena.h"
#include "obj/handle.h"
#include "obj/measure.h"
#include "obj/small.h"
#include "proto/value.pb-c.h"

#include <mp/handle.h>
#include <stdlib.h>

#define STACK_ARENA 2048

struct encoder {
	struct mp__arena *arena;
	struct mp__cargo *cargo;
	size_t n_fds; /* in the cargo: becomes true when everything has been written */
};

static int no_memory(void)
{
	return mp_error_set(-ENOMEM, "no memory to encode a value");
}

/* protobuf-c wants a NUL behind a string, and not all of ours have one. */
static int encode_str(struct encoder *e, const mp_obj *from, Mp__Value *to)
{
	char *copy = mp__arena_alloc(e->arena, from->count + 1);

	if (!copy)
		return no_memory();
	if (from->count > 0)
		memcpy(copy, from->as.str, from->count);
	copy[from->count] = '\0';
	to->kind_case = MP__VALUE__KIND_STR;
	to->str = copy;
	return 0;
}

static int make_room(struct mp__cargo *cargo, size_t needed)
{
	if (needed <= cargo->room)
		return 0;
	if (!cargo->grows)
		return mp_error_set(
			-EMSGSIZE, "more than %zu descriptors in one message", cargo->room);
	size_t room = needed < cargo->room * 2 ? cargo->room * 2 : needed;
	int *fds = realloc(cargo->fds, room * sizeof(*fds));
	if (!fds)
		return no_memory();
	cargo->fds = fds;
	cargo->room = room;
	return 0;
}

static int load_fds(struct encoder *e, const int *fds, size_t n)
{
	int r = make_room(e->cargo, e->n_fds + n);

	if (r < 0)
		return r;
	if (n > 0)
		memcpy(e->cargo->fds + e->n_fds, fds, n * sizeof(*fds));
	e->n_fds += n;
	return 0;
}

static int export_handle(struct encoder *e, const mp_obj *from, Mp__Handle *to)
{
	struct mp__handle *handle = from->as.handle;
	struct mp__handle_wire wire = {0};

	int r = handle->class->export(handle, &wire);
	if (r < 0)
		return r;
	to->data.len = wire.size;
	to->data.data = mp__arena_alloc(e->arena, wire.size);
	if (!to->data.data)
		return no_memory();
	memcpy(to->data.data, wire.data, wire.size);
	to->descriptors = (uint32_t)wire.n_fds;
	return load_fds(e, wire.fds, wire.n_fds);
}

/* The bytes of a reference, behind the struct that protobuf-c packs. */
struct reference {
	Mp__Reference message;
	struct mp__reference bytes;
};

static int encode_reference(struct encoder *e, const mp_obj *from, Mp__Value *to)
{
	struct mp__referrer *referrer = e->cargo->referrer;
	struct reference *reference = mp__arena_alloc(e->arena, sizeof(*reference));

	if (!reference)
		return no_memory();
	if (from->kind == MP__HANDLE_FD)
		return mp_error_set(
			-ENOTSUP, "a descriptor in a value for managerd, which cannot keep it");
	int r = referrer->refer(referrer, from->as.handle, &reference->bytes);
	if (r < 0)
		return r;
	mp__reference__init(&reference->message);
	reference->message.token =
		(ProtobufCBinaryData){sizeof(reference->bytes.token), reference->bytes.token};
	reference->message.class_name = reference->bytes.class_name;
	to->kind_case = MP__VALUE__KIND_REFERENCE;
	to->reference = &reference->message;
	return 0;
}

static int encode_handle(struct encoder *e, const mp_obj *from, Mp__Value *to)
{
	if (!e->cargo)
		return mp_error_set(-ENOTSUP, "a handle cannot travel in bytes alone: pass it as "
					      "an argument, or over a connection");
	if (e->cargo->referrer)
		return encode_reference(e, from, to);
	Mp__Handle *handle = mp__arena_alloc(e->arena, sizeof(*handle));
	if (!handle)
		return no_memory();
	mp__handle__init(handle);
	handle->kind = from->kind;
	to->kind_case = MP__VALUE__KIND_HANDLE;
	to->handle = handle;
	if (from->kind != MP__HANDLE_FD)
		return export_handle(e, from, handle);
	int fd = mp_obj_fd(from);
	if (fd < 0)
		return fd;
	handle->descriptors = 1;
	return load_fds(e, &fd, 1);
}

static int encode(struct encoder *e, const mp_obj *from, Mp__Value *to);

static int encode_items(struct encoder *e, const mp_obj *from, Mp__Value ***ret_items)
{
	Mp__Value **pointers = mp__arena_array(e->arena, from->count, sizeof(Mp__Value *));
	Mp__Value *values = mp__arena_array(e->arena, from->count, sizeof(*values));
	int r = 0;

	if (!pointers || !values)
		return no_memory();
	for (size_t i = 0; i < from->count && r == 0; i++) {
		pointers[i] = &values[i];
		r = encode(e, &from->as.items[i], &values[i]);
	}
	*ret_items = pointers;
	return r;
}

static int encode_list(struct encoder *e, const mp_obj *from, Mp__Value *to)
{
	Mp__List *list = mp__arena_alloc(e->arena, sizeof(*list));

	if (!list)
		return no_memory();
	mp__list__init(list);
	list->n_items = from->count;
	to->kind_case = MP__VALUE__KIND_LIST;
	to->list = list;
	return encode_items(e, from, &list->items);
}

static int encode_dict(struct encoder *e, const mp_obj *from, Mp__Value *to)
{
	Mp__Dict *dict = mp__arena_alloc(e->arena, sizeof(*dict));

	if (!dict)
		return no_memory();
	mp__dict__init(dict);
	dict->n_items = from->count;
	to->kind_case = MP__VALUE__KIND_DICT;
	to->dict = dict;
	return encode_items(e, from, &dict->items);
}

/* `from` has been measured: it is valid, and the recursion is bounded. */
static int encode(struct encoder *e, const mp_obj *from, Mp__Value *to)
{
	mp__value__init(to);
	switch ((enum mp_type)from->type) {
	case MP_TYPE_NIL:
		to->kind_case = MP__VALUE__KIND_NIL;
		to->nil = MP__NIL__NIL;
		break;
	case MP_TYPE_BOOL:
		to->kind_case = MP__VALUE__KIND_BOOLEAN;
		to->boolean = from->as.boolean;
		break;
	case MP_TYPE_I64:
		to->kind_case = MP__VALUE__KIND_I64;
		to->i64 = from->as.i64;
		break;
	case MP_TYPE_U64:
		to->kind_case = MP__VALUE__KIND_U64;
		to->u64 = from->as.u64;
		break;
	case MP_TYPE_F64:
		to->kind_case = MP__VALUE__KIND_F64;
		to->f64 = from->as.f64;
		break;
	case MP_TYPE_BYTES:
		to->kind_case = MP__VALUE__KIND_BYTES;
		to->bytes.len = from->count;
		to->bytes.data = (uint8_t *)from->as.bytes;
		break;
	case MP_TYPE_STR:
		return encode_str(e, from, to);
	case MP_TYPE_LIST:
		return encode_list(e, from, to);
	case MP_TYPE_DICT:
		return encode_dict(e, from, to);
	case MP_TYPE_HANDLE:
		return encode_handle(e, from, to);
	}
	return 0;
}

/* The tree; returns its size as bytes. */
static ssize_t prepare(struct encoder *e, const mp_obj *value, Mp__Value *ret_root)
{
	struct mp__block_plan plan;

	int r = mp__obj_measure(value, &plan);
	if (r < 0)
		return r;
	/* Each item takes at least one byte: what is hopeless is refused before the work. */
	if (plan.text > INT32_MAX || plan.nodes > INT32_MAX)
		return mp_error_set(-EMSGSIZE, "a value of more than 2 GiB - 1");
	r = encode(e, value, ret_root);
	if (r < 0)
		return r;
	size_t size = mp__value__get_packed_size(ret_root);
	if (size > INT32_MAX)
		return mp_error_set(-EMSGSIZE, "a value of more than 2 GiB - 1: %zu bytes", size);
	return (ssize_t)size;
}

static void commit(const struct encoder *e)
{
	if (e->cargo)
		e->cargo->n_fds = e->n_fds;
}

static uint8_t *allocate(size_t reserve, size_t size)
{
	uint8_t *data = reserve > SIZE_MAX / 2 ? NULL : malloc(reserve + size);

	if (!data)
		no_memory();
	return data;
}

static int encode_large(const mp_obj *value, size_t reserve, struct mp__cargo *cargo,
	void **ret_data, size_t *ret_size)
{
	MP__ARENA(arena, STACK_ARENA);
	struct encoder e = {&arena, cargo, cargo ? cargo->n_fds : 0};
	Mp__Value root;

	ssize_t size = prepare(&e, value, &root);
	if (size < 0)
		return (int)size;
	uint8_t *data = allocate(reserve, (size_t)size);
	if (!data)
		return -ENOMEM;
	mp__value__pack(&root, data + reserve);
	commit(&e);
	*ret_data = data;
	*ret_size = reserve + (size_t)size;
	return 0;
}

int mp__obj_encode(const mp_obj *value, size_t reserve, struct mp__cargo *cargo, void **ret_data,
	size_t *ret_size)
{
	uint8_t small[MP__SMALL_BYTES];
	size_t size = mp__small_encode(value, small, sizeof(small));

	if (size == 0)
		return encode_large(value, reserve, cargo, ret_data, ret_size);
	uint8_t *data = allocate(reserve, size);
	if (!data)
		return -ENOMEM;
	memcpy(data + reserve, small, size);
	*ret_data = data;
	*ret_size = reserve + size;
	return 0;
}

static ssize_t encode_large_into(
	const mp_obj *value, struct mp__cargo *cargo, void *buffer, size_t room)
{
	MP__ARENA(arena, STACK_ARENA);
	struct encoder e = {&arena, cargo, cargo ? cargo->n_fds : 0};
	Mp__Value root;

	ssize_t size = prepare(&e, value, &root);
	if (size >= 0 && (size_t)size <= room) {
		mp__value__pack(&root, buffer);
		commit(&e);
	}
	return size;
}

MP__HOT ssize_t mp__obj_encode_into(
	const mp_obj *value, struct mp__cargo *cargo, void *buffer, size_t room)
{
	ssize_t size = (ssize_t)mp__small_encode(value, buffer, room);

	return size > 0 ? size : encode_large_into(value, cargo, buffer, room);
}

int mp_obj_encode(mp_obj value, void **ret_data, size_t *ret_size)
{
	if (!ret_data || !ret_size)
		return mp_error_set(-EINVAL, "encoding a value: no place for the result");
	return mp__obj_encode(&value, 0, NULL, ret_data, ret_size);
}
