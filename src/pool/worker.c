/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/worker.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/futex.h"
#include "base/testpoint.h"
#include "base/spin.h"
#include "pool/run.h"

#include <mp/handle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_NOT_READY 1
#define EXIT_USELESS 2
#define SPIN_MIN 64u
#define SPIN_MAX 4096u
/*
 * How long a sleeper sleeps at most. It matters only when a worker was killed or stopped between
 * its wake-up, or its spinning, and its claim while no thread of the owner waits: whoever waits
 * rings again (collect.c).
 */
#define SLEEP_FIRST_MS 20
#define SLEEP_LAST_MS 100

struct worker {
	struct mp__pool_segment seg;
	struct mp__pool_found found;
	uint32_t number;
	int eventfd;
	int cargo_fd;
	uint32_t spin;
	int sleep_ms; /* how long to sleep at most, next time */
	bool look_for_cargo;
	struct mp__cargo cargo; /* of the task at hand */
};

/*
 * A task has closed descriptors that are not its own. Our end is what the owner still hears of us;
 * what was committed counts, and another worker comes.
 */
static _Noreturn void leave_useless(void)
{
	_exit(EXIT_USELESS);
}

/* --- the queue -------------------------------------------------------------------------------- */

/* The claim: take the slot and sign for it, in one step. */
static bool claim_slot(struct worker *w, uint32_t number, uint32_t generation)
{
	if (number >= w->seg.n_slots)
		return false;
	uint64_t queued = mp__pool_state(generation, 0, MP__POOL_QUEUED);
	/*
	 * Acquire: partner of the release store of QUEUED, which comes after the slot's
	 * contents.
	 */
	return atomic_compare_exchange_strong_explicit(&w->seg.slots[number].state, &queued,
		mp__pool_state(generation, w->number, MP__POOL_RUNNING), memory_order_acquire,
		memory_order_relaxed);
}

/* There was a token: take messages until one is for a task that nobody has, or none is left. */
static bool claim_cargo(struct worker *w, uint32_t *ret_number)
{
	struct mp__pool_cargo_message message = {.slot = MP__POOL_NONE};

	for (;;) {
		w->cargo.n_fds = w->cargo.room;
		ssize_t n = mp__socket_receive(
			w->cargo_fd, &message, sizeof(message), w->cargo.fds, &w->cargo.n_fds);
		/*
		 * -EMSGSIZE: no room for the descriptors. The task is taken all the same, and
		 * fails.
		 */
		if (n <= 0)
			w->cargo.n_fds = 0;
		if (n == -EBADF || n == -ENOTSOCK)
			leave_useless();
		if (n <= 0 && n != -EMSGSIZE)
			return false;
		MP__TEST_POINT("pool.cargo_received");
		if (claim_slot(w, message.slot, message.generation)) {
			*ret_number = message.slot;
			return true;
		}
		mp__fds_close(w->cargo.fds, w->cargo.n_fds);
		w->cargo.n_fds = 0;
	}
}

static bool claim(struct worker *w, uint32_t *ret_number)
{
	struct mp__pool_header *header = w->seg.header;

	if (w->look_for_cargo) {
		w->look_for_cargo = false;
		if (claim_cargo(w, ret_number))
			return true;
	}
	for (;;) {
		uint64_t head = atomic_load_explicit(&header->head, memory_order_acquire);
		/* Partner: the store of tail after the ring entry. */
		if (head >= atomic_load_explicit(&header->tail, memory_order_acquire))
			return false;
		uint64_t entry = atomic_load_explicit(
			&w->seg.ring[head & w->seg.ring_mask], memory_order_acquire);
		if (entry == MP__POOL_TOKEN) {
			if (!atomic_compare_exchange_strong(&header->head, &head, head + 1))
				continue;
			MP__TEST_POINT("pool.token_taken");
			if (claim_cargo(w, ret_number))
				return true;
			continue;
		}
		MP__TEST_POINT("pool.before_claim");
		/*
		 * If head was old and its place in the ring has been used again, this claims a task
		 * out of turn, which is no harm; moving head fails then.
		 */
		uint32_t number = (uint32_t)entry;
		bool mine = claim_slot(w, number, (uint32_t)(entry >> 32));
		if (mine)
			MP__TEST_POINT("pool.claimed");
		atomic_compare_exchange_strong(&header->head, &head, head + 1);
		if (mine) {
			*ret_number = number;
			return true;
		}
	}
}

/* --- waiting ---------------------------------------------------------------------------------- */

static bool has_work(struct mp__pool_header *header)
{
	return atomic_load(&header->head) < atomic_load(&header->tail) ||
	       atomic_load(&header->stopping);
}

/* Look for work for a short while, if nobody else does. Given up soon where it does not pay. */
static bool spin(struct worker *w)
{
	struct mp__pool_header *header = w->seg.header;
	uint32_t nobody = 0;
	bool found = false;

	if (!header->may_spin ||
		!atomic_compare_exchange_strong(&header->spinner, &nobody, w->number + 1))
		return false;
	MP__TEST_POINT("pool.spinning");
	for (uint32_t i = 0; i < w->spin && !found; i++) {
		mp__spin_relax();
		found = atomic_load_explicit(&header->tail, memory_order_relaxed) >
			atomic_load_explicit(&header->head, memory_order_relaxed);
	}
	/* Before the claim, and before the last look. Partner: needs_wakeup() in dispatch.c. */
	atomic_store(&header->spinner, 0);
	if (found)
		w->spin = w->spin * 2 < SPIN_MAX ? w->spin * 2 : SPIN_MAX;
	else
		w->spin = w->spin / 2 > SPIN_MIN ? w->spin / 2 : SPIN_MIN;
	return found;
}

