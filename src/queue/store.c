/* SPDX-License-Identifier: MIT */
/* The table of a store: reached, checked, grown, and made whole again after a death. */
#include <config.h>

#include "queue/store_order.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "shm/heap.h"

#include <string.h>

/* Who is inside for longer than that may be dead. */
#define BREATHS 2000

/* --- entries and messages ------------------------------------------------------------------------- */

bool mp__store_message(struct mp_queue *q, uint32_t e, struct mp__ring_record *record,
	struct mp__store_block **ret_block)
{
	const struct mp__store *s = q->store;
	const struct mp__store_entry *entry = mp__store_entry(s, e);
	uint64_t offset = __atomic_load_n(&entry->block, __ATOMIC_RELAXED);
	uint64_t header = __atomic_load_n(&entry->size, __ATOMIC_RELAXED);
	uint64_t size = header & MP__RECORD_SIZE_MASK;
	uint64_t kind = header >> MP__RECORD_KIND_SHIFT;

	if ((kind != MP__RECORD_BYTES && kind != MP__RECORD_VALUE) || size > q->max_bytes ||
		offset % MP__STORE_ALIGN != 0)
		return false;
	struct mp__store_block *block = mp_heap_pointer(s->heap, offset, sizeof(*block) + size);
	if (!block || block->entry != (uint64_t)e + 1)
		return false;
	*record = (struct mp__ring_record){
		.at = offset,
		.size = size,
		.kind = (enum mp__record_kind)kind,
		.data = block->data,
	};
	*ret_block = block;
	return true;
}

/* --- chunks --------------------------------------------------------------------------------------- */

static bool table_has_changed(const struct mp__store *s)
{
	return s->n_chunks == 0 ||
	       atomic_load_explicit(&s->root->n_chunks, memory_order_relaxed) != s->n_chunks ||
	       atomic_load_explicit(&s->root->generation, memory_order_relaxed) != s->generation;
}

/* The chunks that others have added come into reach. */
static int map_chunks(struct mp__store *s)
{
	/* Partners: the releases in add_chunk() and mp__store_shrink(). */
	uint32_t n = atomic_load_explicit(&s->root->n_chunks, memory_order_acquire);
	uint32_t generation = atomic_load_explicit(&s->root->generation, memory_order_relaxed);

	if (n == 0 || n > MP__STORE_CHUNKS || (generation == s->generation && n < s->n_chunks))
		return mp_error_set(-EBADMSG,
			"the shared memory of the queue is damaged: %u pieces of its table", n);
	if (generation != s->generation)
		s->n_chunks = s->capacity = 0;
	s->generation = generation;
	for (; s->n_chunks < n; s->n_chunks++) {
		unsigned k = s->n_chunks;
		size_t entries = (size_t)MP__STORE_CHUNK_FIRST << k;
		uint64_t offset = __atomic_load_n(&s->root->chunks[k], __ATOMIC_RELAXED);
		char *chunk = offset % MP__STORE_ALIGN != 0
				      ? NULL
				      : mp_heap_pointer(s->heap, offset,
						entries * (sizeof(struct mp__store_entry) +
								  sizeof(uint32_t)));
		if (!chunk)
			return mp_error_set(
				-EBADMSG, "the shared memory of the queue is damaged: its table");
		s->entries[k] = (struct mp__store_entry *)chunk;
		s->slots[k] = (uint32_t *)(chunk + entries * sizeof(struct mp__store_entry));
		s->capacity = mp__store_chunk_start(k + 1);
	}
	return 0;
}

/* Inside: the table is full. */
static int add_chunk(struct mp__store *s)
{
	struct mp__store_root *root = s->root;
	unsigned k = s->n_chunks;
	size_t entries = (size_t)MP__STORE_CHUNK_FIRST << k;
	uint32_t first = s->capacity;
	void *chunk;

	if (k == MP__STORE_CHUNKS)
		return mp_error_set(-ENOSPC, "putting a message: %u are in the queue", s->capacity);
	int r = mp_heap_calloc(
		s->heap, entries, sizeof(struct mp__store_entry) + sizeof(uint32_t), &chunk);
	if (r < 0)
		return r;
	MP__TEST_POINT("store.chunk.allocated");
	root->chunks[k] = mp_heap_offset(s->heap, chunk);
	MP__TEST_POINT("store.chunk.named");
	/* Partner: the acquire in map_chunks(). */
	atomic_store_explicit(&root->n_chunks, k + 1, memory_order_release);
	MP__TEST_POINT("store.chunk.added");
	r = map_chunks(s);
	for (uint32_t e = s->capacity; r == 0 && e-- > first;)
		(void)mp__list_add(s, &root->free, e);
	return r;
}

static int adopt_chunks(struct mp__store *s, unsigned first)
{
	int r = 0;

	for (unsigned k = first; r == 0 && k < s->n_chunks; k++)
		r = mp_heap_adopt(s->heap, s->entries[k]);
	return r;
}

