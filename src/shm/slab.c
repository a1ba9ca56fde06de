/* SPDX-License-Identifier: MIT */
/*
 * What this process knows of its slabs stands in private memory: a list of slabs, and in each a
 * table of records by place, one for each object that is referred to here.
 *
 * A forked child has a copy of all that, made at some instant between two stores of another thread.
 * So each change becomes visible by one store: a record before its slot in the table, a slab before
 * its place in the list; and what is removed leaves the other way round. Then every instant is a
 * good one, and the child merely makes the lock its own.
 */
#include <config.h>

#include "shm/slab.h"

#include "base/error.h"
#include "base/fork_lock.h"
#include "base/origin.h"
#include "shm/segment.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK UINT64_C(65536)           /* memory is allocated so much at a time */
#define SLAB_MAX (256 * CHUNK)          /* then the next slab begins */
#define LARGE (CHUNK / 2)               /* a larger object has a slab of its own */
#define PLACES (CHUNK / MP__SLAB_ALIGN) /* in a chunk */

_Static_assert(sizeof(struct mp__segment_header) % MP__SLAB_ALIGN == 0, "where objects begin");

static const struct mp__segment_type slab_type = {
	.kind = MP__SEGMENT_SLAB,
	.fingerprint = 1,
	.name = "mp-slab",
	.what = "small shared objects",
};

/* An object that this process refers to. */
struct record {
	struct mp__handle handle; /* its class is NULL until a kind is in the table of classes */
	struct slab *slab;
	char *object;
	size_t size;
	enum mp__handle_kind kind;
	unsigned int refs;
};

typedef struct record *_Atomic places[PLACES];

struct slab {
	struct slab *_Atomic next;
	struct mp__segment seg;
	mp__origin allocator; /* the process that may carve objects out of it; 0: none */
	uint64_t used;
	size_t live; /* records; one too many in a child that was forked at a bad moment */
	places *_Atomic chunks[];
};

_Atomic uint64_t mp__slab_generation;

static struct mp__fork_lock lock;
static struct slab *_Atomic slabs;
static struct slab *current; /* the one of this process that is not full */

static void take_lock(void)
{
	(void)mp__fork_lock_take(&lock, MP__DEADLINE_NEVER);
}

static void release_lock(void)
{
	mp__fork_lock_release(&lock);
}

/* --- records: under the lock ------------------------------------------------------------------- */

static struct record *_Atomic *slot_of(const struct slab *slab, uint64_t offset)
{
	places *chunk = slab->chunks[offset / CHUNK];

	return chunk ? &(*chunk)[offset % CHUNK / MP__SLAB_ALIGN] : NULL;
}

static struct record *find(const void *object)
{
	for (struct slab *s = slabs; s; s = s->next) {
		uint64_t offset = (uintptr_t)object - (uintptr_t)s->seg.header;
		if (offset >= s->seg.max_size)
			continue;
		struct record *_Atomic *slot = slot_of(s, offset);
		return slot && offset % MP__SLAB_ALIGN == 0 ? *slot : NULL;
	}
	return NULL;
}

static int no_memory(void)
{
	return mp_error_set(-ENOMEM, "no memory for a record of a shared object");
}

/* A record that nobody finds yet, with room for it in the table. */
static int record_new(struct slab *slab, uint64_t offset, size_t size, struct record **ret_record)
{
	places *_Atomic *chunk = &slab->chunks[offset / CHUNK];

	if (!*chunk)
		*chunk = calloc(1, sizeof(places));
	struct record *record = *chunk ? calloc(1, sizeof(*record)) : NULL;
	if (!record)
		return no_memory();
	record->slab = slab;
	record->object = (char *)slab->seg.header + offset;
	record->size = size;
	record->refs = 1;
	*ret_record = record;
	return 0;
}

static void record_enter(struct record *record)
{
	struct slab *slab = record->slab;

	slab->live++;
	*slot_of(slab, (uint64_t)(record->object - (char *)slab->seg.header)) = record;
}

/* --- slabs: under the lock --------------------------------------------------------------------- */

/* Takes the segment, whatever comes of it. */
static int slab_new(struct mp__segment *seg, mp__origin allocator, struct slab **ret_slab)
{
	size_t n_chunks = (size_t)((seg->max_size + CHUNK - 1) / CHUNK);
	struct slab *slab = calloc(1, sizeof(*slab) + n_chunks * sizeof(slab->chunks[0]));

	if (!slab) {
		mp__segment_close(seg);
		return no_memory();
	}
	slab->seg = *seg;
	slab->allocator = allocator;
	slab->used = sizeof(struct mp__segment_header);
	slab->next = slabs;
	slabs = slab;
	*ret_slab = slab;
	return 0;
}

