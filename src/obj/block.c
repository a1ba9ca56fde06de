/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "obj/block.h"

#include "base/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static_assert(sizeof(struct mp__block) % _Alignof(struct mp__held) == 0, "held follows");
static_assert(sizeof(struct mp__held) % _Alignof(mp_obj) == 0, "nodes follow");

static bool block_size(const struct mp__block_plan *plan, size_t *ret_size)
{
	size_t held;
	size_t nodes;
	size_t size = sizeof(struct mp__block);

	if (__builtin_mul_overflow(plan->held, sizeof(struct mp__held), &held) ||
		__builtin_mul_overflow(plan->nodes, sizeof(mp_obj), &nodes) ||
		__builtin_add_overflow(size, held, &size) ||
		__builtin_add_overflow(size, nodes, &size) ||
		__builtin_add_overflow(size, plan->text, &size))
		return false;
	*ret_size = size;
	return true;
}

int mp__block_new(const struct mp__block_plan *plan, struct mp__builder *ret_builder)
{
	size_t size;

	*ret_builder = (struct mp__builder){0};
	if (plan->nodes == 0 && plan->text == 0 && plan->held == 0)
		return 0;
	struct mp__block *block = block_size(plan, &size) ? malloc(size) : NULL;
	if (!block)
		return mp_error_set(-ENOMEM, "no memory for a value of %zu items", plan->nodes + 1);
	block->n_held = 0;
	ret_builder->block = block;
	ret_builder->nodes = (mp_obj *)(block->held + plan->held);
	ret_builder->text = (char *)(ret_builder->nodes + plan->nodes);
	return 0;
}

void mp__block_free(struct mp__block *block)
{
	if (!block)
		return;
	for (size_t i = 0; i < block->n_held; i++) {
		struct mp__held *held = &block->held[i];
		int fd = atomic_load(&held->fd);
		if (held->handle)
			held->handle->class->unref(held->handle);
		else if (fd >= 0)
			close(fd);
	}
	free(block);
}

mp_obj *mp__block_items(struct mp__builder *builder, size_t count)
{
	mp_obj *items = builder->nodes;

	if (count == 0)
		return NULL;
	builder->nodes += count;
	return items;
}

const void *mp__block_bytes(struct mp__builder *builder, const void *data, size_t length)
{
	char *copy = builder->text;

	if (length == 0)
		return "";
	memcpy(copy, data, length);
	builder->text += length;
	return copy;
}

const char *mp__block_str(struct mp__builder *builder, const char *text, size_t length)
{
	char *copy = builder->text;

	if (length > 0)
		memcpy(copy, text, length);
	copy[length] = '\0';
	builder->text += length + 1;
	return copy;
}

static struct mp__held *hold(struct mp__builder *builder, struct mp__handle *handle, int fd)
{
	struct mp__held *held = &builder->block->held[builder->block->n_held++];

	held->handle = handle;
	atomic_init(&held->fd, fd);
	return held;
}

mp_obj mp__block_handle(struct mp__builder *builder, struct mp__handle *handle)
{
	hold(builder, handle, -1);
	return mp__handle_obj(handle);
}

mp_obj mp__block_fd(struct mp__builder *builder, int fd)
{
	return (mp_obj){
		.type = MP_TYPE_HANDLE,
		.kind = MP__HANDLE_FD,
		.count = 1,
		.as.handle = hold(builder, NULL, fd),
	};
}