void mp__store_shrink(struct mp_queue *q)
{
	struct mp__store *s = q->store;
	struct mp__store_root *root = s->root;
	struct mp__store_entry *chunks[MP__STORE_CHUNKS];
	unsigned n = s->n_chunks;

	/* Who dies over them leaves them to a sweep. */
	if (n <= MP__STORE_CHUNKS_KEPT || adopt_chunks(s, MP__STORE_CHUNKS_KEPT) < 0)
		return;
	memcpy(chunks, s->entries, sizeof(chunks));
	MP__TEST_POINT("store.shrink.adopted");
	atomic_fetch_add_explicit(&root->generation, 1, memory_order_relaxed);
	MP__TEST_POINT("store.shrink.generation");
	/* Partner: the acquire in map_chunks(). */
	atomic_store_explicit(&root->n_chunks, MP__STORE_CHUNKS_KEPT, memory_order_release);
	MP__TEST_POINT("store.shrink.shrunk");
	if (map_chunks(s) < 0)
		return; /* and so will the next one, who says so */
	root->free = 0;
	for (uint32_t e = s->capacity; e-- > 0;)
		(void)mp__list_add(s, &root->free, e);
	for (unsigned k = MP__STORE_CHUNKS_KEPT; k < n; k++) {
		MP__TEST_POINT("store.shrink.free");
		(void)mp_heap_free(s->heap, chunks[k]);
	}
}

int mp__store_free_entry(struct mp_queue *q, uint32_t *ret_entry)
{
	struct mp__store *s = q->store;

	for (int tries = 0; tries < 2; tries++) {
		uint32_t first = __atomic_load_n(&s->root->free, __ATOMIC_RELAXED);
		if (first == 0) {
			int r = add_chunk(s);
			if (r < 0)
				return r;
			continue;
		}
		if (first <= s->capacity &&
			mp__store_kind_of(mp__store_state(mp__store_entry(s, first - 1))) ==
				MP__STORE_FREE &&
			mp__list_remove(s, &s->root->free, first - 1)) {
			*ret_entry = first - 1;
			return 0;
		}
		int r = mp__store_repair(q);
		if (r < 0)
			return r;
	}
	return mp_error_set(-EBADMSG, "the shared memory of the queue is damaged: its free places");
}

/* --- making anew what follows --------------------------------------------------------------------- */

/* Does the table name this block? Called inside the guard of the heap: it calls nothing of it. */
static bool is_named(struct mp_queue *q, uint64_t offset, const void *data)
{
	const struct mp__store *s = q->store;
	const struct mp__store_block *block = data;

	if (data == s->root)
		return true;
	for (unsigned k = 0; k < s->n_chunks; k++) {
		if (data == s->entries[k])
			return true;
	}
	uint64_t e = block->entry - 1;
	if (e >= s->capacity)
		return false;
	const struct mp__store_entry *entry = mp__store_entry(s, (uint32_t)e);
	return mp__store_kind_of(mp__store_state(entry)) != MP__STORE_FREE &&
	       entry->block == offset;
}

static bool is_garbage(void *queue, uint64_t offset, const void *data)
{
	return !is_named(queue, offset, data);
}

int mp__store_sweep(struct mp_queue *q)
{
	struct mp__store_root *root = q->store->root;

	atomic_store_explicit(&root->swept,
		atomic_load_explicit(&root->next_sequence, memory_order_relaxed),
		memory_order_relaxed);
	return mp__heap_reclaim_if(q->store->heap, is_garbage, q);
}

struct found {
	uint32_t ready;
	uint32_t leased;
	uint32_t poisoned;
	uint32_t lost;
	uint64_t bytes;
};

/* One entry finds its list. */
static bool sort_in(struct mp_queue *q, uint32_t e, struct found *found)
{
	struct mp__store *s = q->store;
	struct mp__store_entry *entry = mp__store_entry(s, e);
	uint64_t state = mp__store_state(entry);
	struct mp__ring_record record;
	struct mp__store_block *block;

	if (state != MP__STORE_FREE && (mp__store_kind_of(state) > MP__STORE_POISON ||
					       !mp__store_message(q, e, &record, &block))) {
		mp__store_set_state(entry, MP__STORE_FREE, 0);
		state = MP__STORE_FREE;
		found->lost++;
	}
	if (mp__store_kind_of(state) != MP__STORE_FREE)
		found->bytes += mp__store_need(record.size);
	switch (mp__store_kind_of(state)) {
	case MP__STORE_READY:
		mp__order_note(s, found->ready++, e);
		return true;
	case MP__STORE_LEASED:
		found->leased++;
		return mp__list_add(s, &s->root->leased, e);
	case MP__STORE_POISON:
		found->poisoned++;
		return mp__list_add(s, &s->root->poison, e);
	default:
		return mp__list_add(s, &s->root->free, e);
	}
}

