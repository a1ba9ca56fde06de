/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/rwlock.h"

#include "base/error.h"
#include "base/options.h"
#include "base/spin.h"
#include "base/testpoint.h"
#include "sync/rwlock_layout.h"
#include "sync/object.h"
#include "sync/order.h"
#include "sync/waiting.h"

#include <errno.h>
#include <limits.h>

#define DEPTH_MAX INT32_MAX
#define N_CELLS MP_RWLOCK_READERS_MAX

#define NOINLINE __attribute__((noinline)) /* what a fast path must not carry along */

/*
 * How many cells this thread has, in all locks together, that are not its usual one. While there is
 * none, to look into the usual one is enough to know whether a lock is held.
 */
static __thread struct {
	mp__stamp self; /* a forked child has none, and another stamp */
	unsigned count;
} strays __attribute__((tls_model("initial-exec")));

static struct mp__rwlock *layout(const mp_rwlock *rwlock)
{
	return (struct mp__rwlock *)rwlock;
}

static int check(const mp_rwlock *rwlock)
{
	return mp__sync_check((const struct mp__sync_head *)rwlock, MP__MAGIC_RWLOCK);
}

/* --- cells -------------------------------------------------------------------------------------------- */

/* Threads that were made one after the other have neighbouring numbers: they get different lines. */
static unsigned usual_cell(mp__stamp self)
{
	unsigned tid = (unsigned)mp__stamp_tid(self);

	return tid % MP__RW_LINES * MP__RW_CELLS_PER_LINE +
	       tid / MP__RW_LINES % MP__RW_CELLS_PER_LINE;
}

static mp__stamp reader_of(const struct mp__rw_cell *cell)
{
	return atomic_load_explicit(&cell->stamp, memory_order_relaxed);
}

static unsigned *stray_count(mp__stamp self)
{
	if (strays.self != self) {
		strays.self = self;
		strays.count = 0;
	}
	return &strays.count;
}

/* The cell of the calling thread, or NULL. */
static struct mp__rw_cell *my_cell(struct mp__rwlock *rw, mp__stamp self)
{
	unsigned usual = usual_cell(self);

	if (reader_of(&rw->cells[usual]) == self)
		return &rw->cells[usual];
	if (*stray_count(self) == 0)
		return NULL;
	for (unsigned i = 1; i < N_CELLS; i++) {
		struct mp__rw_cell *cell = &rw->cells[(usual + i) % N_CELLS];
		if (reader_of(cell) == self)
			return cell;
	}
	return NULL;
}

static bool claim_cell(struct mp__rw_cell *cell, mp__stamp self)
{
	uint64_t nobody = 0;

	/* Sequentially consistent: the caller reads the word next. */
	if (reader_of(cell) != 0 || !atomic_compare_exchange_strong(&cell->stamp, &nobody, self))
		return false;
	cell->depth = 1;
	return true;
}

/* NULL: all are taken. */
static struct mp__rw_cell *claim_stray(struct mp__rwlock *rw, mp__stamp self)
{
	unsigned usual = usual_cell(self);

	for (unsigned i = 1; i < N_CELLS; i++) {
		struct mp__rw_cell *cell = &rw->cells[(usual + i) % N_CELLS];
		if (claim_cell(cell, self)) {
			++*stray_count(self);
			return cell;
		}
	}
	return NULL;
}

static inline void empty_cell(struct mp__rwlock *rw, struct mp__rw_cell *cell)
{
	/* Sequentially consistent: the bell is looked at next. Partner: the look in first_reader(). */
	atomic_exchange(&cell->stamp, 0);
	MP__TEST_POINT("rwlock.left");
	mp__bell_ring(&rw->drained, 1);
}

static void leave_cell(struct mp__rwlock *rw, struct mp__rw_cell *cell, mp__stamp self)
{
	if (cell != &rw->cells[usual_cell(self)])
		--*stray_count(self);
	empty_cell(rw, cell);
}

/* Empty the cells of the dead. How many. */
static unsigned bury(struct mp__rwlock *rw)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N_CELLS; i++) {
		uint64_t reader = reader_of(&rw->cells[i]);
		if (reader != 0 && mp__owner_dead(reader) &&
			atomic_compare_exchange_strong(&rw->cells[i].stamp, &reader, 0))
			n++;
	}
	return n;
}

