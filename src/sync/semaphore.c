/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/semaphore_layout.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/futex.h"
#include "base/spin.h"
#include "base/stamp.h"
#include "base/testpoint.h"
#include "sync/look.h"
#include "sync/object.h"
#include "sync/waiting.h"

#include <limits.h>

/* Who has a deadline that is sooner waits so long for the guard: a preempted thread is no reason to fail. */
#define GRACE_MS 100
/* So many holders are asked for before the guard is entered for those that have ended. */
#define ASK_AT_ONCE 64

#define NOINLINE __attribute__((noinline)) /* what a fast path must not carry along */

#define LOAD(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define STORE(word, value) atomic_store_explicit(&(word), (value), memory_order_relaxed)

static int check(const struct mp__semaphore *s)
{
	/* The head comes first; `s` may be NULL or misaligned. */
	return mp__sync_check((const struct mp__sync_head *)s, MP__MAGIC_SEMAPHORE);
}

static bool has_owners(const struct mp__semaphore *s)
{
	return !(s->head.flags & MP__SEMAPHORE_OWNERLESS);
}

/* The memory may be damaged: never more than there is room for. */
static NOINLINE unsigned count_many_cells(const struct mp__semaphore *s, unsigned n)
{
	size_t room = mp__object_room(s, sizeof(mp_semaphore)) - sizeof(*s);
	size_t fit = room / sizeof(s->cells[0]);

	return n < fit ? n : (unsigned)fit;
}

static unsigned count_cells(const struct mp__semaphore *s)
{
	unsigned n = LOAD(s->n_cells);

	return n <= MP_SEMAPHORE_HOLDERS ? n : count_many_cells(s, n);
}

/* --- the account, with the guard held ---------------------------------------------------------- */

static uint32_t count_held(struct mp__semaphore *s)
{
	uint64_t held = 0;
	unsigned n = count_cells(s);

	for (unsigned i = 0; i < n; i++)
		held += LOAD(s->cells[i].count);
	return held < UINT32_MAX ? (uint32_t)held : UINT32_MAX;
}

static void derive_value(struct mp__semaphore *s)
{
	uint32_t total = LOAD(s->total);
	uint32_t held = count_held(s);

	STORE(s->value, held < total ? total - held : 0);
}

/* 0, -EDEADLK, -ETIMEDOUT. */
static int enter(struct mp__semaphore *s, mp__deadline deadline)
{
	const struct mp__guard_signs signs = {&s->value, sizeof(s->value)};

	/* Not inside: where there are many cells, it asks the slab how many. */
	(void)count_cells(s);
	if (mp__guard_try(&s->guard))
		return 0;
	mp__deadline grace = mp__deadline_in(GRACE_MS);
	if (deadline.ns != MP__GUARD_PATIENTLY.ns && deadline.ns < grace.ns)
		deadline = grace;
	int r = mp__guard_enter_slowly(&s->guard, deadline, signs);
	if (r == MP_OWNER_DIED) {
		derive_value(s);
		r = 0;
	}
	return r;
}

static void leave(struct mp__semaphore *s)
{
	MP__TEST_POINT("semaphore.inside");
	mp__guard_leave(&s->guard);
}

/* Where this thread found the cell of its process the last time. Only a hint: it may be any number. */
static inline uint16_t *hint_of(struct mp__semaphore *s)
{
	static __thread uint16_t hints[16] __attribute__((tls_model("initial-exec")));

	return &hints[((uintptr_t)s >> 6) % MP__COUNT_OF(hints)];
}

/* The cell of a process in `s`, or NULL. */
static struct mp__semaphore_cell *find_cell(struct mp__semaphore *s, mp__stamp process)
{
	uint16_t *hint = hint_of(s);
	unsigned n = count_cells(s);

	if (*hint < n && LOAD(s->cells[*hint].process) == process)
		return &s->cells[*hint];
	for (unsigned i = 0; i < n; i++) {
		if (LOAD(s->cells[i].process) == process) {
			*hint = (uint16_t)i;
			return &s->cells[i];
		}
	}
	return NULL;
}

