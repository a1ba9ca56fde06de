/* SPDX-License-Identifier: MIT */
/* How semaphores are made, in memory of the user's or as objects of their own, and how they travel. */
#include <config.h>

#include "sync/semaphore.h"

#include "base/error.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "sync/object.h"
#include "sync/semaphore_layout.h"

/* -EINVAL, -E2BIG, -EOVERFLOW, -ENOSPC more holders than `most`. */
static int load_options(int64_t value, const mp_semaphore_options *options, uint32_t most,
	mp_semaphore_options *ret_known)
{
	int r = mp__options_load(ret_known, sizeof(*ret_known), 0, options);

	if (r < 0)
		return r;
	if (value < 0)
		return mp_error_set(-EINVAL, "semaphore of %lld permits: it must be 0 or more",
			(long long)value);
	if (value > MP_SEMAPHORE_MAX)
		return mp_error_set(-EOVERFLOW, "semaphore of %lld permits: the most are %d",
			(long long)value, MP_SEMAPHORE_MAX);
	if (ret_known->holders == 0)
		ret_known->holders = MP_SEMAPHORE_HOLDERS;
	if (ret_known->holders > most)
		return mp_error_set(-ENOSPC, "semaphore for %u holders: there is room for %u",
			ret_known->holders, most);
	return 0;
}

static size_t size_for(uint32_t holders)
{
	size_t size = sizeof(struct mp__semaphore) + holders * sizeof(struct mp__semaphore_cell);

	return size > sizeof(mp_semaphore) ? size : sizeof(mp_semaphore);
}

static void make(struct mp__semaphore *s, int64_t value, const mp_semaphore_options *known)
{
	mp__sync_prepare(&s->head, known->name,
		(known->bounded ? MP__SEMAPHORE_BOUNDED : 0) |
			(known->ownerless ? MP__SEMAPHORE_OWNERLESS : 0));
	memset((char *)s + sizeof(s->head), 0, size_for(known->holders) - sizeof(s->head));
	atomic_store_explicit(&s->value, (uint32_t)value, memory_order_relaxed);
	atomic_store_explicit(&s->total, (uint32_t)value, memory_order_relaxed);
	s->limit = known->bounded ? (uint32_t)value : MP_SEMAPHORE_MAX;
	atomic_store_explicit(&s->n_cells, (uint16_t)known->holders, memory_order_relaxed);
	MP__TEST_POINT("semaphore.made");
	mp__sync_publish(&s->head, MP__MAGIC_SEMAPHORE);
}

int mp_semaphore_init(mp_semaphore *semaphore, int64_t value, const mp_semaphore_options *options)
{
	struct mp__semaphore *s = (struct mp__semaphore *)semaphore;
	mp_semaphore_options known;
	int r = load_options(value, options, MP_SEMAPHORE_HOLDERS, &known);

	if (r == 0)
		r = mp__sync_place((const struct mp__sync_head *)s, MP__MAGIC_SEMAPHORE);
	if (r == 0)
		make(s, value, &known);
	return r;
}

/* --- an object of its own ----------------------------------------------------------------------- */

static int check_arrived(const void *object, size_t size)
{
	const struct mp__semaphore *s = object;
	int r = mp__object_check(object, size, sizeof(mp_semaphore), MP__MAGIC_SEMAPHORE);

	if (r < 0)
		return r;
	uint32_t holders = atomic_load_explicit(&s->n_cells, memory_order_relaxed);
	if (holders < 1 || holders > MP_SEMAPHORE_HOLDERS_MAX || size_for(holders) > size)
		return mp_error_set(
			-EBADMSG, "a semaphore for %u holders arrived in %zu bytes", holders, size);
	return 0;
}

MP__SYNC_OBJECT_CHECKED(semaphore, SEMAPHORE, check_arrived)

int mp_semaphore_new(
	int64_t value, const mp_semaphore_options *options, mp_semaphore **ret_semaphore)
{
	mp_semaphore_options known;
	void *object = NULL;
	int r = load_options(value, options, MP_SEMAPHORE_HOLDERS_MAX, &known);

	if (r == 0)
		r = mp__object_place(
			&mp__semaphore_type, size_for(known.holders), ret_semaphore, &object);
	if (r < 0)
		return r;
	make(object, value, &known);
	*ret_semaphore = object;
	return 0;
}
