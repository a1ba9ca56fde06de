/* SPDX-License-Identifier: MIT */
/* Deep copies, and their end. */
#include <config.h>

#include "base/error.h"
#include "base/fds.h"
#include "obj/block.h"
#include "obj/measure.h"

#include <mp/handle.h>

static int copy_handle(struct mp__builder *builder, const mp_obj *from, mp_obj *to)
{
	if (from->kind != MP__HANDLE_FD) {
		struct mp__handle *handle = from->as.handle;
		handle->class->ref(handle);
		*to = mp__block_handle(builder, handle);
		return 0;
	}
	int fd = mp_obj_fd(from);
	if (fd >= 0)
		fd = mp__fd_dup(fd);
	if (fd < 0)
		return fd;
	*to = mp__block_fd(builder, fd);
	return 0;
}

/* Only the members that mean something are copied: what is left over in a union stays behind. */
static int copy(struct mp__builder *builder, const mp_obj *from, mp_obj *to)
{
	int r = 0;

	switch ((enum mp_type)from->type) {
	case MP_TYPE_NIL:
		*to = mp_nil();
		break;
	case MP_TYPE_BOOL:
		*to = mp_bool(from->as.boolean);
		break;
	case MP_TYPE_I64:
		*to = mp_i64(from->as.i64);
		break;
	case MP_TYPE_U64:
		*to = mp_u64(from->as.u64);
		break;
	case MP_TYPE_F64:
		*to = mp_f64(from->as.f64);
		break;
	case MP_TYPE_STR:
		*to = mp_strn(mp__block_str(builder, from->as.str, from->count), from->count);
		break;
	case MP_TYPE_BYTES:
		*to = mp_bytes(mp__block_bytes(builder, from->as.bytes, from->count), from->count);
		break;
	case MP_TYPE_HANDLE:
		return copy_handle(builder, from, to);
	case MP_TYPE_LIST:
	case MP_TYPE_DICT: {
		mp_obj *items = mp__block_items(builder, from->count);
		for (size_t i = 0; i < from->count && r == 0; i++)
			r = copy(builder, &from->as.items[i], &items[i]);
		*to = mp_list_of(items, from->count);
		to->type = from->type;
		break;
	}
	}
	return r;
}

int mp_obj_copy(mp_obj value, mp_obj *ret_copy)
{
	struct mp__block_plan plan;
	struct mp__builder builder;
	mp_obj result;

	if (!ret_copy)
		return mp_error_set(-EINVAL, "copying a value: no place for the copy");
	int r = mp__obj_measure(&value, &plan);
	if (r < 0)
		return r;
	r = mp__block_new(&plan, &builder);
	if (r < 0)
		return r;
	r = copy(&builder, &value, &result);
	if (r < 0) {
		mp__block_free(builder.block);
		return r;
	}
	result.block = builder.block;
	*ret_copy = result;
	return 0;
}

void mp_obj_free(mp_obj *value)
{
	if (!value || !value->block)
		return;
	mp__block_free(value->block);
	*value = mp_nil();
}
