/* SPDX-License-Identifier: MIT */
/*
 * shm/slab.h - small objects in shared memory, thousands to one segment.
 *
 * A lock is 64 bytes; giving each a file, a descriptor and a mapping would cost pages and run out of
 * descriptors. So this process carves its objects out of slabs, anonymous segments that it alone
 * allocates from, each place once. A slab is unmapped here when this process has closed the last
 * object that it has in it, and its memory goes with the last process that has it mapped: the kernel
 * counts, and a killed process leaves nothing to repair. Places are not used again, because nobody
 * can know whether a process that was forked or handed a handle still works there.
 *
 * An object is its address: the pointer that mp__slab_alloc() returns is what the user's handle is,
 * and works in forked children as it is. To travel otherwise it becomes a handle (slab's descriptor,
 * offset), imported elsewhere at another address.
 */
#ifndef MP_SHM_SLAB_H
#define MP_SHM_SLAB_H

#include "obj/handle.h"

#include <stdbool.h>
#include <stddef.h>

/* Each object begins at a multiple of this: a cache line. */
#define MP__SLAB_ALIGN 64

/*
 * `size` zeroed bytes for a new object of this kind, with one reference. -ENOSPC, -EMFILE, -ENOMEM,
 * -EINVAL more than MP__SLAB_OBJECT_MAX bytes, or MP__SLAB_ARRAY_MAX.
 */
#define MP__SLAB_OBJECT_MAX (1u << 20)
#define MP__SLAB_ARRAY_MAX (UINT64_C(1) << 40) /* a value or an array */
int mp__slab_alloc(size_t size, enum mp__handle_kind kind, void **ret_object);

/*
 * One reference of this process more, or less (with the last one the object's place is given up
 * here). `object` must come from mp__slab_alloc() or mp__slab_object(); false: no slab has it, as
 * for an object in the user's own memory, and nothing was done.
 */
bool mp__slab_ref(void *object);
bool mp__slab_unref(void *object);

/* How many bytes the object has at least; 0: no slab has it. */
size_t mp__slab_size(const void *object);

/* Moves on when a slab is unmapped here: another object may stand at an address from then on. */
extern _Atomic uint64_t mp__slab_generation;

/* The object as a value for mp_obj; nil if no slab has it, or it is of another kind. Borrows. */
mp_obj mp__slab_handle(void *object, enum mp__handle_kind kind);
/* The object in a value of that kind, or NULL. It belongs to the value. */
void *mp__slab_object(const mp_obj *value, enum mp__handle_kind kind);

/*
 * Each kind says once how to know its objects, before an imported handle may lead there.
 *
 *	MP__SLAB_TYPE(mp__lock_type, MP__HANDLE_LOCK, "lock", check_lock)     in lock.c
 *	extern const struct mp__slab_type mp__lock_type;                      in lock.h
 *	&mp__lock_type.class,                                                 in src/handles.c
 */
struct mp__slab_type {
	struct mp__handle_class class; /* first: a class is its type */
	/*
	 * Is this (size bytes of hostile memory, aligned) an object of the kind? 0 or -EBADMSG. It
	 * calls nothing of this header.
	 */
	int (*check)(const void *object, size_t size);
};
void mp__slab_handle_ref(struct mp__handle *handle);
void mp__slab_handle_unref(struct mp__handle *handle);
int mp__slab_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire);
int mp__slab_import(
	const struct mp__slab_type *type, struct mp__handle_wire *wire, struct mp__handle **ret);

#define MP__SLAB_TYPE(symbol, its_kind, its_name, its_check)                              \
	extern const struct mp__slab_type symbol;                                         \
	static int symbol##_import(struct mp__handle_wire *wire, struct mp__handle **ret) \
	{                                                                                 \
		return mp__slab_import(&symbol, wire, ret);                               \
	}                                                                                 \
	const struct mp__slab_type symbol = {                                             \
		.class = {.kind = (its_kind),                                             \
			.name = (its_name),                                               \
			.ref = mp__slab_handle_ref,                                       \
			.unref = mp__slab_handle_unref,                                   \
			.export = mp__slab_export,                                        \
			.import = symbol##_import},                                       \
		.check = (its_check),                                                     \
	};

#endif
