/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "queue/ring.h"

#include "base/error.h"
#include "base/testpoint.h"

#include <fcntl.h>
#include <sys/mman.h>

/* How much a region gets at a time. */
#define STEP_MIN UINT64_C(65536)
#define STEP_MAX (UINT64_C(1) << 20)
/* A drained queue gives more than this back at once, less when it stays so. */
#define KEEP (UINT64_C(8) << 20)
/* A ring this many times larger than what is in it, for so many laps in a row, is too large. */
#define ROOMY 4
#define ROOMY_LAPS 64
/* How long the other side is left alone between two looks. */
#define PACE_NS UINT64_C(700)
/* Nobody but a liar makes more JUMPs in a row: one for each region. */
#define JUMPS_MAX 48u

static int damaged(const char *what, uint64_t value)
{
	return mp_error_set(-EBADMSG, "the shared memory of the queue is damaged: %s is %llu", what,
		(unsigned long long)value);
}

/* --- memory ------------------------------------------------------------------------------------ */

static uint64_t region_size(const struct mp_queue *q, unsigned region)
{
	return mp__ring_region_end(q, region) - mp__ring_region_start(region);
}

static int file_allocate(const struct mp_queue *q, uint64_t from, uint64_t size)
{
	int r;

	do
		r = fallocate(q->segment.fd, 0, (off_t)from, (off_t)size) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

/* See to it that the region has memory from its start to `end` (a position). */
static int allocate(struct mp_queue *q, unsigned region, uint64_t end)
{
	_Atomic uint64_t *allocated = &q->control->allocated[region];
	uint64_t start = mp__ring_region_start(region);
	uint64_t have = atomic_load_explicit(allocated, memory_order_relaxed);
	uint64_t want = end - start;

	if (have >= want)
		return 0;
	uint64_t step = region_size(q, region) / 4;
	step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
	uint64_t more = want > have + step ? want : have + step;
	if (more > region_size(q, region))
		more = region_size(q, region);
	int r = file_allocate(q, start + have, more - have);
	if (r == -ENOSPC || r == -ENOMEM) {
		more = want; /* just what is needed may be there */
		r = file_allocate(q, start + have, more - have);
	}
	if (r < 0)
		return mp_error_set(r == -ENOMEM ? -ENOSPC : r,
			"putting a message: no memory for a larger queue (%s)", mp_strerror(r));
#ifdef MADV_POPULATE_WRITE
	/* All pages in one call, not by one fault each; a kernel that can't lets them come. */
	(void)madvise(q->base + start + have, more - have, MADV_POPULATE_WRITE);
#endif
	MP__TEST_POINT("queue.put.allocated");
	atomic_store_explicit(allocated, more, memory_order_relaxed);
	return 0;
}

/* Steps 3 and 4 of leaving a region. */
static void free_region(struct mp_queue *q, unsigned region)
{
	struct mp__queue_control *c = q->control;

	if (region > 0) {
		atomic_store_explicit(&c->allocated[region], 0, memory_order_relaxed);
		MP__TEST_POINT("queue.get.unallocated");
		/* It is a matter of memory only: if the kernel can't now, the next lap will. */
		(void)fallocate(q->segment.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)mp__ring_region_start(region), (off_t)region_size(q, region));
		MP__TEST_POINT("queue.get.punched");
	}
	/* Partner: the acquire in is_free(). */
	atomic_store_explicit(&c->freeing, 0, memory_order_release);
}

void mp__ring_recover_getter(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;
	uint64_t freeing = atomic_load_explicit(&c->freeing, memory_order_relaxed);
	uint64_t head_at = mp__ring_unpack(atomic_load(&c->head)).at;

	if (freeing == 0)
		return;
	if (freeing - 1 <= q->last_region &&
		(!mp__ring_inside(q, head_at) || mp__ring_region(head_at) != freeing - 1))
		free_region(q, (unsigned)(freeing - 1));
	else
		atomic_store_explicit(&c->freeing, 0, memory_order_release);
}