/* Whoever reads, 0: nobody. */
static mp__stamp first_reader(struct mp__rwlock *rw)
{
	for (unsigned i = 0; i < N_CELLS; i++) {
		mp__stamp reader = atomic_load(&rw->cells[i].stamp);
		if (reader != 0)
			return reader;
	}
	return 0;
}

/* --- made and unmade ------------------------------------------------------------------------------------ */

int mp_rwlock_init(mp_rwlock *rwlock, const mp_rwlock_options *options)
{
	struct mp__rwlock *rw = layout(rwlock);
	mp_rwlock_options known;
	int r = mp__options_load(&known, sizeof(known), 0, options);

	if (r < 0)
		return r;
	r = mp__sync_place((struct mp__sync_head *)rwlock, MP__MAGIC_RWLOCK);
	if (r < 0)
		return r;
	mp__sync_prepare(&rw->head, known.name, 0);
	atomic_store_explicit(&rw->word, 0, memory_order_relaxed);
	atomic_store_explicit(&rw->drained, 0, memory_order_relaxed);
	atomic_store_explicit(&rw->open, 0, memory_order_relaxed);
	atomic_store_explicit(&rw->order_id, 0, memory_order_relaxed);
	for (size_t i = 0; i < sizeof(rw->reserved) / sizeof(rw->reserved[0]); i++)
		rw->reserved[i] = 0;
	for (unsigned i = 0; i < N_CELLS; i++) {
		atomic_store_explicit(&rw->cells[i].stamp, 0, memory_order_relaxed);
		rw->cells[i].depth = 0;
	}
	MP__TEST_POINT("rwlock.made");
	mp__sync_publish(&rw->head, MP__MAGIC_RWLOCK);
	return 0;
}

/* The writer leaves, or gives up; `leave` is what it leaves in the word. */
static void reopen(struct mp__rwlock *rw, uint64_t leave)
{
	uint64_t was = atomic_exchange(&rw->word, leave);

	MP__TEST_POINT("rwlock.reopened");
	if (was & MP__OWNER_SLEEPERS)
		mp__owner_wake(&rw->word);
	mp__bell_ring(&rw->open, INT_MAX);
}

static int busy(const struct mp__rwlock *rw, mp__stamp who, const char *what)
{
	return mp_error_set(-EBUSY, "destroy of rwlock %p: thread %d %s", (const void *)rw,
		(int)mp__stamp_tid(who), what);
}

int mp_rwlock_destroy(mp_rwlock *rwlock)
{
	struct mp__rwlock *rw = layout(rwlock);
	int r = check(rwlock);

	if (r < 0)
		return r;
	r = mp__owner_try(&rw->word) ? 0 : mp__owner_wait(&rw->word, &rw->head, MP_NOWAIT);
	if (r == -EINVAL)
		return r;
	if (r < 0)
		return busy(rw, mp__owner_of(&rw->word), "writes, or waits to");
	if (first_reader(rw) != 0)
		bury(rw);
	mp__stamp reader = first_reader(rw);
	if (reader != 0) {
		reopen(rw, r == MP_OWNER_DIED ? MP__RW_NEWS : 0);
		return busy(rw, reader, "reads");
	}
	/* In this order: who dies in between leaves what nobody can take, not what it seems to write. */
	mp__owner_destroy(&rw->word);
	MP__TEST_POINT("rwlock.unmade");
	mp__sync_publish(&rw->head, 0);
	mp__bell_ring(&rw->open, INT_MAX);
	return 0;
}

/* --- readers ---------------------------------------------------------------------------------------- */

static int read_refused(const struct mp__rwlock *rw, int result, mp__stamp writer)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(result,
		"acquire of rwlock %p%s for reading: thread %d writes, or waits to",
		(const void *)rw, mp__sync_label(&rw->head, label), (int)mp__stamp_tid(writer));
}

/*
 * May a reader with a cell stay? 0, MP_OWNER_DIED, -EBUSY there is a writer, -EINVAL.
 */
static int admitted(struct mp__rwlock *rw)
{
	/* Sequentially consistent: after the cell. Partner: the take of the word by the writer. */
	uint64_t word = atomic_load(&rw->word);

	if (__builtin_expect(word == 0, 1))
		return 0;
	if (word & MP__OWNER_GONE)
		return mp_error_set(-EINVAL,
			"waiting: the rwlock that this thread waited for was destroyed meanwhile");
	if ((word & ~MP__STAMP_MARKS) == 0)
		return 0;
	return mp__stamp_tid(word) == 0 ? MP_OWNER_DIED : -EBUSY;
}

