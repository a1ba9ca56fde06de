/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/object.h"

#include "base/error.h"

int mp__object_place(
	const struct mp__slab_type *type, size_t size, const void *ret, void **ret_object)
{
	if (!ret)
		return mp_error_set(-EINVAL, "a new %s: nowhere to put it", type->class.name);
	return mp__slab_alloc(size, type->class.kind, ret_object);
}

int mp__object_keep(void *object, int r)
{
	if (r < 0)
		(void)mp__slab_unref(object);
	return r;
}

int mp__object_check(const void *object, size_t size, size_t least, uint32_t magic)
{
	const struct mp__sync_head *head = object;

	if (size < least || atomic_load_explicit(&head->magic, memory_order_acquire) != magic)
		return mp_error_set(-EBADMSG, "another object stands there, or none");
	return 0;
}

size_t mp__object_room(const void *object, size_t least)
{
	static __thread struct {
		const void *object;
		uint64_t generation;
		size_t size;
	} known __attribute__((tls_model("initial-exec")));
	uint64_t generation = atomic_load_explicit(&mp__slab_generation, memory_order_acquire);

	if (known.object != object || known.generation != generation) {
		known.size = mp__slab_size(object);
		known.object = object;
		known.generation = generation;
	}
	return known.size > least ? known.size : least;
}