int mp__store_repair(struct mp_queue *q)
{
	struct mp__store *s = q->store;
	struct mp__store_root *root = s->root;
	struct found found = {0};
	bool whole = true;

	/* Set before anything else: who dies here leaves it to the next one. */
	atomic_store_explicit(&root->repair, 1, memory_order_release);
	MP__TEST_POINT("store.repair.begun");
	root->free = root->leased = root->poison = 0;
	for (uint32_t e = s->capacity; whole && e-- > 0;)
		whole = sort_in(q, e, &found);
	MP__TEST_POINT("store.repair.sorted");
	if (!whole || !mp__order_build(s, found.ready))
		return mp_error_set(-EBADMSG, "the shared memory of the queue is damaged: it "
					      "changes while its table is read");
	atomic_store_explicit(&root->bytes, found.bytes, memory_order_relaxed);
	atomic_store_explicit(&root->poisoned, found.poisoned, memory_order_relaxed);
	atomic_store_explicit(
		&root->counts, found.ready | (uint64_t)found.leased << 32, memory_order_release);
	/* Whose lessee has died is to be asked at once. */
	atomic_store_explicit(&root->looked_ns, 0, memory_order_relaxed);
	(void)mp__store_sweep(q);
	MP__TEST_POINT("store.repair.swept");
	atomic_store_explicit(&root->repair, 0, memory_order_release);
	if (found.lost > 0)
		return mp_error_set(-EBADMSG,
			"the shared memory of the queue was damaged: %u messages are lost",
			found.lost);
	return 0;
}

/* --- entering ------------------------------------------------------------------------------------- */

void mp__store_taken_over(struct mp_queue *q)
{
	atomic_store_explicit(&q->store->root->repair, 1, memory_order_release);
}

/* Somebody has died, or found damage. */
static int make_whole(struct mp_queue *q)
{
	int r = mp__store_repair(q);

	/* Who shut it down at once may have died before all was dropped. */
	if (r == 0 && atomic_load_explicit(&q->control->shutdown, memory_order_relaxed) &
			      MP__QUEUE_NO_GETS)
		r = mp__store_drop_all(q);
	return r;
}

int mp__store_enter(struct mp_queue *q, struct mp__queue_wait *wait)
{
	struct mp__store *s = q->store;
	int r = mp__queue_enter(q, &q->control->get_guard, wait);

	if (r < 0)
		return r;
	if (__builtin_expect(table_has_changed(s), 0))
		r = map_chunks(s);
	if (r == 0 && __builtin_expect(
			      atomic_load_explicit(&s->root->repair, memory_order_relaxed) != 0, 0))
		r = make_whole(q);
	if (r < 0)
		mp__guard_leave(&q->control->get_guard);
	return r;
}

/* --- without entering ----------------------------------------------------------------------------- */

/*
 * Counts are right, but for a change that somebody is in the middle of. Is that somebody dead, it is
 * finished first.
 */
static void finish_changes(struct mp_queue *q)
{
	struct mp__store_root *root = q->store->root;
	mp__guard *guard = &q->control->get_guard;
	struct mp__queue_wait wait = mp__queue_wait_of(0);
	uint64_t who = atomic_load_explicit(guard, memory_order_acquire);

	for (int i = 0; i < BREATHS && who != 0; i++) {
		mp__spin_relax();
		if (atomic_load_explicit(guard, memory_order_acquire) != who)
			who = 0;
	}
	if ((who != 0 && mp__stamp_thread_dead(who)) ||
		(who == 0 && atomic_load_explicit(&root->repair, memory_order_relaxed) != 0)) {
		if (mp__store_enter(q, &wait) == 0)
			mp__guard_leave(guard);
	}
}

bool mp__store_is_idle(struct mp_queue *q, uint64_t *ret_mark)
{
	struct mp__queue_wait wait = mp__queue_wait_of(0);
	struct mp__store_root *root = q->store->root;

	/* Inside, no put is under way that has its number already. */
	if (mp__store_enter(q, &wait) < 0)
		return false;
	bool idle = atomic_load_explicit(&root->counts, memory_order_relaxed) == 0;
	*ret_mark = atomic_load_explicit(&root->next_sequence, memory_order_relaxed);
	mp__guard_leave(&q->control->get_guard);
	return idle;
}

size_t mp__store_size(struct mp_queue *q)
{
	finish_changes(q);
	return mp__store_ready(q->store);
}

uint64_t mp__store_bytes(struct mp_queue *q)
{
	finish_changes(q);
	return atomic_load_explicit(&q->store->root->bytes, memory_order_acquire);
}

bool mp__store_full(struct mp_queue *q)
{
	return mp__store_size(q) >= q->maxsize ||
	       atomic_load_explicit(&q->store->root->bytes, memory_order_acquire) +
			       MP__STORE_OVERHEAD >
		       q->max_bytes;
}