static void slab_drop_unused(struct slab *slab)
{
	struct slab *_Atomic *at = &slabs;

	if (slab->live > 0)
		return;
	if (current == slab)
		current = NULL;
	while (*at != slab)
		at = &(*at)->next;
	*at = slab->next;
	mp__slab_generation++;
	for (uint64_t i = 0; i * CHUNK < slab->seg.max_size; i++)
		free(slab->chunks[i]);
	mp__segment_close(&slab->seg);
	free(slab);
}

static int slab_create(uint64_t size, uint64_t max_size, mp__origin allocator, struct slab **ret)
{
	struct mp__segment seg;
	int r = mp__segment_create(&slab_type, size, max_size, 0, &seg);

	if (r < 0)
		return r;
	mp__segment_publish(&seg);
	return slab_new(&seg, allocator, ret);
}

/* A slab of this process with room for `size` bytes more. */
static int slab_with_room(size_t size, struct slab **ret_slab)
{
	struct slab *s = current;

	if (size > LARGE)
		return slab_create(sizeof(struct mp__segment_header) + size, 0, 0, ret_slab);
	if (!s || !mp__origin_is_here(s->allocator) || s->used + size > s->seg.max_size) {
		int r = slab_create(CHUNK, SLAB_MAX, mp__origin_here(), &s);
		if (r < 0)
			return r;
		current = s;
	}
	if (s->used + size > s->seg.size) {
		int r = mp__segment_grow(&s->seg, s->seg.size + CHUNK, slab_type.what);
		if (r < 0)
			return r;
	}
	*ret_slab = s;
	return 0;
}

static const struct mp__handle_class *class_of(enum mp__handle_kind kind)
{
	for (const struct mp__handle_class *const *c = mp__handle_classes; *c; c++) {
		if ((*c)->kind == kind)
			return *c;
	}
	return NULL;
}

static int allocate(size_t size, enum mp__handle_kind kind, void **ret_object)
{
	struct slab *slab;
	struct record *record;
	int r = slab_with_room(size, &slab);

	if (r < 0)
		return r;
	r = record_new(slab, slab->used, size, &record);
	if (r < 0) {
		slab_drop_unused(slab);
		return r;
	}
	slab->used += size;
	record->kind = kind;
	record->handle.class = class_of(kind);
	record_enter(record);
	*ret_object = record->object;
	return 0;
}

static uint64_t max_of(enum mp__handle_kind kind)
{
	return kind == MP__HANDLE_VALUE || kind == MP__HANDLE_ARRAY ? MP__SLAB_ARRAY_MAX
								    : MP__SLAB_OBJECT_MAX;
}

int mp__slab_alloc(size_t size, enum mp__handle_kind kind, void **ret_object)
{
	if (size == 0 || size > max_of(kind))
		return mp_error_set(-EINVAL, "a shared object has 1 to %llu bytes, not %zu",
			(unsigned long long)max_of(kind), size);
	take_lock();
	int r = allocate(
		(size + MP__SLAB_ALIGN - 1) / MP__SLAB_ALIGN * MP__SLAB_ALIGN, kind, ret_object);
	release_lock();
	return r;
}

/* --- references -------------------------------------------------------------------------------- */

static void unref_locked(struct record *record)
{
	struct slab *slab = record->slab;

	if (--record->refs > 0)
		return;
	*slot_of(slab, (uint64_t)(record->object - (char *)slab->seg.header)) = NULL;
	slab->live--;
	slab_drop_unused(slab);
	free(record);
}

bool mp__slab_ref(void *object)
{
	take_lock();
	struct record *record = find(object);
	if (record)
		record->refs++;
	release_lock();
	return record;
}

bool mp__slab_unref(void *object)
{
	take_lock();
	struct record *record = find(object);
	if (record)
		unref_locked(record);
	release_lock();
	return record;
}

size_t mp__slab_size(const void *object)
{
	take_lock();
	struct record *record = find(object);
	size_t size = record ? record->size : 0;
	release_lock();
	return size;
}

void mp__slab_handle_ref(struct mp__handle *handle)
{
	take_lock();
	((struct record *)handle)->refs++;
	release_lock();
}

