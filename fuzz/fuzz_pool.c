/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the memory of a pool, whose bytes a worker gone mad or a stranger changes. The owner's calls
 * come back with what their pages say, every task has ended when the pool is closed, and nothing outside
 * is read or written; a worker that comes into such memory leaves again.
 *
 * No process is started: what starts and ends workers, the linker takes from here (--wrap), and the input
 * says what they do to the memory: what they should, or anything. Input: operations of a few bytes each.
 */
#include <config.h>

#include "fuzz/input.h"

#include "base/fds.h"
#include "pool/limits.h"
#include "pool/loop.h"
#include "pool/pool.h"
#include "pool/returns.h"
#include "pool/run.h"
#include "pool/worker.h"

#include <errno.h>
#include <mp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKERS 2
#define PENDING 8
#define OPERATIONS_MAX 64
/* More bodies of a loop end it: the memory may say 2^38 of them. */
#define BODIES_MAX 100

/* --- workers that are none ---------------------------------------------------------------------------- */

static struct fake {
	int sentinel; /* readable when it has ended */
	bool ended;
} fakes[WORKERS * OPERATIONS_MAX];
static size_t n_fakes;

static struct fake *fake_of(mp_process *process)
{
	return (struct fake *)(void *)process;
}

/* Not of the library's own: a stand-in for each function that the pool calls for its workers. */
int __wrap_mp_process_new(mp_target *target, mp_obj args, const mp_process_options *options,
	mp_process **ret_process);
int __wrap_mp_process_start(mp_process *process);
int __wrap_mp_process_sentinel(mp_process *process);
int __wrap_mp_process_join(mp_process *process, int timeout_ms);
int __wrap_mp_process_kill(mp_process *process);
int __wrap_mp_process_close(mp_process *process);
int __wrap_mp_process_exit_code(mp_process *process, int *ret_code);
const char *__wrap_mp_process_name(mp_process *process);
int __wrap_mp_process_pid(mp_process *process);
int __wrap_mp_process_usage(mp_process *process, struct rusage *ret_usage);
void __wrap_mp__process_unlist(struct mp_process *process);

int __wrap_mp_process_new(
	mp_target *target, mp_obj args, const mp_process_options *options, mp_process **ret_process)
{
	expect(target == mp__pool_worker_main && args.count == MP__POOL_WORKER_ARGS &&
		options->daemon);
	if (n_fakes == sizeof(fakes) / sizeof(fakes[0]))
		return mp_error_set(-EAGAIN, "fuzzed");
	struct fake *f = &fakes[n_fakes++];
	*f = (struct fake){.sentinel = eventfd(0, EFD_CLOEXEC)};
	expect(f->sentinel >= 0);
	*ret_process = (mp_process *)(void *)f;
	return 0;
}

void __wrap_mp__process_unlist(struct mp_process *process)
{
	(void)process;
}

int __wrap_mp_process_start(mp_process *process)
{
	(void)process;
	return 0;
}

int __wrap_mp_process_sentinel(mp_process *process)
{
	return fake_of(process)->sentinel;
}

int __wrap_mp_process_kill(mp_process *process)
{
	struct fake *f = fake_of(process);

	if (f->ended)
		return -ESRCH;
	f->ended = true;
	expect(eventfd_write(f->sentinel, 1) == 0);
	return 0;
}

int __wrap_mp_process_join(mp_process *process, int timeout_ms)
{
	expect(fake_of(process)->ended || timeout_ms == MP_NOWAIT);
	return fake_of(process)->ended ? 0 : -ETIMEDOUT;
}

int __wrap_mp_process_close(mp_process *process)
{
	mp__fds_close(&fake_of(process)->sentinel, 1);
	return 0;
}

int __wrap_mp_process_exit_code(mp_process *process, int *ret_code)
{
	(void)process;
	*ret_code = -SIGKILL;
	return 0;
}

const char *__wrap_mp_process_name(mp_process *process)
{
	(void)process;
	return "worker";
}

int __wrap_mp_process_pid(mp_process *process)
{
	(void)process;
	return getpid();
}

int __wrap_mp_process_usage(mp_process *process, struct rusage *ret_usage)
{
	(void)process;
	memset(ret_usage, 0, sizeof(*ret_usage));
	return 0;
}

