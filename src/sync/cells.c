/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/cells.h"

#include "base/error.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "sync/lock.h"

#include <mp/handle.h>
#include <stdlib.h>
#include <string.h>

/* --- handles ----------------------------------------------------------------------------------- */

static const char *what_of(enum mp__handle_kind kind)
{
	return kind == MP__HANDLE_VALUE ? "value" : "array";
}

static uint32_t magic_of(enum mp__handle_kind kind)
{
	return kind == MP__HANDLE_VALUE ? MP__MAGIC_VALUE : MP__MAGIC_ARRAY;
}

int mp__cells_missing(const char *what)
{
	return mp_error_set(-EINVAL, "no %s: the pointer is NULL", what);
}

/* Takes the reference to `shared`, whatever comes of it. */
static int handle_of(struct mp__cells_shared *shared, enum mp__handle_kind kind, uint32_t flags,
	size_t item_size, size_t length, struct mp__cells **ret_cells)
{
	struct mp__cells *cells = malloc(sizeof(*cells));

	if (!cells) {
		(void)mp__slab_unref(shared);
		return mp_error_set(
			-ENOMEM, "no memory for the handle of a shared %s", what_of(kind));
	}
	int type = (int)(flags & MP__CELLS_TYPE_MASK);
	*cells = (struct mp__cells){
		.handle = {kind == MP__HANDLE_VALUE ? &mp__value_class : &mp__array_class},
		.references = 1,
		.cell = mp__cell_type(type)->cell,
		.type = type,
		.raw = flags & MP__CELLS_RAW,
		.item_size = item_size,
		.length = length,
		.items = shared->items,
		.shared = shared,
	};
	*ret_cells = cells;
	return 0;
}

struct mp__cells *mp__cells_ref(struct mp__cells *cells)
{
	if (cells)
		atomic_fetch_add_explicit(&cells->references, 1, memory_order_relaxed);
	return cells;
}

void mp__cells_close(struct mp__cells *cells)
{
	if (cells && atomic_fetch_sub_explicit(&cells->references, 1, memory_order_acq_rel) == 1) {
		(void)mp__slab_unref(cells->shared);
		free(cells);
	}
}

static void cells_ref(struct mp__handle *handle)
{
	mp__cells_ref((struct mp__cells *)handle);
}

static void cells_unref(struct mp__handle *handle)
{
	mp__cells_close((struct mp__cells *)handle);
}

static int cells_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	struct mp__cells *cells = (struct mp__cells *)handle;
	mp_obj object = mp__slab_handle(cells->shared, handle->class->kind);

	return mp__slab_export(object.as.handle, ret_wire);
}

/* What stands there, as numbers that are safe to use. */
struct found {
	uint32_t flags;
	uint64_t item_size;
	uint64_t length;
};

static int look(
	const struct mp__cells_shared *shared, size_t size, uint32_t magic, struct found *ret_found)
{
	if (size < sizeof(*shared) ||
		atomic_load_explicit(&shared->head.magic, memory_order_acquire) != magic)
		return mp_error_set(-EBADMSG, "no shared value or array stands there");
	struct found f = {shared->head.flags, shared->item_size, shared->length};
	size_t room = size - sizeof(*shared);
	const struct mp__cell_type *type = mp__cell_type((int)(f.flags & MP__CELLS_TYPE_MASK));
	if ((f.flags & ~(MP__CELLS_TYPE_MASK | MP__CELLS_RAW)) != 0 || f.item_size == 0 ||
		f.length > room / f.item_size ||
		(uint32_t)type->letter != (f.flags & MP__CELLS_TYPE_MASK) ||
		(type->size != 0 && type->size != f.item_size) ||
		(magic == MP__MAGIC_VALUE && f.length != 1))
		return mp_error_set(-EBADMSG, "a shared value or array has sizes that none has");
	*ret_found = f;
	return 0;
}

static int check_value(const void *object, size_t size)
{
	struct found found;

	return look(object, size, MP__MAGIC_VALUE, &found);
}

static int check_array(const void *object, size_t size)
{
	struct found found;

	return look(object, size, MP__MAGIC_ARRAY, &found);
}

