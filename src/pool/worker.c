/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/worker.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/futex.h"
#include "base/hot.h"
#include "base/testpoint.h"
#include "base/spin.h"
#include "pool/group.h"
#include "pool/limits.h"
#include "pool/pool.h"
#include "pool/returns.h"
#include "pool/run.h"
#include "pool/trace.h"

#include <mp/handle.h>
#include <poll.h>
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
/* For descriptors of results: how often to look for room, and how long when others take it all. */
#define ROOM_CHECK_MS 20
#define TOO_MANY_MS 2000
/* Who slept for longer does not look for the next task without sleeping: there is no stream. */
#define PAUSE_NS INT64_C(500000)

struct worker {
	struct mp__pool_segment seg;
	struct mp__pool_found found;
	uint32_t number;
	int eventfd;
	int cargo_fd;
	int returns_fd;
	uint32_t spin;
	int trace_fd; /* or -1 */
	int owner;    /* pid */
	uint32_t n_tasks;
	int64_t idle_since; /* if there is an idle_ms */
	bool is_thread;
	int sleep_ms; /* how long to sleep at most, next time */
	bool look_for_cargo;
	bool slept;             /* for long, before the task at hand: then nobody streams tasks */
	struct mp__cargo cargo; /* of the task at hand */
	struct mp__cargo back;  /* of its result */
};

/*
 * A task has closed descriptors that are not its own, or the ends of the ring cannot be. Our end is what
 * the owner still hears of us: what was committed counts, it mends the ring, and another worker comes.
 */
