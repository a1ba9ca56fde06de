/* SPDX-License-Identifier: MIT */
/* The end of a queue, and who still works on what came out of it. */
#include <config.h>

#include "queue/get.h"
#include "queue/lease.h"

#include "base/error.h"
#include "base/log.h"
#include "base/testpoint.h"

#include <limits.h>
#include <unistd.h>

/* Who joins and has waited for so long for a stranger says so. */
#define REMARK_NS INT64_C(1000000000)

/* --- shutting down -------------------------------------------------------------------------------- */

static int no_more_puts(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;
	struct mp__queue_wait wait = mp__queue_wait_patiently();
	mp__guard *guard = q->store ? &c->get_guard : &c->put_guard;

	/* Inside, so that no message comes after a getter has seen the bit and an empty queue. */
	int r = mp__queue_enter(q, guard, &wait);
	if (r < 0)
		return r;
	atomic_fetch_or(&c->shutdown, MP__QUEUE_NO_PUTS);
	MP__TEST_POINT("queue.shutdown.puts");
	mp__guard_leave(guard);
	return 0;
}

static int no_more_gets(struct mp_queue *q)
{
	struct mp__queue_control *c = q->control;
	struct mp__queue_wait wait = mp__queue_wait_patiently();

	int r = q->store ? mp__store_enter(q, &wait) : mp__queue_enter(q, &c->get_guard, &wait);
	if (r < 0)
		return r;
	atomic_fetch_or(&c->shutdown, MP__QUEUE_NO_GETS);
	MP__TEST_POINT("queue.shutdown.gets");
	if (q->store) {
		r = mp__store_drop_all(q);
		mp__guard_leave(&c->get_guard);
		return r;
	}
	/* All that is there goes at once; the count of bytes does not matter any more. */
	atomic_store_explicit(&c->head, atomic_load_explicit(&c->tail, memory_order_acquire),
		memory_order_release);
	mp__guard_leave(&c->get_guard);
	return 0;
}

int mp_queue_shutdown(mp_queue *queue, int how)
{
	if (!queue || (how != MP_QUEUE_DRAIN && how != MP_QUEUE_IMMEDIATE))
		return mp_error_set(
			-EINVAL, "shutting down: no queue, or %d is no way to do it", how);
	struct mp__queue_control *c = queue->control;
	int r = no_more_puts(queue);
	if (r == 0 && how == MP_QUEUE_IMMEDIATE)
		r = no_more_gets(queue);
	atomic_thread_fence(memory_order_seq_cst);
	mp__watched_bell_ring(&c->items_bell, INT_MAX);
	mp__watched_bell_ring(&c->room_bell, INT_MAX);
	mp__watched_bell_ring(&c->done_bell, INT_MAX);
	return r;
}

int mp_queue_is_shutdown(mp_queue *queue)
{
	uint32_t bits = queue ? atomic_load(&queue->control->shutdown) : 0;

	return bits & MP__QUEUE_NO_GETS ? MP_QUEUE_IMMEDIATE : bits ? MP_QUEUE_DRAIN : 0;
}

/* --- cells ---------------------------------------------------------------------------------------- */

static bool is_own(struct mp__queue_cell *cell)
{
	return mp__life_is_own(atomic_load_explicit(&cell->process, memory_order_relaxed));
}

static struct mp__queue_cell *own_cell(struct mp_queue *q)
{
	unsigned at = atomic_load_explicit(&q->cell, memory_order_relaxed);

	if (is_own(&q->cells[at]))
		return &q->cells[at];
	for (at = 0; at < MP__QUEUE_CELLS; at++) {
		if (is_own(&q->cells[at])) {
			atomic_store_explicit(&q->cell, at, memory_order_relaxed);
			return &q->cells[at];
		}
	}
	return NULL;
}

/* Inside get_guard: a cell that nobody has, or whose process is dead. */
static struct mp__queue_cell *claim_cell(struct mp_queue *q, uint64_t self, bool of_the_dead)
{
	for (unsigned at = 0; at < MP__QUEUE_CELLS; at++) {
		struct mp__queue_cell *cell = &q->cells[at];
		uint64_t process = atomic_load_explicit(&cell->process, memory_order_relaxed);

		if (process != 0 && !(of_the_dead && mp__life_ended(q->segment.fd, process)))
			continue;
		atomic_store_explicit(&cell->taken, 0, memory_order_relaxed);
		MP__TEST_POINT("queue.cell.cleared");
		if (atomic_compare_exchange_strong(&cell->process, &process, self)) {
			atomic_store_explicit(&q->cell, at, memory_order_relaxed);
			return cell;
		}
	}
	return NULL;
}

int mp__queue_note_taken(struct mp_queue *q)
{
	struct mp__queue_cell *cell = own_cell(q);
	uint64_t self = cell ? 0 : mp__life_stamp(&q->life, q->segment.fd);

	if (!cell)
		cell = claim_cell(q, self, false);
	if (!cell)
		cell = claim_cell(q, self, true);
	if (!cell)
		return mp_error_set(-EUSERS,
			"getting a message: %u processes get from this joinable queue already",
			MP__QUEUE_CELLS);
	atomic_fetch_add_explicit(&cell->taken, 1, memory_order_relaxed);
	MP__TEST_POINT("queue.cell.counted");
	return 0;
}

/* One less, unless there is none: 1 it was the last, 0 done, -1 there is none. */
static int take_one(struct mp__queue_cell *cell)
{
	uint64_t taken = atomic_load_explicit(&cell->taken, memory_order_relaxed);

	while (taken > 0) {
		/* Release: what was done for the message comes before; partner: all_done(). */
		if (atomic_compare_exchange_weak(&cell->taken, &taken, taken - 1))
			return taken == 1;
	}
	return -1;
}

