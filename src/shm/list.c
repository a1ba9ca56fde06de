/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/list.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "obj/utf8.h"
#include "shm/list_layout.h"

#include <inttypes.h>
#include <mp/shared_list.h>
#include <string.h>

/* Of the slots, so much is looked at for signs that another writer gets on. */
#define SIGNS_MAX 16384
#define SMALL 512 /* items up to this size are copied on the stack */
#define ITEM_MAX (UINT32_C(1) << 31)

typedef _Atomic uint64_t word;

/* A list is its block, by another name. */
static mp_block *block_of(const mp_shared_list *list)
{
	return (mp_block *)(uintptr_t)list;
}

static struct mp__list_header *header_of(const mp_shared_list *list)
{
	return mp_block_data(block_of(list));
}

/* --- items as bytes ---------------------------------------------------------------------------- */

/* An item that was checked: what goes into a cell. */
struct raw {
	uint64_t head; /* type, and the length of what follows */
	const void *bytes;
	uint64_t scalar;
};

static int raw_text(const mp_obj *item, struct raw *ret)
{
	if (item->count > ITEM_MAX)
		return mp_error_set(-EMSGSIZE,
			"an item of a shared list has %zu bytes, more "
			"than any may have",
			item->count);
	if (item->count > 0 && !item->as.bytes)
		return mp_error_set(-EINVAL, "an item of a shared list points to nothing");
	if (item->type == MP_TYPE_STR && !mp__utf8_valid(item->as.str, item->count))
		return mp_error_set(-EILSEQ, "a string for a shared list is not UTF-8");
	ret->head = item->type | (uint64_t)item->count << 8;
	ret->bytes = item->as.bytes;
	return 0;
}

static int raw_of(const mp_obj *item, struct raw *ret)
{
	uint32_t type = item->type;

	*ret = (struct raw){.bytes = NULL};
	switch (type) {
	case MP_TYPE_STR:
	case MP_TYPE_BYTES:
		return raw_text(item, ret);
	case MP_TYPE_NIL:
		break;
	case MP_TYPE_BOOL:
		ret->scalar = item->as.boolean;
		break;
	case MP_TYPE_U64:
		if (item->as.u64 > INT64_MAX)
			return mp_error_set(-ERANGE,
				"%" PRIu64 " is more than an item of a shared list holds",
				item->as.u64);
		type = MP_TYPE_I64;
		ret->scalar = item->as.u64;
		break;
	case MP_TYPE_I64:
	case MP_TYPE_F64:
		memcpy(&ret->scalar, &item->as, sizeof(ret->scalar));
		break;
	default:
		return mp_error_set(-EINVAL,
			"an item of a shared list is nil, bool, int, double, str or bytes");
	}
	ret->head = type | (uint64_t)sizeof(ret->scalar) << 8;
	return 0;
}

static uint64_t length_of(uint64_t head)
{
	return head >> 8;
}

static uint64_t round_up(uint64_t value)
{
	return (value + 7) & ~UINT64_C(7);
}

static uint32_t room_for(const struct raw *raw)
{
	uint64_t length = round_up(length_of(raw->head));

	return length < 8 ? 8 : (uint32_t)length;
}

/* --- slots ------------------------------------------------------------------------------------- */

/* Where the two cells of a slot are, checked. */
struct place {
	struct mp__list_slot *slot;
	uint32_t room;
	word *cells[2];
};

static int bad(const char *why)
{
	return mp_error_set(-EBADMSG, "a shared list is damaged: %s", why);
}

static uint64_t n_of(const struct mp__list_header *header, size_t size)
{
	uint64_t n = *(volatile const uint64_t *)&header->n;

	return n <= (size - sizeof(*header)) / sizeof(struct mp__list_slot) ? n : 0;
}