/* For a process that has none. NULL: none is free. */
static struct mp__semaphore_cell *claim_cell(struct mp__semaphore *s, mp__stamp process)
{
	unsigned n = count_cells(s);
	unsigned start = (unsigned)mp__stamp_tid(process);

	for (unsigned i = 0; i < n; i++) {
		struct mp__semaphore_cell *cell = &s->cells[(start + i) % n];
		if (LOAD(cell->count) == 0) {
			STORE(cell->process, process);
			/* Who dies after the count must be found by the name. */
			atomic_signal_fence(memory_order_seq_cst);
			MP__TEST_POINT("semaphore.claimed");
			return cell;
		}
	}
	return NULL;
}

/* Take one of the `value` permits. 0, -EUSERS, -EBADMSG: no sentence yet. */
static int take(struct mp__semaphore *s, uint32_t value)
{
	if (!has_owners(s)) {
		uint32_t total = LOAD(s->total);
		STORE(s->total, total > 0 ? total - 1 : 0);
		MP__TEST_POINT("semaphore.uncounted");
		STORE(s->value, value - 1);
		return 0;
	}
	mp__stamp process = mp__stamp_process();
	struct mp__semaphore_cell *cell = find_cell(s, process);
	if (!cell)
		cell = claim_cell(s, process);
	if (!cell)
		return -EUSERS;
	uint32_t count = LOAD(cell->count);
	if (count >= MP_SEMAPHORE_MAX)
		return -EBADMSG;
	/* The store that does it; see the layout. */
	STORE(cell->count, count + 1);
	MP__TEST_POINT("semaphore.taken");
	STORE(s->value, value - 1);
	return 0;
}

static uint32_t give_from(struct mp__semaphore_cell *cell, uint32_t n)
{
	uint32_t count = LOAD(cell->count);
	uint32_t given = count < n ? count : n;

	if (given > 0) {
		STORE(cell->count, count - given);
		MP__TEST_POINT("semaphore.given");
	}
	return given;
}

/*
 * Up to n permits that other processes hold. Who signals does nothing else, release by release: the
 * last one that was taken from is tried first, then the one that holds most.
 */
static uint32_t give_from_others(struct mp__semaphore *s, uint32_t n)
{
	unsigned n_cells = count_cells(s);
	unsigned lender = s->lender;
	uint32_t given = lender < n_cells ? give_from(&s->cells[lender], n) : 0;

	while (given < n) {
		unsigned most = 0;
		for (unsigned i = 1; i < n_cells; i++) {
			if (LOAD(s->cells[i].count) > LOAD(s->cells[most].count))
				most = i;
		}
		uint32_t more = n_cells > 0 ? give_from(&s->cells[most], n - given) : 0;
		if (more == 0)
			break;
		s->lender = (uint16_t)most;
		given += more;
	}
	return given;
}

/* Nobody holds what is left of the n: it is new. */
static void give(struct mp__semaphore *s, uint32_t value, uint32_t n)
{
	uint32_t left = n;

	if (has_owners(s)) {
		struct mp__semaphore_cell *own = find_cell(s, mp__stamp_process());
		if (own)
			left -= give_from(own, left);
		if (left > 0 && LOAD(s->total) != value)
			left -= give_from_others(s, left);
	}
	if (left > 0) {
		STORE(s->total, LOAD(s->total) + left);
		MP__TEST_POINT("semaphore.raised");
	}
	STORE(s->value, value + n);
}

/* --- dead holders ------------------------------------------------------------------------------ */

/* Outside of the guard: which holders, among n cells from `first` on, have ended? */
static unsigned find_dead(
	struct mp__semaphore *s, unsigned first, unsigned n, mp__stamp dead[ASK_AT_ONCE])
{
	unsigned n_cells = count_cells(s);
	mp__stamp here = mp__stamp_process();
	unsigned n_dead = 0;