/* How the memory below travels; the classes that values and arrays have are further down. */
static const struct mp__slab_type value_memory = {
	.class = {.kind = MP__HANDLE_VALUE, .name = "value"}, .check = check_value};
static const struct mp__slab_type array_memory = {
	.class = {.kind = MP__HANDLE_ARRAY, .name = "array"}, .check = check_array};

static int cells_import(const struct mp__slab_type *memory, struct mp__handle_wire *wire,
	struct mp__handle **ret_handle)
{
	enum mp__handle_kind kind = memory->class.kind;
	struct mp__handle *record;
	struct mp__cells *cells;
	struct found found;
	int r = mp__slab_import(memory, wire, &record);

	if (r < 0)
		return r;
	mp_obj object = mp__handle_obj(record);
	struct mp__cells_shared *shared = mp__slab_object(&object, kind);
	r = look(shared, mp__slab_size(shared), magic_of(kind), &found);
	if (r < 0) {
		mp__slab_handle_unref(record);
		return r;
	}
	r = handle_of(shared, kind, found.flags, found.item_size, found.length, &cells);
	if (r == 0)
		*ret_handle = &cells->handle;
	return r;
}

static int value_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	return cells_import(&value_memory, wire, ret_handle);
}

static int array_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	return cells_import(&array_memory, wire, ret_handle);
}

const struct mp__handle_class mp__value_class = {
	MP__HANDLE_VALUE, "value", cells_ref, cells_unref, cells_export, value_import};
const struct mp__handle_class mp__array_class = {
	MP__HANDLE_ARRAY, "array", cells_ref, cells_unref, cells_export, array_import};

/* --- new --------------------------------------------------------------------------------------- */

int mp__cells_plan(enum mp__handle_kind kind, int type, size_t item_size, size_t length,
	const mp_value_options *options, struct mp__cells_plan *ret_plan)
{
	struct mp__cells_plan plan = {kind, type, item_size, length, false, ""};
	mp_value_options o;
	size_t bytes;
	int r = mp__options_load(&o, sizeof(o), MP_VALUE_RAW, options);

	if (r < 0)
		return r;
	if (type != 0)
		plan.item_size = mp__cell_type(type)->size;
	if (plan.item_size == 0 && type != 0)
		return mp_error_set(-EINVAL,
			type > ' ' && type < 0x7f ? "a shared %s of type '%c': it is one of c u b "
						    "B h H i I l L q Q f d"
						  : "a shared %s of type %d: it is one of c u b B "
						    "h H i I l L q Q f d",
			what_of(kind), type);
	if (plan.item_size == 0 || plan.item_size > PTRDIFF_MAX || length > PTRDIFF_MAX)
		return mp_error_set(-EINVAL, "a shared %s of %zu times %zu bytes", what_of(kind),
			length, plan.item_size);
	if (__builtin_mul_overflow(plan.item_size, length, &bytes) || bytes > MP__CELLS_BYTES_MAX)
		return mp_error_set(-EOVERFLOW,
			"a shared %s of %zu times %zu bytes is more than there can be",
			what_of(kind), length, plan.item_size);
	plan.raw = o.flags & MP_VALUE_RAW;
	if (o.name)
		memcpy(plan.name, o.name, strnlen(o.name, sizeof(plan.name) - 1));
	*ret_plan = plan;
	return 0;
}

int mp__cells_new(
	const struct mp__cells_plan *plan, const void *initial, struct mp__cells **ret_cells)
{
	size_t bytes = plan->item_size * plan->length;
	uint32_t flags = (uint32_t)plan->type | (plan->raw ? MP__CELLS_RAW : 0);
	struct mp__cells_shared *shared;
	void *object;
	int r = mp__slab_alloc(sizeof(*shared) + bytes, plan->kind, &object);

	if (r < 0)
		return r;
	shared = object;
	if (!plan->raw) {
		r = mp_rlock_init(&shared->lock, MP_LOCK_OPTIONS(.name = plan->name));
		if (r < 0) {
			(void)mp__slab_unref(object);
			return r;
		}
	}
	mp__sync_prepare(&shared->head, plan->name, flags);
	shared->item_size = plan->item_size;
	shared->length = plan->length;
	if (initial && bytes > 0)
		memcpy(shared->items, initial, bytes);
	mp__sync_publish(&shared->head, magic_of(plan->kind));
	return handle_of(shared, plan->kind, flags, plan->item_size, plan->length, ret_cells);
}