/* --- tasks --------------------------------------------------------------------------------------------- */

static int bodies;

static int echo(int argc, const mp_obj *argv, mp_obj *ret_result)
{
	return argc > 0 ? mp_obj_copy(argv[0], ret_result) : mp_error_set(-ERANGE, "no argument");
}

static int pass(const mp_range *range)
{
	expect(range->begin < range->end);
	return ++bodies > BODIES_MAX ? mp_error_set(-ECANCELED, "enough") : 0;
}

/*
 * The memory names functions, and a worker calls them, any of the program: that is not what is looked
 * for here, nor which shared objects would be loaded.
 */
int __wrap_mp__target_resolve(const struct mp__target_ref *ref, mp__any_function **ret_function);
int __wrap_mp__target_resolve(const struct mp__target_ref *ref, mp__any_function **ret_function)
{
	if (ref->id_kind > MP__TARGET_STAMP)
		return mp_error_set(-EBADMSG, "fuzzed");
	*ret_function = (mp__any_function *)echo;
	return 0;
}

/* What a worker knows of functions goes with its process; here it has none, and may leave anywhere. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:mp__pool_find_task\n";
}

/* Which kind of function it is, the memory says too. */
int __real_mp__pool_run_loop(const struct mp__pool_segment *segment, uint32_t worker, mp_body *body,
	const uint8_t *data, size_t size, struct mp__cargo *cargo);
int __wrap_mp__pool_run_loop(const struct mp__pool_segment *segment, uint32_t worker, mp_body *body,
	const uint8_t *data, size_t size, struct mp__cargo *cargo);
int __wrap_mp__pool_run_loop(const struct mp__pool_segment *segment, uint32_t worker, mp_body *body,
	const uint8_t *data, size_t size, struct mp__cargo *cargo)
{
	(void)body;
	return __real_mp__pool_run_loop(segment, worker, pass, data, size, cargo);
}

/* A worker that is limited is killed. */
int __wrap_mp__limits_begin(struct mp__limits *limits, const struct mp__pool_segment *segment,
	uint32_t number, struct mp__pool_worker *record);
void __wrap_mp__limits_end(struct mp__limits *limits);
int __wrap_mp__limits_begin(struct mp__limits *limits, const struct mp__pool_segment *segment,
	uint32_t number, struct mp__pool_worker *record)
{
	(void)limits;
	(void)segment;
	(void)number;
	(void)record;
	return 0;
}

void __wrap_mp__limits_end(struct mp__limits *limits)
{
	(void)limits;
}

/* --- the owner ----------------------------------------------------------------------------------------- */

static mp_pool *pool;
static mp_future *futures[PENDING];
static size_t n_futures;

static void submit(uint8_t how)
{
	static char text[1000];
	static const mp_obj items[3] = {{.type = MP_TYPE_I64}, {.type = MP_TYPE_I64}};
	const mp_task_options retried = {
		.size = sizeof(retried), .name = "fuzz", .retries = 1 + (how >> 6)};
	const mp_task_options *options = how & 8 ? &retried : NULL;
	int r;

	/* One more, in up to three chunks, would wait for room. */
	if (n_futures == PENDING || pool->n_pending + 3 > PENDING)
		return;
	memset(text, 'x', sizeof(text) - 1);
	mp_future **future = &futures[n_futures];
	switch (how % 4) {
	case 0:
		r = mp_pool_submit_with(pool, echo, MP_ARGS(mp_i64(how)), options, future);
		break;
	case 1: /* in a room; in the payload file */
		text[how & 16 ? 800 : 100] = '\0';
		r = mp_pool_submit_with(pool, echo, MP_ARGS(mp_str(text)), options, future);
		break;
	case 2: /* with a descriptor */
		r = mp_pool_submit_with(pool, echo, MP_ARGS(mp_fd(pool->eventfd)), options, future);
		break;
	default:
		r = mp_pool_map_async(
			pool, echo, items, 3, MP_MAP_OPTIONS(.chunk = 1 + how / 16u), future);
		break;
	}
	expect(r == 0 || r == -EPIPE || r == -EMSGSIZE || r == -ENOSPC);
	n_futures += r == 0;
}