/* --- the pace ------------------------------------------------------------------------------------- */

void mp__ring_pace(_Atomic uint64_t *looked_ns)
{
	uint64_t last = atomic_load_explicit(looked_ns, memory_order_relaxed);
	uint64_t now = (uint64_t)mp__now_ns();

	/* A time to come, from a liar, is no reason to wait. */
	while (now - last < PACE_NS) {
		mp__spin_relax();
		now = (uint64_t)mp__now_ns();
	}
	atomic_store_explicit(looked_ns, now, memory_order_relaxed);
}

/* --- putting ------------------------------------------------------------------------------------ */

/* Head and its bytes, as they belong together. */
static uint64_t refresh(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;
	uint64_t head = 0;
	uint64_t bytes = 0;

	for (int tries = 0; tries < 100; tries++) {
		/* Partner: the release in mp__ring_consume(). */
		head = atomic_load_explicit(&c->head, memory_order_acquire);
		bytes = atomic_load_explicit(
			&c->get_bytes[(head >> MP__QUEUE_POS_BITS) & 1], memory_order_acquire);
		if (atomic_load_explicit(&c->head, memory_order_relaxed) == head)
			break;
	}
	atomic_store_explicit(&c->head_seen, head, memory_order_relaxed);
	atomic_store_explicit(&c->get_bytes_seen, bytes, memory_order_relaxed);
	return head;
}

/* May a putter begin this region? Loads head first: see `freeing` in queue_layout.h. */
static bool is_free(struct mp_queue *q, unsigned region, uint64_t head_at)
{
	return region != mp__ring_region(head_at) &&
	       atomic_load_explicit(&q->control->freeing, memory_order_acquire) != region + 1;
}

/* The smallest region from `from` on that has room, or -1. */
static int find_region(
	struct mp_queue *q, unsigned from, unsigned to, uint64_t need, uint64_t head_at)
{
	for (unsigned r = from; r <= to; r++) {
		if (region_size(q, r) >= need + MP__QUEUE_UNIT && is_free(q, r, head_at))
			return (int)r;
	}
	return -1;
}

/* Place the record behind a JUMP to `to`. */
static int jump(struct mp_queue *q, uint64_t to, struct mp__ring_place *place)
{
	struct mp__ring_word tail = mp__ring_unpack(place->tail);
	unsigned region = mp__ring_region(to);

	int r = region == 0 ? 0 : allocate(q, region, to + place->need + MP__QUEUE_UNIT);
	if (r < 0)
		return r;
	mp__ring_write_header(q, tail.at, to / MP__QUEUE_UNIT, MP__RECORD_JUMP);
	MP__TEST_POINT("queue.put.jump");
	place->at = to;
	return 0;
}

/*
 * At the end of the ring, with room at its beginning: go there, or to a smaller region if this one
 * is much too large for what is in it.
 */
static int wrap(struct mp_queue *q, unsigned region, uint64_t head_at, struct mp__ring_place *place)
{
	_Atomic uint32_t *laps = &q->control->roomy_laps;
	uint64_t held = mp__ring_unpack(place->tail).at - head_at;
	uint64_t enough = ROOMY * (held + place->need);
	int smaller = region > 0 ? find_region(q, 0, region - 1, enough, head_at) : -1;
	uint32_t roomy = atomic_load_explicit(laps, memory_order_relaxed);

	atomic_store_explicit(laps, smaller >= 0 ? roomy + 1 : 0, memory_order_relaxed);
	if (smaller >= 0 && (roomy >= ROOMY_LAPS || region_size(q, region) > KEEP))
		return jump(q, mp__ring_region_start((unsigned)smaller), place);
	return jump(q, mp__ring_region_start(region), place);
}

