/* SPDX-License-Identifier: MIT */
/*
 * sync/object.h - what the objects of sync have in common that stand for themselves (mp_X_new()).
 *
 * Such an object is its layout in a slab (shm/slab.h), and its pointer is the user's handle. All that
 * differs between the kinds is how one is made and how big it is; so the calls that refer to one,
 * close it, and send it are written here, once.
 *
 *	MP__SYNC_OBJECT(lock, LOCK)	in lock.c: mp__lock_type, and mp_lock_ref(), mp_lock_close(),
 *					mp_lock_handle(), mp_obj_lock()
 */
#ifndef MP_SYNC_OBJECT_H
#define MP_SYNC_OBJECT_H

#include "shm/slab.h"
#include "sync/head.h"

#include <mp/handle.h>

/* Room for a new object. -EINVAL `ret` (mp_X_new()'s last argument) is NULL; as mp__slab_alloc(). */
int mp__object_place(
	const struct mp__slab_type *type, size_t size, const void *ret, void **ret_object);

/* `r` came from its init: if that is an error, the room is given up. Returns r. */
int mp__object_keep(void *object, int r);

/* Is what arrived in so many bytes an object of this magic, with room for `least` bytes? -EBADMSG. */
int mp__object_check(const void *object, size_t size, size_t least, uint32_t magic);

/*
 * How many bytes are there for this object, of which `least` are certain: what a slab knows of it,
 * not what stands in it, which others can write. Remembered, for who works with one for a while.
 */
size_t mp__object_room(const void *object, size_t least);

/* `check` is that of struct mp__slab_type. */
#define MP__SYNC_OBJECT_CHECKED(name, NAME, check)                             \
	MP__SLAB_TYPE(mp__##name##_type, MP__HANDLE_##NAME, #name, check)      \
	mp_##name *mp_##name##_ref(mp_##name *object)                          \
	{                                                                      \
		if (object)                                                    \
			(void)mp__slab_ref(object);                            \
		return object;                                                 \
	}                                                                      \
	void mp_##name##_close(mp_##name *object)                              \
	{                                                                      \
		if (object)                                                    \
			(void)mp__slab_unref(object);                          \
	}                                                                      \
	mp_obj mp_##name##_handle(mp_##name *object)                           \
	{                                                                      \
		return mp__slab_handle(object, MP__HANDLE_##NAME);             \
	}                                                                      \
	mp_##name *mp_obj_##name(const mp_obj *value)                          \
	{                                                                      \
		return (mp_##name *)mp__slab_object(value, MP__HANDLE_##NAME); \
	}

/* For kinds whose objects all have the size of their public struct. */
#define MP__SYNC_OBJECT(name, NAME)                                                         \
	static int check_arrived(const void *object, size_t size)                           \
	{                                                                                   \
		return mp__object_check(object, size, sizeof(mp_##name), MP__MAGIC_##NAME); \
	}                                                                                   \
	MP__SYNC_OBJECT_CHECKED(name, NAME, check_arrived)

#endif