/* Without waiting. What it says has to be of the documented. */
static void ask(mp_future *future)
{
	mp_failure failure;
	mp_crash crash;
	mp_obj result;

	int state = mp_future_state(future);
	expect(state >= 0 && state <= MP_FUTURE_CANCELLED);
	int r = mp_future_result(future, MP_NOWAIT, &result);
	expect(r <= 0);
	if (r == 0)
		mp_obj_free(&result);
	if (mp_future_error(future, MP_NOWAIT, &failure) == 1) {
		expect(failure.code < 0 && failure.message != NULL);
		mp_obj_free(&failure.detail);
	}
	mp_future_crash(future, 0, &crash);
}

/* --- what workers do ----------------------------------------------------------------------------------- */

/* Anywhere where something stands. */
static void damage(uint8_t where)
{
	struct mp__pool_segment *s = &pool->seg;
	size_t offset = next() | (size_t)next() << 8;
	char *at;

	switch (where % 8) {
	case 0:
		at = (char *)s->workers + offset % (WORKERS * sizeof(*s->workers));
		break;
	case 1:
		at = (char *)s->ring + offset % ((s->ring_mask + 1) * sizeof(*s->ring));
		break;
	case 2:
		at = (char *)s->tasks + offset % (2 * sizeof(*s->tasks));
		break;
	case 3:
	case 4:
		at = (char *)s->slots + offset % (PENDING * sizeof(*s->slots));
		break;
	case 5:
		at = (char *)s->rooms + offset % (PENDING * sizeof(*s->rooms));
		break;
	default:
		at = (char *)s->header + offset % sizeof(*s->header);
		break;
	}
	*at = (char)next();
}

/* One that has the right form, of any content: a result is committed. */
static void commit(uint8_t number)
{
	struct mp__pool_header *header = pool->seg.header;
	uint32_t slot_number = number % PENDING;
	struct mp__pool_slot *slot = &pool->seg.slots[slot_number];
	uint8_t flags = next();

	if (slot_number >= pool->n_fresh)
		return;
	uint32_t generation = pool->pending[slot_number].generation;
	slot->result = flags & 1 ? -(int)next() : 0;
	slot->result_size = next() | (flags & 2 ? (uint32_t)next() << (flags >> 5) : 0);
	slot->n_fds = flags & 4 ? next() : 0;
	uint8_t *at = mp__pool_segment_bytes(
		&pool->seg, slot_number, pool->pending[slot_number].room, slot->result_size);
	for (uint32_t i = 0; at && i < slot->result_size && rest_size > 0; i++)
		at[i] = next();
	uint32_t worker = flags & 64 ? next() : 0;
	atomic_store(&slot->state, mp__pool_state(generation, worker, MP__POOL_DONE));
	if (flags & 128)
		return;
	slot->next_done = atomic_exchange(&header->done, slot_number);
}

static void give_back(uint8_t number)
{
	int fds[2] = {pool->eventfd, pool->eventfd};
	uint32_t slot = number % (PENDING + 1);
	uint32_t generation = slot < PENDING ? pool->pending[slot].generation : next();

	(void)mp__returns_send(pool->returns[1], slot, generation, fds, 1 + number / 128);
}

/* What the payload file holds, and how long it is. */
static void change_payload(uint8_t how)
{
	char bytes[64];

	memset(bytes, next(), sizeof(bytes));
	if (how & 1)
		expect(ftruncate(pool->seg.payload_fd, how) == 0);
	else
		expect(pwrite(pool->seg.payload_fd, bytes, sizeof(bytes),
			       (off_t)((how % PENDING) * MP__POOL_PAYLOAD_STRIDE +
				       (how & 128 ? MP__POOL_PAYLOAD_MAX : 0))) > 0);
}

/* Where a worker goes that ends its process, and the mapping that would go with that. */
static bool works;
static sigjmp_buf left;
static struct mp__pool_segment attached;

void __real__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code)
{
	if (works)
		siglongjmp(left, 1);
	__real__exit(code);
}

int __real_mp__pool_segment_attach(int fd, int payload_fd, struct mp__pool_segment *ret_segment);
int __wrap_mp__pool_segment_attach(int fd, int payload_fd, struct mp__pool_segment *ret_segment);
int __wrap_mp__pool_segment_attach(int fd, int payload_fd, struct mp__pool_segment *ret_segment)
{
	int r = __real_mp__pool_segment_attach(fd, payload_fd, ret_segment);

	if (r == 0)
		attached = *ret_segment;
	return r;
}