static int find(const mp_shared_list *list, int64_t index, struct place *ret)
{
	if (!list)
		return mp_error_set(-EINVAL, "no shared list: the pointer is NULL");
	struct mp__list_header *header = header_of(list);
	size_t size = mp_block_size(block_of(list));
	int64_t n = (int64_t)n_of(header, size);
	if (index < -n || index >= n)
		return mp_error_set(
			-ERANGE, "a shared list has %" PRId64 " items, not %" PRId64, n, index);
	struct mp__list_slot *slot = &header->slots[index < 0 ? index + n : index];
	uint64_t at = *(volatile uint64_t *)&slot->at;
	uint32_t room = *(volatile uint32_t *)&slot->room;
	uint64_t both = 2 * (8 + (uint64_t)room);
	if (room % 8 != 0 || room < 8 || at % 8 != 0 || at > size || both > size - at)
		return bad("a place lies outside");
	ret->slot = slot;
	ret->room = room;
	ret->cells[0] = (word *)((char *)header + at);
	ret->cells[1] = ret->cells[0] + 1 + room / 8;
	return 0;
}

static void cell_write(word *cell, const struct raw *raw)
{
	const char *from = raw->bytes ? raw->bytes : (const char *)&raw->scalar;
	uint64_t length = length_of(raw->head);

	atomic_store_explicit(cell, raw->head, memory_order_relaxed);
	for (uint64_t at = 0; at < length; at += 8) {
		uint64_t w = 0;
		memcpy(&w, from + at, length - at < 8 ? length - at : 8);
		atomic_store_explicit(cell + 1 + at / 8, w, memory_order_relaxed);
	}
}

/*
 * A whole copy: the head; the bytes in `buffer`, rounded up to words. It begins again only when
 * another writer has finished meanwhile.
 */
static uint64_t slot_read(const struct place *place, uint64_t *buffer)
{
	uint32_t version;
	uint64_t head;

	do {
		/* Partner: the release store in slot_write(). */
		version = atomic_load_explicit(&place->slot->version, memory_order_acquire);
		word *cell = place->cells[version & 1];
		head = atomic_load_explicit(cell, memory_order_relaxed);
		uint64_t length = length_of(head);
		for (uint64_t at = 0; at < length && at < place->room; at += 8)
			buffer[at / 8] =
				atomic_load_explicit(cell + 1 + at / 8, memory_order_relaxed);
		/* Partner: the release fence in slot_write(). */
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load_explicit(&place->slot->version, memory_order_relaxed) != version);
	return head;
}

/* Inside the guard. */
static void slot_write(const struct place *place, const struct raw *raw)
{
	uint32_t version = atomic_load_explicit(&place->slot->version, memory_order_relaxed);

	/* Who sees a word of this write sees that the version before it has gone by. */
	atomic_thread_fence(memory_order_release);
	cell_write(place->cells[(version + 1) & 1], raw);
	MP__TEST_POINT("list.written");
	atomic_store_explicit(&place->slot->version, version + 1, memory_order_release);
	MP__TEST_POINT("list.changed");
}

/* --- making ------------------------------------------------------------------------------------ */

static void fill(void *data, const void *context)
{
	const mp_obj *items = context;
	struct mp__list_header *header = data;
	uint64_t at = sizeof(*header) + items->count * sizeof(header->slots[0]);

	header->n = items->count;
	for (size_t i = 0; i < items->count; i++) {
		struct raw raw;
		if (raw_of(&items->as.items[i], &raw) < 0)
			return; /* it was looked at before */
		header->slots[i].room = room_for(&raw);
		header->slots[i].at = at;
		cell_write((word *)((char *)data + at), &raw);
		at += 2 * (8 + (uint64_t)header->slots[i].room);
	}
}

/* How many bytes these items need. */
static int measure(const mp_obj *items, const mp_block_options *options, size_t *ret_size)
{
	mp_block_options o;
	int r = mp__options_load(&o, sizeof(o), 0, options);

	if (r < 0)
		return r;
	if (o.max_size || o.plain)
		return mp_error_set(-EINVAL,
			"a shared list: the options max_size and plain are for blocks only");
	if (items->type != MP_TYPE_LIST || (items->count > 0 && !items->as.items))
		return mp_error_set(
			-EINVAL, "a new shared list is made of the items of a list; use MP_LIST()");
	uint64_t size = sizeof(struct mp__list_header);
	for (size_t i = 0; i < items->count; i++) {
		struct raw raw;
		r = raw_of(&items->as.items[i], &raw);
		if (r < 0)
			return r;
		size += sizeof(struct mp__list_slot) + 2 * (8 + (uint64_t)room_for(&raw));
	}
	*ret_size = (size_t)size;
	return 0;
}