int mp_queue_task_done(mp_queue *queue)
{
	if (!queue || !(queue->flags & MP__QUEUE_JOINABLE))
		return mp_error_set(
			-EINVAL, "task done: no queue, or it is not joinable (option joinable)");
	struct mp__queue_cell *cell = own_cell(queue);
	int r = cell ? take_one(cell) : -1;
	/* A message may have been handed on, to a child for example. */
	for (unsigned i = 0; r < 0 && i < MP__QUEUE_CELLS; i++) {
		if (atomic_load_explicit(&queue->cells[i].process, memory_order_relaxed) != 0)
			r = take_one(&queue->cells[i]);
	}
	if (r < 0)
		return mp_error_set(-ERANGE, "task done: no message is out that is not done");
	if (r == 1)
		mp__watched_bell_ring(&queue->control->done_bell, INT_MAX);
	return 0;
}

/* Of the cell; a dead process's are done. *ret_foreign: one of which that cannot be said. */
static uint64_t unfinished(
	struct mp_queue *q, struct mp__queue_cell *cell, bool suspicious, uint64_t *ret_foreign)
{
	uint64_t process = atomic_load_explicit(&cell->process, memory_order_acquire);
	uint64_t taken = atomic_load_explicit(&cell->taken, memory_order_acquire);

	if (process == 0 || taken == 0)
		return 0;
	if (suspicious && !mp__life_can_be_seen(process))
		*ret_foreign = process;
	if (!suspicious || !mp__life_ended(q->segment.fd, process))
		return taken;
	atomic_compare_exchange_strong(&cell->process, &process, 0);
	return 0;
}

/* Nothing waits to be got; *ret_mark says how much had been put then. */
static bool is_idle(struct mp_queue *q, uint64_t *ret_mark)
{
	struct mp__queue_control *c = q->control;

	if (q->store)
		return mp__store_is_idle(q, ret_mark);
	*ret_mark = atomic_load_explicit(&c->tail, memory_order_acquire);
	return mp__ring_items(*ret_mark, atomic_load_explicit(&c->head, memory_order_acquire)) == 0;
}

/*
 * Was there an instant with nothing in the queue and nothing in a cell? If the queue was empty and
 * nothing has been put since, no cell can have gone up either, so looking at them one by one will
 * do.
 */
static bool all_done(struct mp_queue *q, bool suspicious, uint64_t *ret_foreign)
{
	struct mp__queue_control *c = q->control;
	uint64_t mark;

	if (!is_idle(q, &mark))
		return false;
	for (unsigned i = 0; i < MP__QUEUE_CELLS; i++) {
		if (unfinished(q, &q->cells[i], suspicious, ret_foreign) != 0)
			return false;
	}
	if (q->store)
		return atomic_load_explicit(&q->store->root->next_sequence, memory_order_acquire) ==
		       mark;
	return mp__ring_items(atomic_load_explicit(&c->tail, memory_order_acquire), mark) == 0;
}

static bool may_be_done(struct mp_queue *q, const void *argument)
{
	uint64_t foreign;

	(void)argument;
	if (q->store && (mp__store_ready(q->store) != 0 || mp__store_leased(q->store) != 0))
		return false;
	return all_done(q, false, &foreign);
}

/* Who may be dead, and since when it is in the way. */
struct stranger {
	uint64_t process;
	int64_t since;
	bool told;
};

/*
 * A process elsewhere that could not show that it lives: it is not waited for without end, because it
 * may have ended long ago. 0; -ETIMEDOUT.
 */
static int judge(struct stranger *s, uint64_t process)
{
	int64_t now = mp__now_ns();

	if (process == 0 || process != s->process)
		*s = (struct stranger){.process = process, .since = now};
	if (process == 0)
		return 0;
	if (now - s->since >= REMARK_NS && !s->told) {
		s->told = true;
		mp__log(MP_LOG_WARNING, "queue",
			"process %d of another PID namespace has got messages from a queue that "
			"process %d joins: whether it lives cannot be seen from here",
			(int)mp__stamp_tid(process), (int)getpid());
	}
	if (now - s->since < mp__guard_patience_ns)
		return 0;
	return mp_error_set(-ETIMEDOUT,
		"joining a queue: process %d of another PID namespace has messages that are not "
		"done, and whether it lives cannot be seen from here",
		(int)mp__stamp_tid(process));
}

/* Not all is done, and some time has gone by: 1 that has changed; 0; an error. */
static int look_after_the_dead(struct mp_queue *q, struct mp__queue_wait *wait,
	struct stranger *stranger, uint64_t foreign)
{
	int r = judge(stranger, foreign);

	/* What the dead had leased may be set aside, and then is done. */
	if (r == 0 && q->store)
		r = mp__lease_return_dead(q, wait);
	return r < 0 ? r : r > 0;
}

int mp_queue_join(mp_queue *queue, int timeout_ms)
{
	struct mp__queue_wait wait = mp__queue_wait_of(timeout_ms);
	struct stranger stranger = {0};
	uint64_t foreign = 0;

	if (!queue || !(queue->flags & MP__QUEUE_JOINABLE))
		return mp_error_set(
			-EINVAL, "joining: no queue, or it is not joinable (option joinable)");
	wait.suspicious = timeout_ms == 0;
	while (!all_done(queue, wait.suspicious, &foreign)) {
		int r = wait.suspicious ? look_after_the_dead(queue, &wait, &stranger, foreign) : 0;
		if (r < 0)
			return r;
		foreign = 0;
		if (r > 0)
			continue;
		r = mp__queue_wait_for(queue, &queue->control->done_bell, &wait, may_be_done, NULL);
		if (r < 0)
			return mp_error_set(r, "joining a queue: not all messages are done");
	}
	return 0;
}