/*
 * A worker comes into the memory as it is, in this process: it takes what it finds, and leaves, since the
 * pool stops.
 */
static void be_worker(uint8_t number)
{
	mp_obj args[MP__POOL_WORKER_ARGS];

	for (size_t i = 0; i < MP__POOL_WORKER_ARGS; i++)
		args[i] = mp_nil();
	args[MP__POOL_WORKER_SEGMENT] = mp_fd(pool->seg.fd);
	args[MP__POOL_WORKER_PAYLOAD] = mp_fd(pool->seg.payload_fd);
	args[MP__POOL_WORKER_EVENT] = mp_fd(pool->eventfd);
	args[MP__POOL_WORKER_CARGO] = mp_fd(pool->cargo[1]);
	args[MP__POOL_WORKER_RETURNS] = mp_fd(pool->returns[1]);
	args[MP__POOL_WORKER_NUMBER] = mp_i64(number % (WORKERS + 1));
	args[MP__POOL_WORKER_OWNER] = mp_i64(getpid());
	args[MP__POOL_WORKER_GROUP] = mp_u64(0);
	bodies = 0;
	attached.header = NULL;
	uint32_t before = atomic_exchange(&pool->seg.header->stopping, 1);
	works = true;
	if (sigsetjmp(left, 0) == 0)
		mp__pool_worker_main(MP__POOL_WORKER_ARGS, args);
	works = false;
	atomic_store(&pool->seg.header->stopping, before);
	if (attached.header)
		expect(munmap(attached.header, attached.size) == 0);
}

static void end_worker(uint8_t number)
{
	struct mp__pool_place *place = &pool->places[number % WORKERS];

	if (place->process)
		(void)__wrap_mp_process_kill(place->process);
}

/* --- one input ------------------------------------------------------------------------------------------ */

static void operate(uint8_t operation)
{
	uint8_t how = operation / 16 | (uint8_t)(next() << 4);

	switch (operation % 16) {
	case 0:
	case 1:
		submit(how);
		break;
	case 2:
		if (n_futures > 0)
			ask(futures[how % n_futures]);
		break;
	case 3:
		commit(how);
		break;
	case 4:
		be_worker(how);
		break;
	case 5:
		end_worker(how);
		break;
	case 6:
		if (n_futures > 0)
			mp_future_cancel(futures[how % n_futures], how & 16 ? MP_CANCEL_KILL : 0);
		break;
	case 7:
		give_back(how);
		break;
	case 8:
		change_payload(how);
		break;
	case 9:
		if (n_futures > 0)
			mp_future_wait(futures, n_futures, MP_WAIT_FIRST, MP_NOWAIT);
		break;
	case 10:
		if (how == 255)
			mp_pool_join(pool, MP_NOWAIT);
		else if (how == 254)
			mp_pool_shutdown(pool, MP_SHUTDOWN_CANCEL);
		break;
	default:
		damage(how);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rest = data;
	rest_size = size;
	n_fakes = 0;
	n_futures = 0;
	expect(mp_pool_new(MP_POOL_OPTIONS(.workers = WORKERS, .max_pending = PENDING,
				   .start_method = MP_START_FORK),
		       &pool) == 0);
	/* So that there is memory under all that is damaged. */
	for (uint32_t i = 0; i < PENDING; i++)
		expect(mp__pool_segment_allocate_room(&pool->seg, i) == 0 &&
			mp__pool_segment_allocate_slot(&pool->seg, i) == 0);
	expect(mp__pool_segment_allocate_task(&pool->seg, 1) == 0);
	for (int i = 0; i < OPERATIONS_MAX && rest_size > 0; i++)
		operate(next());
	for (size_t i = 0; i < n_futures; i++)
		ask(futures[i]);
	expect(mp_pool_close(pool) == 0);
	for (size_t i = 0; i < n_futures; i++) {
		expect(mp_future_done(futures[i]) == 1);
		ask(futures[i]);
		expect(mp_future_close(futures[i]) == 0);
	}
	return 0;
}
