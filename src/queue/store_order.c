/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "queue/store_order.h"

/* --- counts --------------------------------------------------------------------------------------- */

void mp__store_count(struct mp__store *s, int ready, int leased, int64_t bytes)
{
	struct mp__store_root *root = s->root;
	uint64_t counts = atomic_load_explicit(&root->counts, memory_order_relaxed);
	uint32_t n_ready = (uint32_t)counts + (uint32_t)ready;
	uint32_t n_leased = (uint32_t)(counts >> 32) + (uint32_t)leased;

	atomic_store_explicit(&root->bytes,
		atomic_load_explicit(&root->bytes, memory_order_relaxed) + (uint64_t)bytes,
		memory_order_relaxed);
	/* Partner: the acquire in mp__store_ready() and its like. */
	atomic_store_explicit(
		&root->counts, n_ready | (uint64_t)n_leased << 32, memory_order_release);
}

/* Once: what another process may change must not be read again after it was checked. */
static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* --- the order of what is ready ------------------------------------------------------------------- */

/* `i` is below the capacity. */
static uint32_t *slot(const struct mp__store *s, uint32_t i)
{
	unsigned chunk = mp__store_chunk(i);

	return &s->slots[chunk][i - mp__store_chunk_start(chunk)];
}

/* Does a come before b? */
static bool is_before(const struct mp__store *s, uint32_t a, uint32_t b)
{
	const struct mp__store_entry *x = mp__store_entry(s, a);
	const struct mp__store_entry *y = mp__store_entry(s, b);

	if (s->order == MP_QUEUE_LIFO)
		return x->sequence > y->sequence;
	if (s->order == MP_QUEUE_PRIORITY && x->priority != y->priority)
		return x->priority < y->priority;
	return x->sequence < y->sequence;
}

/* Entry e finds its place at i or nearer to the top. */
static bool sift_up(struct mp__store *s, uint32_t i, uint32_t e)
{
	while (i > 0) {
		uint32_t parent = load(slot(s, (i - 1) / 2));
		if (parent >= s->capacity)
			return false;
		if (!is_before(s, e, parent))
			break;
		*slot(s, i) = parent;
		i = (i - 1) / 2;
	}
	*slot(s, i) = e;
	return true;
}

/* Entry e finds its place at i or below, among n. */
static bool sift_down(struct mp__store *s, uint32_t i, uint32_t n, uint32_t e)
{
	for (;;) {
		uint64_t child = 2 * (uint64_t)i + 1;
		if (child >= n)
			break;
		uint32_t best = load(slot(s, (uint32_t)child));
		if (best >= s->capacity)
			return false;
		if (child + 1 < n) {
			uint32_t other = load(slot(s, (uint32_t)child + 1));
			if (other >= s->capacity)
				return false;
			if (is_before(s, other, best)) {
				best = other;
				child++;
			}
		}
		if (!is_before(s, best, e))
			break;
		*slot(s, i) = best;
		i = (uint32_t)child;
	}
	*slot(s, i) = e;
	return true;
}

bool mp__order_first(const struct mp__store *s, uint32_t *ret_entry)
{
	uint32_t e = load(slot(s, 0));

	if (mp__store_ready(s) > s->capacity || e >= s->capacity ||
		mp__store_kind_of(mp__store_state(mp__store_entry(s, e))) != MP__STORE_READY)
		return false;
	*ret_entry = e;
	return true;
}

bool mp__order_add(struct mp__store *s, uint32_t e)
{
	uint32_t n = mp__store_ready(s);

	if (n >= s->capacity || !sift_up(s, n, e))
		return false;
	mp__store_count(s, 1, 0, 0);
	return true;
}

bool mp__order_remove_first(struct mp__store *s)
{
	uint32_t n = mp__store_ready(s);

	if (n == 0 || n > s->capacity)
		return false;
	uint32_t last = load(slot(s, n - 1));
	if (last >= s->capacity || (n > 1 && !sift_down(s, 0, n - 1, last)))
		return false;
	mp__store_count(s, -1, 0, 0);
	return true;
}

void mp__order_note(struct mp__store *s, uint32_t n, uint32_t e)
{
	*slot(s, n) = e;
}

bool mp__order_build(struct mp__store *s, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;) {
		uint32_t e = load(slot(s, i));
		if (e >= s->capacity || !sift_down(s, i, n, e))
			return false;
	}
	return true;
}

/* --- lists ---------------------------------------------------------------------------------------- */

bool mp__list_add(struct mp__store *s, uint32_t *first, uint32_t e)
{
	struct mp__store_entry *entry = mp__store_entry(s, e);
	uint32_t next = load(first);

	if (next > s->capacity)
		return false;
	entry->previous = 0;
	entry->next = next;
	if (next != 0)
		mp__store_entry(s, next - 1)->previous = e + 1;
	*first = e + 1;
	return true;
}

bool mp__list_remove(struct mp__store *s, uint32_t *first, uint32_t e)
{
	struct mp__store_entry *entry = mp__store_entry(s, e);
	uint32_t next = load(&entry->next);
	uint32_t previous = load(&entry->previous);

	if (next > s->capacity || previous > s->capacity || (previous == 0 && *first != e + 1))
		return false;
	if (previous != 0 && mp__store_entry(s, previous - 1)->next != e + 1)
		return false;
	if (next != 0)
		mp__store_entry(s, next - 1)->previous = previous;
	if (previous != 0)
		mp__store_entry(s, previous - 1)->next = next;
	else
		*first = next;
	return true;
}