/* Claim a cell, and stay if that is allowed. As admitted(); -EUSERS. */
static int enter(struct mp__rwlock *rw, mp__stamp self)
{
	struct mp__rw_cell *cell = &rw->cells[usual_cell(self)];

	if (!claim_cell(cell, self)) {
		cell = claim_stray(rw, self);
		if (!cell && bury(rw) > 0)
			cell = claim_stray(rw, self);
		if (!cell)
			return mp_error_set(-EUSERS,
				"acquire of rwlock %p for reading: %d threads read", (void *)rw,
				N_CELLS);
	}
	MP__TEST_POINT("rwlock.claimed");
	int r = admitted(rw);
	if (r < 0)
		leave_cell(rw, cell, self);
	return r;
}

/* If the writer is dead: let everybody know that there is none. */
static void spread_news(struct mp__rwlock *rw)
{
	uint64_t word = atomic_load_explicit(&rw->word, memory_order_relaxed);
	mp__stamp writer = word & ~MP__STAMP_MARKS;

	if (mp__stamp_tid(writer) == 0 || !mp__owner_dead(writer))
		return;
	MP__TEST_POINT("rwlock.news");
	if (atomic_compare_exchange_strong(&rw->word, &word, MP__RW_NEWS)) {
		if (word & MP__OWNER_SLEEPERS)
			mp__owner_wake(&rw->word);
		mp__bell_ring(&rw->open, INT_MAX);
	}
}

static int read_spinning(struct mp__rwlock *rw, mp__stamp self)
{
	struct mp__spin spin = mp__spin_begin();
	int r = -EBUSY;

	do {
		if (mp__stamp_tid(atomic_load_explicit(&rw->word, memory_order_relaxed)) == 0)
			r = enter(rw, self);
	} while (r == -EBUSY && mp__spin_on(&spin));
	mp__spin_end(&spin, r >= 0);
	return r;
}

static int read_sleeping(struct mp__rwlock *rw, mp__stamp self, mp__deadline deadline)
{
	for (;;) {
		uint32_t heard = mp__bell_listen(&rw->open);
		MP__TEST_POINT("rwlock.listening");
		spread_news(rw);
		mp__stamp writer = mp__owner_of(&rw->word);
		if (mp__stamp_tid(writer) == 0) {
			int r = enter(rw, self);
			if (r != -EBUSY)
				return r;
			continue;
		}
		mp__waiting_update(writer);
		if (mp__bell_sleep(&rw->open, heard, deadline) == -ETIMEDOUT)
			return read_refused(rw, -ETIMEDOUT, writer);
	}
}

static int read_slowly(struct mp__rwlock *rw, mp__stamp self, int timeout_ms)
{
	mp__stamp writer = mp__owner_of(&rw->word);

	if (writer == self)
		return mp_error_set(-EDEADLK,
			"acquire of rwlock %p for reading: this thread has it for writing",
			(void *)rw);
	if (timeout_ms == MP_NOWAIT) {
		spread_news(rw);
		int r = enter(rw, self);
		return r == -EBUSY ? read_refused(rw, -EAGAIN, writer) : r;
	}
	mp__deadline deadline = mp__deadline_in(timeout_ms);
	int r = read_spinning(rw, self);
	if (r != -EBUSY)
		return r;
	mp__waiting_begin(&rw->head, writer);
	r = read_sleeping(rw, self, deadline);
	mp__waiting_end();
	return r;
}

/* It has it already, its usual cell is taken, or there is a writer or news of one. */
static NOINLINE int acquire_read_anyhow(struct mp__rwlock *rw, mp__stamp self, int timeout_ms)
{
	struct mp__rw_cell *mine = my_cell(rw, self);

	if (mine) {
		if (mine->depth >= DEPTH_MAX)
			return mp_error_set(-EOVERFLOW,
				"acquire of rwlock %p for reading: this thread has it %d times",
				(void *)rw, DEPTH_MAX);
		mine->depth++;
		return mp__stamp_tid(mp__owner_of(&rw->word)) == 0 && mp__owner_of(&rw->word) != 0
			       ? MP_OWNER_DIED
			       : 0;
	}
	int r = enter(rw, self);
	return r == -EBUSY ? read_slowly(rw, self, timeout_ms) : r;
}