/*
 * Until there may be work, or the pool stops: false. After a while a look at the cargo socket is
 * work too: the worker that took the token of a message may be stopped, and then there is none for
 * it.
 */
static bool wait_for_work(struct worker *w)
{
	struct mp__pool_header *header = w->seg.header;

	if (spin(w))
		return true;
	for (;;) {
		/* Say that somebody sleeps, then look again. Partner: push_entry(), ring_one(). */
		uint32_t bell = atomic_load(&header->bell);
		uint32_t mine = (bell + 2) | 1;
		if (!atomic_compare_exchange_strong(&header->bell, &bell, mine))
			continue;
		if (has_work(header))
			break;
		int r = mp__futex_wait(&header->bell, mine, mp__deadline_in(w->sleep_ms));
		if (has_work(header))
			break;
		if (r == -ETIMEDOUT) {
			w->sleep_ms =
				w->sleep_ms * 2 < SLEEP_LAST_MS ? w->sleep_ms * 2 : SLEEP_LAST_MS;
			w->look_for_cargo = true;
			return true;
		}
	}
	w->sleep_ms = SLEEP_FIRST_MS;
	return atomic_load(&header->head) < atomic_load(&header->tail) ||
	       !atomic_load(&header->stopping);
}

/* --- the end of a task ------------------------------------------------------------------------ */

static void commit(struct worker *w, uint32_t number)
{
	struct mp__pool_header *header = w->seg.header;
	struct mp__pool_slot *slot = &w->seg.slots[number];
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
	uint64_t one = 1;

	MP__TEST_POINT("pool.before_commit");
	/*
	 * Partners: the acquire load in collect_if_done(); and kill_runner() in cancel.c, hence
	 * sequentially consistent.
	 */
	atomic_store(&slot->state,
		mp__pool_state(mp__pool_state_generation(state), w->number, MP__POOL_DONE));
	MP__TEST_POINT("pool.committed");
	uint32_t first = atomic_load_explicit(&header->done, memory_order_relaxed);
	do
		atomic_store_explicit(&slot->next_done, first, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&header->done, &first, number));
	MP__TEST_POINT("pool.before_wake");
	/* Partner: may_sleep() in collect.c. */
	uint32_t waiting = atomic_load(&header->owner_waiting);
	if (waiting & 1) {
		MP__TEST_POINT("pool.waking");
		/* -EAGAIN: the counter is full, and then it is readable. */
		if (write(w->eventfd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			leave_useless();
		atomic_compare_exchange_strong(&header->owner_waiting, &waiting, waiting & ~1u);
	}
}

static void work(struct worker *w)
{
	uint32_t number;

	do {
		while (!atomic_load(&w->seg.workers[w->number].leave) && claim(w, &number)) {
			mp__pool_run(&w->seg, &w->found, w->number, number, &w->cargo);
			commit(w, number);
			/* What decoding did not take. */
			mp__fds_close(w->cargo.fds, w->cargo.n_fds);
			w->cargo.n_fds = 0;
		}
	} while (!atomic_load(&w->seg.workers[w->number].leave) && wait_for_work(w));
}

/* --- beginning -------------------------------------------------------------------------------- */

static int initialize(struct worker *w, const mp_obj *args)
{
	uint32_t index = w->seg.header->initializer;
	mp_obj result = mp_nil();
	mp_task *task;

	MP__TEST_POINT("pool.initializer");
	if (index == MP__POOL_NONE)
		return 0;
	int r = mp__pool_find_task(&w->seg, &w->found, index, &task);
	if (r < 0)
		return r;
	r = mp__pool_call(task, args, &result);
	mp_obj_free(&result);
	return r < 0 ? r : 0;
}

static int fail(struct worker *w, int result)
{
	struct mp__pool_worker *record = &w->seg.workers[w->number];

	record->result = result;
	snprintf(record->detail, sizeof(record->detail), "%s",
		*mp_error_detail() ? mp_error_detail() : mp_strerror(result));
	atomic_store_explicit(&record->status, MP__POOL_WORKER_FAILED, memory_order_release);
	return EXIT_NOT_READY;
}

int mp__pool_worker_main(int argc, const mp_obj *argv)
{
	MP__CARGO(cargo);
	struct worker w = {.spin = SPIN_MAX / 8, .sleep_ms = SLEEP_FIRST_MS, .cargo = cargo};

	if (argc != MP__POOL_WORKER_ARGS)
		return EXIT_NOT_READY;
	w.eventfd = mp_obj_fd(&argv[MP__POOL_WORKER_EVENT]);
	w.cargo_fd = mp_obj_fd(&argv[MP__POOL_WORKER_CARGO]);
	w.number = (uint32_t)mp_obj_i64(&argv[MP__POOL_WORKER_NUMBER]);
	int r = mp__pool_segment_attach(mp_obj_fd(&argv[MP__POOL_WORKER_SEGMENT]),
		mp_obj_fd(&argv[MP__POOL_WORKER_PAYLOAD]), &w.seg);
	if (r < 0 || w.number >= w.seg.n_workers)
		return EXIT_NOT_READY;
	r = initialize(&w, &argv[MP__POOL_WORKER_INITARGS]);
	if (r < 0)
		return fail(&w, r);
	atomic_store_explicit(
		&w.seg.workers[w.number].status, MP__POOL_WORKER_READY, memory_order_release);
	work(&w);
	free(w.found.tasks);
	return 0;
}