/* Slots are looked at when they are used; the number of them here. */
static int check(const void *data, size_t size)
{
	const struct mp__list_header *header = data;

	if (size < sizeof(*header) ||
		header->n > (size - sizeof(*header)) / sizeof(struct mp__list_slot))
		return bad("it has more items than bytes");
	return 0;
}

static const struct mp__shm_kind list_kind = {
	.type = {.kind = MP__SEGMENT_LIST,
		.fingerprint = 1,
		.name = "mp-shared-list",
		.what = "a shared list"},
	.class = &mp__shared_list_class,
	.check = check,
};

int mp_shared_list_new(mp_obj items, const mp_block_options *options, mp_shared_list **ret_list)
{
	size_t size;
	int r = measure(&items, options, &size);

	if (r < 0)
		return r;
	return mp__shm_new(&list_kind, size, options, fill, &items, (mp_block **)ret_list);
}

int mp_shared_list_create(
	const char *name, mp_obj items, const mp_block_options *options, mp_shared_list **ret_list)
{
	size_t size;
	int r = measure(&items, options, &size);

	if (r < 0)
		return r;
	return mp__shm_create(&list_kind, name, size, options, fill, &items, (mp_block **)ret_list);
}

int mp_shared_list_open(
	const char *name, const mp_block_options *options, mp_shared_list **ret_list)
{
	static const mp_obj nothing = {.type = MP_TYPE_LIST};
	size_t size;
	int r = measure(&nothing, options, &size);

	if (r < 0)
		return r;
	return mp__shm_open(&list_kind, name, options, (mp_block **)ret_list);
}

/* --- using ------------------------------------------------------------------------------------- */

size_t mp_shared_list_len(const mp_shared_list *list)
{
	return list ? (size_t)n_of(header_of(list), mp_block_size(block_of(list))) : 0;
}

const char *mp_shared_list_name(const mp_shared_list *list)
{
	return mp_block_name(block_of(list));
}

int64_t mp_shared_list_room(const mp_shared_list *list, int64_t index)
{
	struct place place;
	int r = find(list, index, &place);

	return r < 0 ? r : (int64_t)place.room;
}

/* What stands in a buffer, as a value that points into it. */
static int item_of(uint64_t head, uint64_t *buffer, uint32_t room, mp_obj *ret)
{
	uint64_t length = length_of(head);
	uint32_t type = head & 0xff;

	if (length > room)
		return bad("an item is longer than its place");
	switch (type) {
	case MP_TYPE_STR:
		*ret = mp_strn((const char *)buffer, length);
		return mp__utf8_valid(ret->as.str, length) ? 0 : bad("a string is not UTF-8");
	case MP_TYPE_BYTES:
		*ret = mp_bytes(buffer, length);
		return 0;
	case MP_TYPE_NIL:
		*ret = mp_nil();
		return 0;
	case MP_TYPE_BOOL:
		*ret = mp_bool(buffer[0] != 0);
		return 0;
	case MP_TYPE_I64:
	case MP_TYPE_F64:
		*ret = mp__obj_of(type);
		memcpy(&ret->as, buffer, sizeof(buffer[0]));
		return 0;
	default:
		return bad("an item is of no type");
	}
}

/*
 * Read an item and give it to `use`, before the buffer goes.
 */
static int with_item(
	mp_shared_list *list, int64_t index, int (*use)(const mp_obj *item, void *data), void *data)
{
	uint64_t small[SMALL / 8] = {0};
	MP__AUTO_FREE uint64_t *large = NULL;
	struct place place;
	mp_obj item;
	int r = find(list, index, &place);

	if (r < 0)
		return r;
	if (place.room > SMALL) {
		large = calloc(1, place.room);
		if (!large)
			return mp_error_set(-ENOMEM,
				"no memory for an item of %u bytes of a shared list", place.room);
	}
	uint64_t *buffer = large ? large : small;
	uint64_t head = slot_read(&place, buffer);
	r = item_of(head, buffer, place.room, &item);
	return r < 0 ? r : use(&item, data);
}