/* What is usual, in as few instructions as possible: a free cell, which is this thread's, no writer. */
static inline bool acquire_read_at_once(struct mp__rwlock *rw, mp__stamp self)
{
	struct mp__rw_cell *cell = &rw->cells[usual_cell(self)];

	/* With cells elsewhere, one may be in this lock. */
	if (__builtin_expect(strays.count != 0, 0) || !claim_cell(cell, self))
		return false;
	MP__TEST_POINT("rwlock.claimed");
	/* As in admitted(). */
	if (__builtin_expect(atomic_load(&rw->word) == 0, 1))
		return true;
	empty_cell(rw, cell);
	return false;
}

/* With MP_LOCK_DEBUG. A thread that reads already waits for nobody. */
static NOINLINE int acquire_read_watched(struct mp__rwlock *rw, mp__stamp self, int timeout_ms)
{
	bool again = my_cell(rw, self) != NULL;

	if (!again && timeout_ms != MP_NOWAIT)
		mp__order_note_wanted(&rw->head, &rw->order_id);
	int r = acquire_read_anyhow(rw, self, timeout_ms);
	if (!again && r >= 0)
		mp__order_note_taken(&rw->head, &rw->order_id);
	return r;
}

int mp_rwlock_acquire_read(mp_rwlock *rwlock, int timeout_ms)
{
	struct mp__rwlock *rw = layout(rwlock);
	int r = check(rwlock);

	if (__builtin_expect(r < 0, 0))
		return r;
	mp__stamp self = mp__stamp_self();
	if (__builtin_expect(mp__order_on, 0))
		return acquire_read_watched(rw, self, timeout_ms);
	return acquire_read_at_once(rw, self) ? 0 : acquire_read_anyhow(rw, self, timeout_ms);
}

static NOINLINE int release_read_anyhow(struct mp__rwlock *rw, mp__stamp self)
{
	struct mp__rw_cell *mine = my_cell(rw, self);

	if (!mine)
		return mp_error_set(-EPERM,
			"release of rwlock %p: this thread does not have it for reading",
			(void *)rw);
	if (mine->depth > 1) {
		mine->depth--;
		return 0;
	}
	mp__order_given(&rw->order_id);
	leave_cell(rw, mine, self);
	return 0;
}

int mp_rwlock_release_read(mp_rwlock *rwlock)
{
	struct mp__rwlock *rw = layout(rwlock);
	int r = check(rwlock);

	if (__builtin_expect(r < 0, 0))
		return r;
	mp__stamp self = mp__stamp_self();
	struct mp__rw_cell *usual = &rw->cells[usual_cell(self)];
	if (__builtin_expect(reader_of(usual) != self || usual->depth > 1 || mp__order_on, 0))
		return release_read_anyhow(rw, self);
	empty_cell(rw, usual);
	return 0;
}

/* --- writers ---------------------------------------------------------------------------------------- */

static int write_refused(const struct mp__rwlock *rw, int result, mp__stamp reader)
{
	char label[MP__SYNC_LABEL_SIZE];

	return mp_error_set(result, "acquire of rwlock %p%s for writing: thread %d reads",
		(const void *)rw, mp__sync_label(&rw->head, label), (int)mp__stamp_tid(reader));
}

static bool drained_soon(struct mp__rwlock *rw)
{
	struct mp__spin spin = mp__spin_begin();
	bool drained;

	while (!(drained = first_reader(rw) == 0) && mp__spin_on(&spin))
		;
	mp__spin_end(&spin, drained);
	return drained;
}

/* With the word taken, no reader comes in. Wait until the last one has left. */
static int drain(struct mp__rwlock *rw, mp__deadline deadline)
{
	int r = 0;

	mp__waiting_begin(&rw->head, first_reader(rw));
	for (;;) {
		uint32_t heard = mp__bell_listen(&rw->drained);
		MP__TEST_POINT("rwlock.draining");
		bury(rw);
		mp__stamp reader = first_reader(rw);
		if (reader == 0)
			break;
		mp__waiting_update(reader);
		if (mp__bell_sleep(&rw->drained, heard, deadline) == -ETIMEDOUT) {
			r = write_refused(rw, -ETIMEDOUT, reader);
			break;
		}
	}
	mp__waiting_end();
	return r;
}

static int drain_now(struct mp__rwlock *rw)
{
	bury(rw);
	mp__stamp reader = first_reader(rw);

	return reader == 0 ? 0 : write_refused(rw, -EAGAIN, reader);
}