	for (unsigned i = 0; i < n && n_cells > 0; i++) {
		struct mp__semaphore_cell *cell = &s->cells[(first + i) % n_cells];
		mp__stamp process = LOAD(cell->process);
		if (LOAD(cell->count) != 0 && process != here && mp__stamp_process_dead(process))
			dead[n_dead++] = process;
	}
	return n_dead;
}

/* Their permits come back. How many; or -EDEADLK, -ETIMEDOUT. */
static int64_t drop_dead(
	struct mp__semaphore *s, const mp__stamp *dead, unsigned n_dead, mp__deadline deadline)
{
	int64_t back = 0;
	uint32_t count;

	int r = enter(s, deadline);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < n_dead; i++) {
		struct mp__semaphore_cell *cell = find_cell(s, dead[i]);
		if (!cell || (count = LOAD(cell->count)) == 0)
			continue;
		STORE(cell->count, 0);
		MP__TEST_POINT("semaphore.dropped");
		back += count;
	}
	derive_value(s);
	bool sleepers = mp__bell_has_sleepers(&s->bell);
	leave(s);
	if (back > 0 && sleepers)
		mp__bell_ring_slowly(&s->bell, back < INT_MAX ? (int)back : INT_MAX);
	return back;
}

/*
 * Ask whether the holders in n cells from `first` on live, and get back what the dead ones held. How
 * many permits came back; or -EDEADLK, -ETIMEDOUT. A death between the question and the answer is
 * found the next time.
 */
static int64_t recover(struct mp__semaphore *s, unsigned first, unsigned n, mp__deadline deadline)
{
	mp__stamp dead[ASK_AT_ONCE];
	int64_t back = 0;

	while (n > 0 && has_owners(s)) {
		unsigned part = n < ASK_AT_ONCE ? n : ASK_AT_ONCE;
		unsigned n_dead = find_dead(s, first, part, dead);
		int64_t r = n_dead > 0 ? drop_dead(s, dead, n_dead, deadline) : 0;
		if (r < 0)
			return r;
		back += r;
		first += part;
		n -= part;
	}
	return back;
}

/* --- acquire ----------------------------------------------------------------------------------- */

/*
 * With the guard held, and left. 0; -EAGAIN there is none, and *heard is set if the bell shall be
 * listened to; -EUSERS, -EBADMSG. No sentence yet.
 */
static NOINLINE int acquire_inside(struct mp__semaphore *s, uint32_t *heard)
{
	uint32_t value = LOAD(s->value);
	int r = -EAGAIN;

	if (value > 0) {
		r = take(s, value);
	} else if (heard) {
		*heard = mp__bell_listen(&s->bell);
		MP__TEST_POINT("semaphore.listening");
	}
	leave(s);
	return r;
}

/* One try; also -EDEADLK, -ETIMEDOUT of the guard. */
static int try_acquire(struct mp__semaphore *s, mp__deadline deadline, uint32_t *heard)
{
	int r = enter(s, deadline);

	return r < 0 ? r : acquire_inside(s, heard);
}

static int no_cell(struct mp__semaphore *s)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(-EUSERS,
		"semaphore%s: %u other processes hold permits, and there is no room for more",
		mp__sync_label(&s->head, label), count_cells(s));
}

static int none_left(struct mp__semaphore *s, int result)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(result, "acquiring from semaphore%s: all %u permits are taken",
		mp__sync_label(&s->head, label), LOAD(s->total));
}

/* Give a result of try_acquire() its sentence. `none`: what it is when there is no permit. */
static int explain(struct mp__semaphore *s, int r, int none)
{
	char label[MP__SYNC_LABEL_SIZE];

	if (r == -EAGAIN)
		return none_left(s, none);
	if (r == -EUSERS)
		return no_cell(s);
	if (r == -EBADMSG)
		return mp_error_set(
			r, "semaphore%s: its memory is damaged", mp__sync_label(&s->head, label));
	return r;
}

static bool spin_for_value(struct mp__semaphore *s)
{
	struct mp__spin spin = mp__spin_begin();
	bool there;

	while (!(there = LOAD(s->value) > 0) && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, there);
	return there;
}