static _Noreturn void leave_useless(const struct worker *w)
{
	if (w->is_thread)
		pthread_exit(NULL);
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
			leave_useless(w);
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

MP__HOT static bool claim(struct worker *w, uint32_t *ret_number)
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
		uint64_t tail = atomic_load_explicit(&header->tail, memory_order_acquire);
		if (head >= tail)
			return false;
		/* Somebody has gone mad, unless head was old: there would be 2^63 of them to look at. */
		if (tail - head > w->seg.ring_mask + UINT64_C(1)) {
			if (atomic_load(&header->head) == head)
				leave_useless(w);
			continue;
		}
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

static bool must_leave(struct worker *w)
{
	return atomic_load(&w->seg.workers[w->number].leave) ||
	       atomic_load_explicit(&w->seg.header->stopping, memory_order_relaxed) == 2;
}

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

	if (w->slept) {
		w->slept = false;
		return false;
	}
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

static void set_status(struct worker *w, enum mp__pool_worker_status status)
{
	atomic_store(&w->seg.workers[w->number].status, status);
}

/* Idle for too long: say so, then look once more. The owner sees our end and what is pending. */
static bool leaves_idle(struct worker *w, int64_t idle_since)
{
	uint32_t idle_ms = w->seg.header->idle_ms;

	if (idle_ms == 0 || mp__now_ns() - idle_since < (int64_t)idle_ms * 1000000)
		return false;
	set_status(w, MP__POOL_WORKER_LEAVING);
	MP__TEST_POINT("pool.leaving_idle");
	if (!has_work(w->seg.header))
		return true;
	set_status(w, MP__POOL_WORKER_READY);
	return false;
}

static mp__deadline sleep_until(const struct worker *w)
{
	uint32_t idle_ms = w->seg.header->idle_ms;

	return mp__deadline_in(
		idle_ms && idle_ms < (uint32_t)w->sleep_ms ? (int)idle_ms : w->sleep_ms);
}

/*
 * Until there may be work, or the pool stops: false. After a while a look at the cargo socket is
 * work too: the worker that took the token of a message may be stopped, and then there is none for
 * it.
 */
MP__HOT static bool wait_for_work(struct worker *w)
{
	struct mp__pool_header *header = w->seg.header;

	if (spin(w))
		return true;
	int64_t idle_since = w->seg.header->idle_ms ? w->idle_since : 0;
	for (;;) {
		/* Say that somebody sleeps, then look again. Partner: push_entry(), ring_one(). */
		uint32_t bell = atomic_load(&header->bell);
		uint32_t mine = (bell + 2) | 1;
		if (!atomic_compare_exchange_strong(&header->bell, &bell, mine))
			continue;
		if (has_work(header))
			break;
		if (must_leave(w))
			return false;
		int64_t began = mp__now_ns();
		int r = mp__futex_wait(&header->bell, mine, sleep_until(w));
		if (has_work(header)) {
			w->slept = mp__now_ns() - began > PAUSE_NS;
			break;
		}
		if (leaves_idle(w, idle_since))
			return false;
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

MP__HOT static void wake_owner(struct worker *w)
{
	struct mp__pool_header *header = w->seg.header;
	uint64_t one = 1;

	/* Partner: may_sleep() in collect.c. */
	uint32_t waiting = atomic_load(&header->owner_waiting);
	if (!(waiting & MP__POOL_SLEEPS))
		return;
	MP__TEST_POINT("pool.waking");
	if (waiting & MP__POOL_NAPS) {
		atomic_store(&header->nap, MP__POOL_AWAKE);
		mp__futex_wake(&header->nap, 1);
	} else if (write(w->eventfd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
		/* -EAGAIN: the counter is full, and then it is readable. */
		leave_useless(w);
	}
	MP__TEST_POINT("pool.woken");
	atomic_compare_exchange_strong(
		&header->owner_waiting, &waiting, waiting & ~MP__POOL_SLEEPS);
}

/* When there is no room: the owner makes some when it collects, so it may have to wake for that. */
static int send_back(struct worker *w, uint32_t number)
{
	struct mp__pool_slot *slot = &w->seg.slots[number];
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
	mp__deadline too_many = mp__deadline_in(TOO_MANY_MS);

	for (;;) {
		int r = mp__returns_send(w->returns_fd, number, mp__pool_state_generation(state),
			w->back.fds, w->back.n_fds);
		if (r == -EBADF || r == -ENOTSOCK)
			leave_useless(w);
		if (r != -EAGAIN && r != -ETOOMANYREFS)
			return r;
		if (r == -ETOOMANYREFS && mp__deadline_passed(too_many))
			return r;
		if (must_leave(w))
			return -ECANCELED;
		wake_owner(w);
		/* Those on their way are counted for the whole user, and their end wakes nobody. */
		struct pollfd poll_fd = {.fd = w->returns_fd, .events = r == -EAGAIN ? POLLOUT : 0};
		poll(&poll_fd, 1, ROOM_CHECK_MS);
	}
}

/* The descriptors of the result go ahead of it. */
static void give_back(struct worker *w, uint32_t number)
{
	struct mp__pool_slot *slot = &w->seg.slots[number];

	MP__TEST_POINT("pool.before_return");
	int r = send_back(w, number);
	MP__TEST_POINT("pool.returned");
	mp__fds_close(w->back.fds, w->back.n_fds);
	w->back.n_fds = 0;
	if (r == 0)
		return;
	slot->n_fds = 0;
	slot->result_size = 0;
	slot->result = r;
}

MP__HOT static void commit(struct worker *w, uint32_t number)
{
	struct mp__pool_header *header = w->seg.header;
	struct mp__pool_slot *slot = &w->seg.slots[number];
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

	bool is_loop = slot->kind == MP__POOL_LOOP;

	MP__TEST_POINT("pool.before_commit");
	/*
	 * Partners: the acquire load in collect_if_done(); and kill_runner() in cancel.c, hence
	 * sequentially consistent.
	 */
	atomic_store(&slot->state,
		mp__pool_state(mp__pool_state_generation(state), w->number, MP__POOL_DONE));
	MP__TEST_POINT("pool.committed");
	if (is_loop)
		atomic_store_explicit(&w->seg.workers[w->number].piece, 0, memory_order_release);
	uint32_t first = atomic_load_explicit(&header->done, memory_order_relaxed);
	do
		atomic_store_explicit(&slot->next_done, first, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&header->done, &first, number));
	MP__TEST_POINT("pool.before_wake");
	/* In bulk the owner is woken by who finds nothing more to do. */
	uint32_t waiting = atomic_load(&header->owner_waiting);
	if ((waiting & MP__POOL_SLEEPS) && (waiting & MP__POOL_BULK) &&
		atomic_load(&header->head) < atomic_load(&header->tail))
		return;
	wake_owner(w);
}

static void trace(struct worker *w, uint32_t number, int64_t begin_ns)
{
	struct mp__pool_slot *slot = &w->seg.slots[number];
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
	char name[MP__POOL_NAME_SIZE];

	mp__pool_task_symbol(&w->found, slot->task, name, sizeof(name));
	struct mp__trace_event event = {.phase = "X",
		.name = name,
		.task = (uint64_t)mp__pool_state_generation(state) << 32 | number,
		.owner = w->owner,
		.worker = w->number + 1,
		.begin_ns = begin_ns,
		.end_ns = mp__now_ns(),
		.outcome = slot->result < 0 ? "failed" : "done",
		.result = slot->result};
	mp__trace_write(w->trace_fd, &event);
}

/* One task; false: that was the last one. */
MP__HOT static bool run_one(struct worker *w, uint32_t number)
{
	uint32_t most = w->seg.header->tasks_per_worker;
	int64_t begin_ns = 0;

	if (w->trace_fd >= 0) {
		mp__limits_stamp(&w->seg.workers[w->number]);
		begin_ns = mp__now_ns();
	}
	/* An owner that naps hears of our death. Each time, since the task before may have undone it. */
	if (!w->is_thread)
		mp__futex_wake_at_end(&w->seg.header->nap);
	mp__pool_run(&w->seg, &w->found, w->number, number, &w->cargo, &w->back);
	if (w->trace_fd >= 0)
		trace(w, number, begin_ns);
	if (w->back.n_fds > 0)
		give_back(w, number);
	if (++w->n_tasks == most)
		set_status(w, MP__POOL_WORKER_LEAVING);
	commit(w, number);
	/* What decoding did not take. */
	mp__fds_close(w->cargo.fds, w->cargo.n_fds);
	w->cargo.n_fds = 0;
	return w->n_tasks != most;
}

MP__HOT static void work(struct worker *w)
{
	uint32_t number;

	do {
		while (!must_leave(w) && claim(w, &number)) {
			if (!run_one(w, number))
				return;
		}
		if (atomic_load(&w->seg.header->done) != MP__POOL_NONE)
			wake_owner(w);
		if (w->seg.header->idle_ms)
			w->idle_since = mp__now_ns();
		while (!must_leave(w) &&
			!(atomic_load(&w->seg.header->head) < atomic_load(&w->seg.header->tail))) {
			if (!wait_for_work(w))
				return;
			if (w->look_for_cargo)
				break;
		}
	} while (!must_leave(w));
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

static int limit_worker(const mp_obj *group)
{
	uint64_t memory = 0;

	if (group->type == MP_TYPE_HANDLE)
		return mp__group_enter(mp_obj_fd(group));
	mp_obj_to_u64(group, &memory);
	return memory > 0 ? mp__group_limit_self(memory) : 0;
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

static const mp_pool *pool_of(const mp_obj *value)
{
	uint64_t address = 0;

	mp_obj_to_u64(value, &address);
	return (const mp_pool *)(uintptr_t)address;
}

/* A thread has the owner's view of the memory, a process makes its own. */
static int attach(struct worker *w, const mp_obj *argv)
{
	if (argv[MP__POOL_WORKER_POOL].type == MP_TYPE_NIL)
		return mp__pool_segment_attach(mp_obj_fd(&argv[MP__POOL_WORKER_SEGMENT]),
			mp_obj_fd(&argv[MP__POOL_WORKER_PAYLOAD]), &w->seg);
	const mp_pool *pool = pool_of(&argv[MP__POOL_WORKER_POOL]);
	w->is_thread = true;
	/* What never changes; the rest is the owner's. */
	w->seg.header = pool->seg.header;
	w->seg.workers = pool->seg.workers;
	w->seg.ring = pool->seg.ring;
	w->seg.tasks = pool->seg.tasks;
	w->seg.slots = pool->seg.slots;
	w->seg.rooms = pool->seg.rooms;
	w->seg.size = pool->seg.size;
	w->seg.n_workers = pool->seg.n_workers;
	w->seg.n_slots = pool->seg.n_slots;
	w->seg.ring_mask = pool->seg.ring_mask;
	w->seg.fd = mp_obj_fd(&argv[MP__POOL_WORKER_SEGMENT]);
	w->seg.payload_fd = mp_obj_fd(&argv[MP__POOL_WORKER_PAYLOAD]);
	return 0;
}

static void forget_tasks(void *data)
{
	struct worker *w = data;

	mp__fds_close(w->cargo.fds, w->cargo.n_fds);
	mp__fds_close(w->back.fds, w->back.n_fds);
	free(w->found.tasks);
}

int mp__pool_worker_main(int argc, const mp_obj *argv)
{
	MP__CARGO(cargo);
	MP__CARGO(back);
	struct worker w = {
		.spin = SPIN_MAX / 8, .sleep_ms = SLEEP_FIRST_MS, .cargo = cargo, .back = back};

	if (argc != MP__POOL_WORKER_ARGS)
		return EXIT_NOT_READY;
	w.eventfd = mp_obj_fd(&argv[MP__POOL_WORKER_EVENT]);
	w.cargo_fd = mp_obj_fd(&argv[MP__POOL_WORKER_CARGO]);
	w.returns_fd = mp_obj_fd(&argv[MP__POOL_WORKER_RETURNS]);
	w.number = (uint32_t)mp_obj_i64(&argv[MP__POOL_WORKER_NUMBER]);
	w.owner = (int)mp_obj_i64(&argv[MP__POOL_WORKER_OWNER]);
	w.trace_fd = argv[MP__POOL_WORKER_TRACE].type == MP_TYPE_NIL
			     ? -1
			     : mp_obj_fd(&argv[MP__POOL_WORKER_TRACE]);
	int r = attach(&w, argv);
	if (r < 0 || w.number >= w.seg.n_workers)
		return EXIT_NOT_READY;
	r = limit_worker(&argv[MP__POOL_WORKER_GROUP]);
	if (r == 0)
		r = initialize(&w, &argv[MP__POOL_WORKER_INITARGS]);
	if (r < 0)
		return fail(&w, r);
	set_status(&w, MP__POOL_WORKER_READY);
	/* A task may end its thread. */
	pthread_cleanup_push(forget_tasks, &w);
	work(&w);
	pthread_cleanup_pop(1);
	return 0;
}