static int acquire_write(struct mp__rwlock *rw, int timeout_ms)
{
	mp__deadline deadline = MP__DEADLINE_NEVER;
	int died = 0;

	if (my_cell(rw, mp__stamp_self()))
		return mp_error_set(-EDEADLK,
			"acquire of rwlock %p for writing: this thread has it for reading",
			(void *)rw);
	if (!mp__owner_try(&rw->word)) {
		if (timeout_ms > 0)
			deadline = mp__deadline_in(timeout_ms);
		died = timeout_ms == MP_NOWAIT
			       ? mp__owner_wait(&rw->word, &rw->head, MP_NOWAIT)
			       : mp__owner_wait_until(&rw->word, &rw->head, deadline);
		if (died < 0)
			return died;
	}
	MP__TEST_POINT("rwlock.closed");
	/* The word was taken sequentially consistently, and the cells are read so: see admitted(). */
	if (first_reader(rw) == 0)
		return died;
	if (timeout_ms != MP_NOWAIT && drained_soon(rw))
		return died;
	if (timeout_ms > 0 && deadline.ns == INT64_MAX)
		deadline = mp__deadline_in(timeout_ms);
	int r = timeout_ms == MP_NOWAIT ? drain_now(rw) : drain(rw, deadline);
	if (r < 0)
		reopen(rw, died == MP_OWNER_DIED ? MP__RW_NEWS : 0);
	return r < 0 ? r : died;
}

int mp_rwlock_acquire_write(mp_rwlock *rwlock, int timeout_ms)
{
	struct mp__rwlock *rw = layout(rwlock);
	int r = check(rwlock);

	if (r < 0)
		return r;
	if (timeout_ms != MP_NOWAIT)
		mp__order_wanted(&rw->head, &rw->order_id);
	r = acquire_write(rw, timeout_ms);
	if (r >= 0)
		mp__order_taken(&rw->head, &rw->order_id);
	return r;
}

static int must_write(const struct mp__rwlock *rw, const char *what)
{
	if (mp__owner_is_self(&rw->word))
		return 0;
	return mp_error_set(-EPERM, "%s of rwlock %p: this thread does not have it for writing",
		what, (const void *)rw);
}

int mp_rwlock_release_write(mp_rwlock *rwlock)
{
	struct mp__rwlock *rw = layout(rwlock);
	int r = check(rwlock);

	if (r < 0 || (r = must_write(rw, "release")) < 0)
		return r;
	mp__order_given(&rw->order_id);
	reopen(rw, 0);
	return 0;
}

int mp_rwlock_downgrade(mp_rwlock *rwlock)
{
	struct mp__rwlock *rw = layout(rwlock);
	int r = check(rwlock);

	if (r < 0 || (r = must_write(rw, "downgrade")) < 0)
		return r;
	mp__stamp self = mp__stamp_self();
	/* Others hold cells for an instant only, until they see the word. */
	if (!claim_cell(&rw->cells[usual_cell(self)], self) && !claim_stray(rw, self))
		return mp_error_set(-EUSERS, "downgrade of rwlock %p: %d threads want to read",
			(void *)rw, N_CELLS);
	MP__TEST_POINT("rwlock.downgrade");
	reopen(rw, 0);
	return 0;
}

/* --- for people --------------------------------------------------------------------------------------- */

int mp_rwlock_writer(const mp_rwlock *rwlock)
{
	int r = check(rwlock);

	return r < 0 ? r : (int)mp__stamp_tid(mp__owner_of(&layout(rwlock)->word));
}

int mp_rwlock_readers(const mp_rwlock *rwlock)
{
	int n = check(rwlock);

	for (unsigned i = 0; n >= 0 && i < N_CELLS; i++)
		n += reader_of(&layout(rwlock)->cells[i]) != 0;
	return n;
}

/* --- as an object of its own ---------------------------------------------------------------------------- */

MP__SYNC_OBJECT(rwlock, RWLOCK)

int mp_rwlock_new(const mp_rwlock_options *options, mp_rwlock **ret_rwlock)
{
	void *object = NULL;
	int r = mp__object_place(&mp__rwlock_type, sizeof(mp_rwlock), ret_rwlock, &object);

	if (r == 0)
		r = mp__object_keep(object, mp_rwlock_init(object, options));
	if (r == 0)
		*ret_rwlock = object;
	return r;
}