/* Is there reason to ask who died, and did that help? */
static bool recovered(struct mp__semaphore *s, int r, mp__deadline deadline)
{
	unsigned first = 0;
	unsigned n =
		r == -EUSERS ? count_cells(s) : mp__look_due(&s->asked, count_cells(s), &first);

	return recover(s, first, n, deadline) > 0;
}

static int acquire_now(struct mp__semaphore *s)
{
	mp__deadline now = mp__deadline_in(MP_NOWAIT);
	int r = try_acquire(s, now, NULL);

	if ((r == -EAGAIN || r == -EUSERS) && recovered(s, r, now))
		r = try_acquire(s, now, NULL);
	if (r == -ETIMEDOUT)
		r = -EAGAIN; /* who can't look can't take either */
	return explain(s, r, -EAGAIN);
}

static int sleep_for_permit(struct mp__semaphore *s, mp__deadline deadline)
{
	uint32_t heard = 0;

	for (mp__deadline look = mp__deadline_slice(deadline, MP__LOOK_EVERY_MS);;) {
		/* It may have been destroyed while this thread slept. */
		int r = check(s);
		if (r < 0)
			return r;
		r = try_acquire(s, deadline, &heard);
		if (r == -EUSERS && recovered(s, r, deadline))
			continue;
		if (r != -EAGAIN)
			return explain(s, r, 0);
		if (mp__deadline_passed(look)) {
			if (recovered(s, r, deadline))
				continue;
			if (mp__deadline_passed(deadline))
				return none_left(s, -ETIMEDOUT);
			look = mp__deadline_slice(deadline, MP__BELL_RECHECK_MS);
		}
		mp__bell_sleep(&s->bell, heard, look);
		MP__TEST_POINT("semaphore.woken");
	}
}

static int acquire_in_time(struct mp__semaphore *s, mp__deadline deadline)
{
	if (spin_for_value(s) && try_acquire(s, deadline, NULL) == 0)
		return 0;
	mp__waiting_begin(&s->head, 0);
	int r = sleep_for_permit(s, deadline);
	mp__waiting_end();
	return r;
}

static NOINLINE int acquire_slowly(struct mp__semaphore *s, int timeout_ms)
{
	if (timeout_ms == MP_NOWAIT)
		return acquire_now(s);
	return acquire_in_time(s, mp__deadline_in(timeout_ms));
}

/*
 * What is usual, in as few instructions as possible: the guard is free, there is a permit, and this
 * process has its cell already, one of those that each semaphore has room for. For the rest of the
 * world acquire_inside(). Results as there; -EAGAIN also when somebody is inside.
 */
static inline int acquire_at_once(struct mp__semaphore *s)
{
	const struct mp__stamps *here = mp__stamps();
	unsigned at = *hint_of(s);

	if (at >= MP_SEMAPHORE_HOLDERS || !mp__guard_try_as(&s->guard, here->thread))
		return -EAGAIN;
	struct mp__semaphore_cell *cell = &s->cells[at];
	uint32_t value = LOAD(s->value);
	uint32_t count = LOAD(cell->count);
	if (__builtin_expect(
		    LOAD(cell->process) != here->process || value == 0 || count >= MP_SEMAPHORE_MAX,
		    0))
		return acquire_inside(s, NULL);
	/* The store that does it; see the layout. */
	STORE(cell->count, count + 1);
	MP__TEST_POINT("semaphore.taken");
	STORE(s->value, value - 1);
	leave(s);
	return 0;
}

int mp_semaphore_acquire(mp_semaphore *semaphore, int timeout_ms)
{
	struct mp__semaphore *s = (struct mp__semaphore *)semaphore;

	int r = check(s);
	if (__builtin_expect(r < 0, 0))
		return r;
	r = acquire_at_once(s);
	return __builtin_expect(r == 0, 1) ? 0 : acquire_slowly(s, timeout_ms);
}

/* --- release ----------------------------------------------------------------------------------- */

static int too_many(struct mp__semaphore *s, int64_t n)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(-EOVERFLOW,
		"semaphore%s: releasing %lld would make more than its %u permits",
		mp__sync_label(&s->head, label), (long long)n, s->limit);
}