int mp__cells_copy(struct mp__cells *cells, int timeout_ms, struct mp__cells **ret_copy)
{
	struct mp__cells_plan plan = {cells->handle.class->kind, cells->type, cells->item_size,
		cells->length, cells->raw, ""};
	struct mp__cells *copy;

	mp__sync_name(&cells->shared->head, plan.name);
	int r = mp__cells_new(&plan, NULL, &copy);
	if (r < 0)
		return r;
	r = mp__cells_enter(cells, timeout_ms);
	if (r < 0) {
		mp__cells_close(copy);
		return r;
	}
	for (size_t i = 0; i < copy->length && cells->cell != MP__CELL_STRUCT; i++)
		mp__cells_read(cells, i, copy->items + i * copy->item_size);
	if (cells->cell == MP__CELL_STRUCT)
		memcpy(copy->items, cells->items, cells->item_size * cells->length);
	mp__cells_leave(cells);
	*ret_copy = copy;
	return r;
}

/* --- the lock ---------------------------------------------------------------------------------- */

static int no_lock(const struct mp__cells *cells)
{
	return mp_error_set(-ENOTSUP, "the lock of a %s that was made without one (MP_VALUE_RAW)",
		what_of(cells->handle.class->kind));
}

int mp__cells_acquire(struct mp__cells *cells, int timeout_ms)
{
	return cells->raw ? no_lock(cells) : mp_rlock_acquire(&cells->shared->lock, timeout_ms);
}

int mp__cells_release(struct mp__cells *cells)
{
	return cells->raw ? no_lock(cells) : mp_rlock_release(&cells->shared->lock);
}

int mp__cells_enter(struct mp__cells *cells, int timeout_ms)
{
	int r = cells->raw ? 0 : mp_rlock_acquire(&cells->shared->lock, timeout_ms);

	MP__TEST_POINT("value.entered");
	return r;
}

void mp__cells_leave(struct mp__cells *cells)
{
	MP__TEST_POINT("value.leaving");
	if (!cells->raw)
		(void)mp_rlock_release(&cells->shared->lock);
}

void mp__cells_leave_undone(struct mp__cells *cells, int entered)
{
	if (entered == MP_OWNER_DIED)
		mp__rlock_release_with_news(&cells->shared->lock);
	else
		mp__cells_leave(cells);
}

/* --- items ------------------------------------------------------------------------------------- */

#define COPY_AT_ONCE(bits)                                                           \
	do {                                                                         \
		uint##bits##_t word = atomic_load_explicit(                          \
			(const _Atomic uint##bits##_t *)from, memory_order_acquire); \
		memcpy(to, &word, sizeof(word));                                     \
	} while (0)
#define STORE_AT_ONCE(bits)                                                                      \
	do {                                                                                     \
		uint##bits##_t word;                                                             \
		memcpy(&word, from, sizeof(word));                                               \
		atomic_store_explicit((_Atomic uint##bits##_t *)to, word, memory_order_release); \
	} while (0)

void mp__cells_read(const struct mp__cells *cells, size_t index, void *to)
{
	const void *from = cells->items + index * cells->item_size;

	if (cells->cell == MP__CELL_STRUCT)
		memcpy(to, from, cells->item_size);
	else if (cells->item_size == 1)
		COPY_AT_ONCE(8);
	else if (cells->item_size == 2)
		COPY_AT_ONCE(16);
	else if (cells->item_size == 4)
		COPY_AT_ONCE(32);
	else
		COPY_AT_ONCE(64);
}

void mp__cells_write(struct mp__cells *cells, size_t index, const void *from)
{
	void *to = cells->items + index * cells->item_size;

	if (cells->cell == MP__CELL_STRUCT)
		memcpy(to, from, cells->item_size);
	else if (cells->item_size == 1)
		STORE_AT_ONCE(8);
	else if (cells->item_size == 2)
		STORE_AT_ONCE(16);
	else if (cells->item_size == 4)
		STORE_AT_ONCE(32);
	else
		STORE_AT_ONCE(64);
}
