/* SPDX-License-Identifier: MIT */
/* How semaphores are made, in memory of the user's or as objects of their own, and how they travel. */
#include <config.h>

#include "sync/semaphore.h"

#include "base/error.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "sync/semaphore_layout.h"

#include <mp/handle.h>

int mp_semaphore_init(mp_semaphore *semaphore, int64_t value, const mp_semaphore_options *options)
{
	struct mp__semaphore *s = (struct mp__semaphore *)semaphore;
	mp_semaphore_options o;

	int r = mp__options_load(&o, sizeof(o), 0, options);
	if (r < 0)
		return r;
	r = mp__sync_place((const struct mp__sync_head *)s, MP__MAGIC_SEMAPHORE);
	if (r < 0)
		return r;
	if (value < 0)
		return mp_error_set(-EINVAL, "semaphore of %lld permits: it must be 0 or more",
			(long long)value);
	if (value > MP_SEMAPHORE_MAX)
		return mp_error_set(-EOVERFLOW, "semaphore of %lld permits: the most are %d",
			(long long)value, MP_SEMAPHORE_MAX);

	mp__sync_prepare(&s->head, o.name,
		(o.bounded ? MP__SEMAPHORE_BOUNDED : 0) |
			(o.ownerless ? MP__SEMAPHORE_OWNERLESS : 0));
	memset((char *)s + sizeof(s->head), 0, sizeof(*s) - sizeof(s->head));
	atomic_store_explicit(&s->value, (uint32_t)value, memory_order_relaxed);
	atomic_store_explicit(&s->total, (uint32_t)value, memory_order_relaxed);
	s->limit = o.bounded ? (uint32_t)value : MP_SEMAPHORE_MAX;
	s->n_cells = MP_SEMAPHORE_HOLDERS;
	MP__TEST_POINT("semaphore.made");
	mp__sync_publish(&s->head, MP__MAGIC_SEMAPHORE);
	return 0;
}

/* --- an object of its own ----------------------------------------------------------------------- */

static int check_import(const void *object, size_t size)
{
	const struct mp__semaphore *s = object;

	if (size < sizeof(*s) || mp__sync_check(&s->head, MP__MAGIC_SEMAPHORE) < 0)
		return mp_error_set(-EBADMSG, "the handle of a semaphore leads to something else");
	return 0;
}

MP__SLAB_TYPE(mp__semaphore_type, MP__HANDLE_SEMAPHORE, "semaphore", check_import)

int mp_semaphore_new(
	int64_t value, const mp_semaphore_options *options, mp_semaphore **ret_semaphore)
{
	void *object;

	int r = mp__slab_alloc(sizeof(struct mp__semaphore), MP__HANDLE_SEMAPHORE, &object);
	if (r < 0)
		return r;
	r = mp_semaphore_init(object, value, options);
	if (r < 0) {
		mp__slab_unref(object);
		return r;
	}
	*ret_semaphore = object;
	return 0;
}

mp_semaphore *mp_semaphore_ref(mp_semaphore *semaphore)
{
	mp__slab_ref(semaphore);
	return semaphore;
}

void mp_semaphore_close(mp_semaphore *semaphore)
{
	mp__slab_unref(semaphore);
}

mp_obj mp_semaphore_handle(mp_semaphore *semaphore)
{
	return mp__slab_handle(semaphore, MP__HANDLE_SEMAPHORE);
}

mp_semaphore *mp_obj_semaphore(const mp_obj *value)
{
	return mp__slab_object(value, MP__HANDLE_SEMAPHORE);
}