/* With the guard held, and left. */
static NOINLINE int release_inside(struct mp__semaphore *s, uint32_t n)
{
	uint32_t value = LOAD(s->value);
	if ((uint64_t)value + n > s->limit) {
		leave(s);
		return too_many(s, n);
	}
	give(s, value, n);
	bool sleepers = mp__bell_has_sleepers(&s->bell);
	leave(s);
	MP__TEST_POINT("semaphore.released");
	if (sleepers)
		mp__bell_ring_slowly(&s->bell, (int)n);
	return 0;
}

static NOINLINE int release_slowly(struct mp__semaphore *s, uint32_t n)
{
	int r = mp__guard_try(&s->guard) ? 0 : enter(s, MP__GUARD_PATIENTLY);

	return r < 0 ? r : release_inside(s, n);
}

/* As acquire_at_once(): this process holds a permit, and nobody sleeps. */
static inline int release_one(struct mp__semaphore *s)
{
	const struct mp__stamps *here = mp__stamps();
	unsigned at = *hint_of(s);

	if (at >= MP_SEMAPHORE_HOLDERS || !mp__guard_try_as(&s->guard, here->thread))
		return release_slowly(s, 1);
	struct mp__semaphore_cell *cell = &s->cells[at];
	uint32_t value = LOAD(s->value);
	uint32_t count = LOAD(cell->count);
	if (__builtin_expect(LOAD(cell->process) != here->process || count == 0 ||
				     value >= s->limit || mp__bell_has_sleepers(&s->bell),
		    0))
		return release_inside(s, 1);
	STORE(cell->count, count - 1);
	MP__TEST_POINT("semaphore.given");
	STORE(s->value, value + 1);
	leave(s);
	return 0;
}

int mp_semaphore_release(mp_semaphore *semaphore)
{
	struct mp__semaphore *s = (struct mp__semaphore *)semaphore;

	int r = check(s);
	return __builtin_expect(r < 0, 0) ? r : release_one(s);
}

int mp_semaphore_release_n(mp_semaphore *semaphore, int64_t n)
{
	struct mp__semaphore *s = (struct mp__semaphore *)semaphore;

	int r = check(s);
	if (r < 0)
		return r;
	if (n < 1)
		return mp_error_set(
			-EINVAL, "releasing %lld permits: it must be 1 or more", (long long)n);
	return n > MP_SEMAPHORE_MAX ? too_many(s, n) : release_slowly(s, (uint32_t)n);
}

/* --- the end, and a look -------------------------------------------------------------------------------------- */

int mp_semaphore_destroy(mp_semaphore *semaphore)
{
	struct mp__semaphore *s = (struct mp__semaphore *)semaphore;

	int r = check(s);
	if (r < 0)
		return r;
	r = enter(s, MP__GUARD_PATIENTLY);
	if (r < 0)
		return r;
	/* Who is woken looks, and sleeps again. Who listens but does not sleep yet finds it gone. */
	if (mp__bell_has_sleepers(&s->bell) && mp__futex_wake(&s->bell, INT_MAX) > 0) {
		char label[MP__SYNC_LABEL_SIZE];
		leave(s);
		return mp_error_set(-EBUSY, "destroying semaphore%s: somebody waits for a permit",
			mp__sync_label(&s->head, label));
	}
	mp__sync_publish(&s->head, 0);
	leave(s);
	return 0;
}

int mp_semaphore_value(mp_semaphore *semaphore)
{
	struct mp__semaphore *s = (struct mp__semaphore *)semaphore;

	int r = check(s);
	if (r < 0)
		return r;
	int64_t back = recover(s, 0, count_cells(s), MP__GUARD_PATIENTLY);
	if (back < 0)
		return (int)back;
	r = enter(s, MP__GUARD_PATIENTLY);
	if (r < 0)
		return r;
	uint32_t value = LOAD(s->value);
	leave(s);
	return value < MP_SEMAPHORE_MAX ? (int)value : MP_SEMAPHORE_MAX;
}