/* Do the limits of the queue allow one more, as far as seen? */
static bool within_limits(struct mp_queue *q, uint64_t need, uint64_t tail, uint64_t head)
{
	struct mp__queue_control *c = q->control;
	uint64_t put = atomic_load_explicit(
		&c->put_bytes[(tail >> MP__QUEUE_POS_BITS) & 1], memory_order_relaxed);
	uint64_t bytes = put - atomic_load_explicit(&c->get_bytes_seen, memory_order_relaxed);

	return mp__ring_items(tail, head) < q->maxsize && bytes <= q->max_bytes &&
	       need <= q->max_bytes - bytes;
}

/* Does the record fit where tail is? 0 and memory is there; -EAGAIN no; -ENOSPC. */
static int fit_here(struct mp_queue *q, uint64_t need, uint64_t tail_at, uint64_t head_at)
{
	unsigned region = mp__ring_region(tail_at);
	uint64_t limit = mp__ring_region_end(q, region);

	if (head_at > tail_at && mp__ring_region(head_at) == region)
		limit = head_at;
	if (tail_at + need + MP__QUEUE_UNIT > limit)
		return -EAGAIN;
	return region == 0 ? 0 : allocate(q, region, tail_at + need + MP__QUEUE_UNIT);
}

int mp__ring_place_slowly(
	struct mp_queue *q, uint64_t need, bool grow, struct mp__ring_place *place)
{
	uint64_t tail_at = mp__ring_unpack(place->tail).at;
	uint64_t head = atomic_load_explicit(&q->control->head_seen, memory_order_relaxed);
	int r;

	if (!mp__ring_inside(q, tail_at))
		return damaged("the putters' position", tail_at);
	if (within_limits(q, need, place->tail, head)) {
		r = fit_here(q, need, tail_at, mp__ring_unpack(head).at);
		if (r != -EAGAIN)
			return r;
	}
	if (place->paced)
		mp__ring_pace(&q->control->head_looked_ns);
	head = refresh(q);
	uint64_t head_at = mp__ring_unpack(head).at;
	if (!mp__ring_inside(q, head_at))
		return damaged("the getters' position", head_at);
	if (!within_limits(q, need, place->tail, head))
		return -EAGAIN;
	r = fit_here(q, need, tail_at, head_at);
	if (r != -EAGAIN)
		return r;

	unsigned region = mp__ring_region(tail_at);
	bool same = mp__ring_region(head_at) == region;
	uint64_t start = mp__ring_region_start(region);
	/* The unit for a JUMP is there, or somebody has bent the words. */
	if (tail_at + MP__QUEUE_UNIT >
		(same && head_at > tail_at ? head_at : mp__ring_region_end(q, region)))
		return damaged("the putters' position", tail_at);
	if (same && head_at <= tail_at && start + need + MP__QUEUE_UNIT <= head_at)
		return wrap(q, region, head_at, place);
	if (!grow)
		return MP__RING_GROW;
	int larger = region < q->last_region
			     ? find_region(q, region + 1, q->last_region, need, head_at)
			     : -1;
	return larger < 0 ? -EAGAIN : jump(q, mp__ring_region_start((unsigned)larger), place);
}

/* --- getting ------------------------------------------------------------------------------------ */

/* Head moves to another region, and the old one's memory goes. */
static void leave_region(struct mp_queue *q, uint64_t count, unsigned region, uint64_t to)
{
	struct mp__queue_control *c = q->control;

	atomic_store_explicit(&c->freeing, region + 1, memory_order_relaxed);
	MP__TEST_POINT("queue.get.freeing");
	/* Partner: the acquire in refresh(); who sees this head sees `freeing` too. */
	atomic_store_explicit(&c->head, mp__ring_pack(count, to), memory_order_release);
	MP__TEST_POINT("queue.get.left");
	free_region(q, region);
}