static int copy(const mp_obj *item, void *data)
{
	return mp_obj_copy(*item, data);
}

int mp_shared_list_get(mp_shared_list *list, int64_t index, mp_obj *ret_item)
{
	if (!ret_item)
		return mp_error_set(
			-EINVAL, "getting an item of a shared list: the place for it is NULL");
	return with_item(list, index, copy, ret_item);
}

/* Each write moves the version of a slot on. */
static struct mp__guard_signs signs_of(const mp_shared_list *list)
{
	struct mp__list_header *header = header_of(list);
	size_t size = n_of(header, mp_block_size(block_of(list))) * sizeof(header->slots[0]);

	return (struct mp__guard_signs){header->slots, size < SIGNS_MAX ? size : SIGNS_MAX};
}

/* MP_OWNER_DIED: a writer that changes nothing until its last store left nothing to do. */
static int enter(const mp_shared_list *list)
{
	mp__guard *guard = &header_of(list)->guard;

	return mp__guard_try(guard)
		       ? 0
		       : mp__guard_enter_slowly(guard, MP__GUARD_PATIENTLY, signs_of(list));
}

int mp_shared_list_set(mp_shared_list *list, int64_t index, mp_obj item)
{
	struct place place;
	struct raw raw;
	int r = find(list, index, &place);

	if (r == 0)
		r = raw_of(&item, &raw);
	if (r != 0)
		return r;
	if (length_of(raw.head) > place.room)
		return mp_error_set(-EMSGSIZE,
			"%" PRIu64 " bytes are more than the %u that item %" PRId64
			" of a shared list has room for",
			length_of(raw.head), place.room, index);
	if (block_of(list)->seg.readonly)
		return mp_error_set(-EPERM, "setting an item of a shared list that was opened for "
					    "looking only (option readonly)");
	r = enter(list);
	if (r < 0)
		return r;
	slot_write(&place, &raw);
	mp__guard_leave(&header_of(list)->guard);
	return 0;
}

static int equals(const mp_obj *item, void *data)
{
	return mp_obj_equal(item, data);
}

int64_t mp_shared_list_count(mp_shared_list *list, mp_obj item)
{
	int64_t n = (int64_t)mp_shared_list_len(list);
	int64_t equal = 0;

	if (!list)
		return mp_error_set(-EINVAL, "no shared list: the pointer is NULL");
	for (int64_t i = 0; i < n; i++) {
		int r = with_item(list, i, equals, &item);
		if (r < 0)
			return r;
		equal += r;
	}
	return equal;
}

int64_t mp_shared_list_index(mp_shared_list *list, mp_obj item)
{
	int64_t n = (int64_t)mp_shared_list_len(list);

	if (!list)
		return mp_error_set(-EINVAL, "no shared list: the pointer is NULL");
	for (int64_t i = 0; i < n; i++) {
		int r = with_item(list, i, equals, &item);
		if (r != 0)
			return r < 0 ? r : i;
	}
	return mp_error_set(-ENOENT, "looking for an item in a shared list: none is equal");
}

mp_shared_list *mp_shared_list_ref(mp_shared_list *list)
{
	mp_block_ref(block_of(list));
	return list;
}

void mp_shared_list_close(mp_shared_list *list)
{
	mp_block_close(block_of(list));
}

/* --- the class --------------------------------------------------------------------------------- */

static int import_list(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	return mp__shm_import(&list_kind, wire, ret_handle);
}

const struct mp__handle_class mp__shared_list_class = {
	.kind = MP__HANDLE_SHARED_LIST,
	.name = "shared list",
	.ref = mp__shm_ref,
	.unref = mp__shm_unref,
	.export = mp__shm_export,
	.import = import_list,
};

mp_obj mp_shared_list_handle(mp_shared_list *list)
{
	return mp__handle_obj((struct mp__handle *)list);
}

mp_shared_list *mp_obj_shared_list(const mp_obj *value)
{
	return (mp_shared_list *)mp__obj_handle(value, MP__HANDLE_SHARED_LIST);
}