void mp__slab_handle_unref(struct mp__handle *handle)
{
	take_lock();
	unref_locked((struct record *)handle);
	release_lock();
}

mp_obj mp__slab_handle(void *object, enum mp__handle_kind kind)
{
	take_lock();
	struct record *record = object ? find(object) : NULL;
	if (record && (record->kind != kind || !record->handle.class))
		record = NULL;
	release_lock();
	return mp__handle_obj(record ? &record->handle : NULL);
}

void *mp__slab_object(const mp_obj *value, enum mp__handle_kind kind)
{
	struct record *record = (struct record *)mp__obj_handle(value, kind);

	return record ? record->object : NULL;
}

/* --- travelling -------------------------------------------------------------------------------- */

/* What stands in a struct mp__handle_wire, with the slab's descriptor. */
struct travel {
	uint64_t offset;
	uint64_t size;
};

int mp__slab_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	struct record *record = (struct record *)handle;
	struct travel travel = {
		.offset = (uint64_t)(record->object - (char *)record->slab->seg.header),
		.size = record->size,
	};

	memcpy(ret_wire->data, &travel, sizeof(travel));
	ret_wire->size = sizeof(travel);
	ret_wire->fds[0] = record->slab->seg.fd;
	ret_wire->n_fds = 1;
	return 0;
}

/* The slab behind a descriptor that came, which is taken if it is a new one here. */
static int slab_behind(struct mp__handle_wire *wire, struct slab **ret_slab)
{
	struct mp__segment seg;
	struct stat st;

	if (fstat(wire->fds[0], &st) < 0)
		return mp__error_errno("looking at the memory of a shared object");
	for (struct slab *s = slabs; s; s = s->next) {
		if (mp__segment_is(&s->seg, wire->fds[0], &st)) {
			*ret_slab = s;
			return 0;
		}
	}
	int r = mp__segment_attach(&slab_type, wire->fds[0], 0, &seg);
	if (r < 0)
		return r;
	wire->fds[0] = -1;
	return slab_new(&seg, 0, ret_slab);
}

static int import_from(struct slab *slab, const struct mp__slab_type *type,
	const struct travel *travel, struct record **ret_record)
{
	const char *name = type->class.name;

	if (travel->offset % MP__SLAB_ALIGN != 0 ||
		travel->offset < sizeof(struct mp__segment_header) ||
		travel->offset >= slab->seg.max_size || travel->size == 0 ||
		travel->size > max_of(type->class.kind))
		return mp_error_set(-EBADMSG, "the handle of a %s leads nowhere", name);
	if (travel->offset + travel->size > slab->seg.size) {
		int r = mp__segment_refresh(&slab->seg);
		if (r < 0)
			return r;
	}
	if (travel->offset + travel->size > slab->seg.size)
		return mp_error_set(
			-EBADMSG, "the handle of a %s leads behind the end of its memory", name);
	struct record *_Atomic *slot = slot_of(slab, travel->offset);
	if (slot && *slot) {
		if ((*slot)->kind != type->class.kind)
			return mp_error_set(-EBADMSG,
				"the handle of a %s leads to an object of another kind", name);
		(*slot)->refs++;
		*ret_record = *slot;
		return 0;
	}
	if (type->check((const char *)slab->seg.header + travel->offset, travel->size) != 0)
		return mp_error_set(-EBADMSG, "the handle of a %s leads to something else", name);
	int r = record_new(slab, travel->offset, travel->size, ret_record);
	if (r < 0)
		return r;
	(*ret_record)->kind = type->class.kind;
	(*ret_record)->handle.class = &type->class;
	record_enter(*ret_record);
	return 0;
}

int mp__slab_import(
	const struct mp__slab_type *type, struct mp__handle_wire *wire, struct mp__handle **ret)
{
	struct travel travel;
	struct record *record;
	struct slab *slab;

	if (wire->n_fds != 1 || wire->size != sizeof(travel))
		return mp_error_set(-EBADMSG, "the handle of a %s is damaged", type->class.name);
	memcpy(&travel, wire->data, sizeof(travel));
	take_lock();
	int r = slab_behind(wire, &slab);
	if (r == 0) {
		r = import_from(slab, type, &travel, &record);
		if (r < 0)
			slab_drop_unused(slab);
	}
	release_lock();
	if (r == 0)
		*ret = &record->handle;
	return r;
}