/* What mp__ring_next() found is no message, or no sound one: follow JUMPs to the next. */
int mp__ring_follow(struct mp_queue *q, struct mp__ring_record *record)
{
	for (unsigned jumps = 0; jumps < JUMPS_MAX; jumps++) {
		uint64_t header;

		if (!mp__ring_inside(q, record->at))
			return damaged("the getters' position", record->at);
		unsigned region = mp__ring_region(record->at);
		memcpy(&header, q->base + record->at, sizeof(header));
		record->kind = (enum mp__record_kind)(header >> MP__RECORD_KIND_SHIFT);
		record->size = header & MP__RECORD_SIZE_MASK;
		record->data = q->base + record->at + MP__QUEUE_UNIT;
		if (record->kind == MP__RECORD_BYTES || record->kind == MP__RECORD_VALUE) {
			if (mp__ring_need(record->size) >
				mp__ring_region_end(q, region) - record->at)
				return damaged("the size of a message", record->size);
			return 1;
		}
		if (record->kind != MP__RECORD_JUMP)
			return damaged("a header", header);
		uint64_t to = record->size * MP__QUEUE_UNIT;
		if (record->size > MP__QUEUE_POS_MASK || !mp__ring_inside(q, to))
			return damaged("the target of a jump", record->size);
		if (mp__ring_region(to) != region)
			leave_region(q, record->count, region, to);
		record->at = to;
	}
	return damaged("the number of jumps in a row", JUMPS_MAX);
}

bool mp__ring_is_grown(struct mp_queue *q)
{
	uint64_t at =
		mp__ring_unpack(atomic_load_explicit(&q->control->head, memory_order_relaxed)).at;

	return at >= mp__ring_region_start(1);
}

bool mp__ring_is_large(struct mp_queue *q)
{
	uint64_t at =
		mp__ring_unpack(atomic_load_explicit(&q->control->head, memory_order_relaxed)).at;

	return mp__ring_inside(q, at) &&
	       atomic_load_explicit(
		       &q->control->allocated[mp__ring_region(at)], memory_order_relaxed) > KEEP;
}

/* Inside both guards: an empty queue goes on in the small region. */
static void go_home(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;
	uint64_t tail = atomic_load_explicit(&c->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&c->head, memory_order_relaxed);
	struct mp__ring_word at = mp__ring_unpack(tail);

	if (mp__ring_items(tail, head) != 0 || !mp__ring_inside(q, at.at) ||
		mp__ring_region(at.at) == 0 ||
		atomic_load_explicit(&c->reserved, memory_order_relaxed) != 0)
		return;
	mp__ring_write_header(q, at.at, mp__ring_region_start(0) / MP__QUEUE_UNIT, MP__RECORD_JUMP);
	MP__TEST_POINT("queue.trim.jump");
	/* Partner: the acquire in mp__ring_next(). */
	atomic_store_explicit(
		&c->tail, mp__ring_pack(at.count, mp__ring_region_start(0)), memory_order_release);
	MP__TEST_POINT("queue.trim.tail");
}

void mp__ring_trim(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;
	uint64_t nobody = 0;

	if (!atomic_compare_exchange_strong_explicit(&c->put_guard, &nobody, mp__stamp_self(),
		    memory_order_acquire, memory_order_relaxed))
		return;
	go_home(q);
	mp__guard_leave(&c->put_guard);

	uint64_t tail = atomic_load_explicit(&c->tail, memory_order_acquire);
	uint64_t head = atomic_load_explicit(&c->head, memory_order_relaxed);
	uint64_t to = mp__ring_unpack(tail).at;
	uint64_t from = mp__ring_unpack(head).at;
	/* With nothing in between, head may be where tail is. */
	if (mp__ring_items(tail, head) == 0 && mp__ring_inside(q, to) && mp__ring_inside(q, from) &&
		mp__ring_region(to) != mp__ring_region(from))
		leave_region(q, mp__ring_unpack(head).count, mp__ring_region(from), to);
}
