/* SPDX-License-Identifier: MIT */
/* Descriptors as values; how they are recorded is told in obj/block.h. */
#include <config.h>

#include "base/error.h"
#include "obj/block.h"
#include "obj/measure.h"

#include <mp/handle.h>

mp_obj mp_fd(int fd)
{
	mp_obj o = mp__obj_of(MP_TYPE_HANDLE);

	o.kind = MP__HANDLE_FD;
	o.as.i64 = fd;
	return o;
}

static bool is_fd(const mp_obj *value)
{
	return value && value->type == MP_TYPE_HANDLE && value->kind == MP__HANDLE_FD;
}

static int not_fd(const mp_obj *value)
{
	return mp_error_set(-EINVAL, "a descriptor was asked for, the value is %s",
		value ? mp__type_name(value->type) : "NULL");
}

int mp_obj_fd(const mp_obj *value)
{
	if (!is_fd(value))
		return not_fd(value);
	struct mp__held *held = mp__held_fd(value);
	int fd = held ? atomic_load(&held->fd) : (int)value->as.i64;
	if (fd < 0)
		return mp_error_set(
			-EBADF, held ? "the descriptor was taken" : "the descriptor is negative");
	return fd;
}

int mp_obj_take_fd(const mp_obj *value)
{
	if (!is_fd(value))
		return not_fd(value);
	struct mp__held *held = mp__held_fd(value);
	if (!held)
		return mp_error_set(-EPERM, "taking a descriptor that is borrowed, by mp_fd(): use "
					    "the number as it is");
	int fd = atomic_exchange(&held->fd, -1);
	if (fd < 0)
		return mp_error_set(-EBADF, "taking a descriptor that was taken already");
	return fd;
}
