/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/loop.h"

#include "base/error.h"
#include "base/options.h"
#include "base/testpoint.h"
#include "pool/bytes.h"
#include "pool/collect.h"
#include "pool/crew.h"
#include "pool/dispatch.h"
#include "pool/future.h"
#include "pool/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * mp_pool_for(): each worker gets one task, its share in the loop, and takes pieces from a counter in
 * shared memory. A worker that dies has noted which piece it was in; another share is handed out in its
 * place, so that the rest is not left to fewer workers.
 */

#define PIECES_PER_WORKER 32
#define PIECE_MASK ((UINT64_C(1) << MP__POOL_PIECE_BITS) - 1)
#define ITERATIONS_MAX (UINT64_C(1) << 48)

/* --- the words ---------------------------------------------------------------------------------- */

/* `taker` is a worker's number plus 1, or 0. */
static uint64_t word_of(uint32_t generation, uint32_t taker, uint64_t piece)
{
	return (uint64_t)(uint16_t)generation << 48 | (uint64_t)taker << MP__POOL_PIECE_BITS |
	       piece;
}

static uint32_t taker_of(uint64_t word)
{
	return (uint32_t)(word >> MP__POOL_PIECE_BITS) & 0x3ff;
}

/* What worker.piece says. */
static uint64_t claim_of(
	enum mp__pool_piece status, uint32_t loop, uint32_t generation, uint64_t piece)
{
	return (uint64_t)status << 58 | (uint64_t)loop << 54 |
	       (uint64_t)(uint16_t)generation << MP__POOL_PIECE_BITS | piece;
}

static uint64_t pieces_of(uint64_t n, uint64_t chunk)
{
	return n == 0 ? 0 : (n - 1) / chunk + 1;
}

/* The taker of the last piece may not have come to say so: it is said for him. */
static void tell_taker(const struct mp__pool_segment *segment, uint32_t loop, uint64_t word)
{
	uint32_t taker = taker_of(word);
	uint64_t next = word & PIECE_MASK;
	uint32_t generation = (uint32_t)(word >> 48);

	if (taker == 0 || taker > segment->n_workers || next == 0)
		return;
	_Atomic uint64_t *piece = &segment->workers[taker - 1].piece;
	uint64_t wanted = claim_of(MP__POOL_PIECE_WANTED, loop, generation, next - 1);
	if (atomic_load_explicit(piece, memory_order_relaxed) == wanted)
		atomic_compare_exchange_strong(
			piece, &wanted, claim_of(MP__POOL_PIECE_TAKEN, loop, generation, next - 1));
}

void mp__pool_lost_piece(
	const struct mp__pool_segment *segment, uint32_t worker, size_t *ret_begin, size_t *ret_end)
{
	struct mp__pool_worker *record = &segment->workers[worker];
	uint32_t loop = (uint32_t)(atomic_load(&record->piece) >> 54) & 0xf;
	/* In this order: who takes the next piece says TAKEN before the counter changes. */
	uint64_t word = atomic_load(&segment->header->loops[loop].next);
	uint64_t claim = atomic_load(&record->piece);
	uint64_t piece = claim & PIECE_MASK;
	uint32_t generation = (uint16_t)(claim >> MP__POOL_PIECE_BITS);
	uint64_t n = atomic_load_explicit(&record->loop_n, memory_order_relaxed);
	uint64_t chunk = atomic_load_explicit(&record->loop_chunk, memory_order_relaxed);

	bool taken = claim >> 58 == MP__POOL_PIECE_TAKEN ||
		     (claim >> 58 == MP__POOL_PIECE_WANTED &&
			     word == word_of(generation, worker + 1, piece + 1));
	if (!taken || chunk == 0 || n >= ITERATIONS_MAX || piece >= pieces_of(n, chunk))
		return;
	*ret_begin = piece * chunk;
	*ret_end = n - *ret_begin < chunk ? n : *ret_begin + chunk;
}

/* --- in the worker ------------------------------------------------------------------------------ */

static bool take_piece(const struct mp__pool_segment *segment, uint32_t worker,
	const struct mp__pool_loop_args *loop, uint64_t *ret_piece)
{
	_Atomic uint64_t *counter = &segment->header->loops[loop->loop].next;
	_Atomic uint64_t *mine = &segment->workers[worker].piece;
	uint64_t pieces = pieces_of(loop->n, loop->chunk);
	uint64_t word = atomic_load_explicit(counter, memory_order_relaxed);

	for (;;) {
		uint64_t piece = word & PIECE_MASK;
		if (word >> 48 != loop->generation || piece >= pieces)
			return false;
		/* Before the counter says that it is ours. */
		atomic_store_explicit(mine,
			claim_of(MP__POOL_PIECE_WANTED, loop->loop, loop->generation, piece),
			memory_order_release);
		MP__TEST_POINT("pool.piece_wanted");
		tell_taker(segment, loop->loop, word);
		if (atomic_compare_exchange_strong(
			    counter, &word, word_of(loop->generation, worker + 1, piece + 1))) {
			MP__TEST_POINT("pool.piece_taken");
			atomic_store_explicit(mine,
				claim_of(MP__POOL_PIECE_TAKEN, loop->loop, loop->generation, piece),
				memory_order_release);
			*ret_piece = piece;
			return true;
		}
	}
}

/* Nobody begins another piece. */
static void take_rest(const struct mp__pool_segment *segment, const struct mp__pool_loop_args *loop)
{
	_Atomic uint64_t *counter = &segment->header->loops[loop->loop].next;
	uint64_t word = atomic_load_explicit(counter, memory_order_relaxed);

	do {
		if (word >> 48 != loop->generation)
			return;
		tell_taker(segment, loop->loop, word);
	} while (!atomic_compare_exchange_strong(
		counter, &word, word_of(loop->generation, 0, pieces_of(loop->n, loop->chunk))));
}

static int run_pieces(const struct mp__pool_segment *segment, uint32_t worker, mp_body *body,
	const struct mp__pool_loop_args *loop, mp_range *range)
{
	struct mp__pool_worker *record = &segment->workers[worker];
	uint64_t piece;
	int r = 0;

	atomic_store_explicit(&record->loop_n, loop->n, memory_order_relaxed);
	atomic_store_explicit(&record->loop_chunk, loop->chunk, memory_order_relaxed);
	while (r >= 0 && !mp_task_cancelled() && take_piece(segment, worker, loop, &piece)) {
		range->begin = piece * loop->chunk;
		uint64_t left = loop->n - range->begin;
		range->end = range->begin + (loop->chunk < left ? loop->chunk : left);
		MP__TEST_POINT("pool.in_piece");
		r = body(range);
		/* One that failed is told by the commit, or counts as lost with us. */
		if (r >= 0)
			atomic_store_explicit(&record->piece, 0, memory_order_release);
	}
	if (r < 0)
		take_rest(segment, loop);
	return r < 0 ? r : 0;
}

int mp__pool_run_loop(const struct mp__pool_segment *segment, uint32_t worker, mp_body *body,
	const uint8_t *data, size_t size, struct mp__cargo *cargo)
{
	struct mp__pool_loop_args loop;
	mp__origin here = mp__origin_here();
	mp_obj args;

	if (size < sizeof(loop))
		return mp_error_set(-EBADMSG, "a share in a loop has no %zu bytes", sizeof(loop));
	memcpy(&loop, data, sizeof(loop));
	if (loop.loop >= MP__POOL_LOOPS || loop.chunk == 0 || loop.n >= ITERATIONS_MAX)
		return mp_error_set(-EBADMSG, "loop %u does not exist", loop.loop);
	int r = mp__obj_decode(data + sizeof(loop), size - sizeof(loop), cargo, &args);
	if (r < 0)
		return r;
	mp_range range = {.context = (void *)(uintptr_t)loop.context,
		.argc = args.type == MP_TYPE_LIST ? (int)args.count : 0,
		.argv = args.type == MP_TYPE_LIST ? args.as.items : NULL};
	mp__error_clear();
	r = run_pieces(segment, worker, body, &loop, &range);
	/* A child that the body forked does not come back. */
	if (!mp__origin_is_here(here))
		_exit(EXIT_SUCCESS);
	if (r < 0 && !*mp_error_detail())
		mp_error_set(r, "the body of the loop returned %d (%s)", r, mp_strerror(r));
	mp_obj_free(&args);
	return r;
}

/* --- in the owner ------------------------------------------------------------------------------- */

struct loop {
	mp_pool *pool;
	struct mp__pool_work work;
	struct mp__pool_loop_args args;
	const mp_for_options *options;
	struct mp__progress progress;
	mp_future **shares;
	uint32_t n_shares;
	uint32_t n_empty; /* shares that died outside of any piece */
	int result;       /* the first error, and: */
	char why[MP__DETAIL_SIZE];
};

static int begin_loop(mp_pool *pool, struct mp__pool_loop_args *args)
{
	int r = -EBUSY;

	pthread_mutex_lock(&pool->lock);
	for (uint32_t i = 0; i < MP__POOL_LOOPS && r < 0 && !pool->closed; i++) {
		if (pool->loops_used & 1u << i)
			continue;
		pool->loops_used |= 1u << i;
		args->loop = i;
		args->generation = (uint16_t)++pool->loop_generation;
		atomic_store(&pool->seg.header->loops[i].next, word_of(args->generation, 0, 0));
		r = 0;
	}
	pthread_mutex_unlock(&pool->lock);
	if (r < 0)
		return mp_error_set(r, "%u loops run in this pool already", MP__POOL_LOOPS);
	return 0;
}

static void end_loop(mp_pool *pool, const struct mp__pool_loop_args *args)
{
	pthread_mutex_lock(&pool->lock);
	pool->loops_used &= ~(1u << args->loop);
	if (!pool->closed)
		atomic_store(&pool->seg.header->loops[args->loop].next,
			word_of(args->generation + 1, 0, PIECE_MASK));
	pthread_mutex_unlock(&pool->lock);
}

static size_t iterations_begun(const struct loop *l)
{
	uint64_t pieces = 0;

	pthread_mutex_lock(&l->pool->lock);
	if (!l->pool->closed)
		pieces = atomic_load(&l->pool->seg.header->loops[l->args.loop].next) & PIECE_MASK;
	pthread_mutex_unlock(&l->pool->lock);
	return pieces < pieces_of(l->args.n, l->args.chunk) ? pieces * l->args.chunk : l->args.n;
}

static void note_error(struct loop *l, int result, const char *why)
{
	if (l->result < 0)
		return;
	l->result = result;
	snprintf(l->why, sizeof(l->why), "%s", why);
}

/* A worker died: tell which iterations are lost, and replace its share if there is work left. */
static int replace_share(struct loop *l, uint32_t i)
{
	struct mp__future_more *more = l->shares[i]->more;
	char why[MP__DETAIL_SIZE];
	mp_crash crash = more && more->n_crashes ? more->crashes[0] : (mp_crash){0};

	snprintf(why, sizeof(why), "iterations %zu to %zu: %.160s", crash.begin, crash.end,
		mp_error_detail());
	bool lost = crash.end > crash.begin;
	if (lost)
		note_error(l, -EOWNERDEAD, why);
	if (lost && l->options->lost)
		l->options->lost(crash.begin, crash.end, &crash, l->options->lost_data);
	if (!lost && ++l->n_empty == MP__POOL_FAILURES)
		return mp_error_set(-EOWNERDEAD, "%s", why);
	mp_future_close(l->shares[i]);
	l->shares[i] = NULL;
	if (iterations_begun(l) == l->args.n)
		return 0;
	return mp__pool_dispatch(l->pool, &l->work, &l->shares[i]);
}

/* Wait for one share, telling meanwhile how far all are. */
static int await_share(struct loop *l, mp_future *share, mp__deadline deadline)
{
	for (;;) {
		int r = mp__future_await(share, mp__progress_slice(&l->progress, deadline));
		if (r == 0 || mp__deadline_passed(deadline))
			return r;
		mp__progress_tell(&l->progress, iterations_begun(l), false);
	}
}

static int await_shares(struct loop *l, mp__deadline deadline)
{
	for (uint32_t i = 0; i < l->n_shares; i++) {
		while (l->shares[i]) {
			int r = await_share(l, l->shares[i], deadline);
			if (r < 0)
				return mp_error_set(r, "the loop has not ended in time");
			int state = mp_future_state(l->shares[i]);
			r = mp__future_outcome(l->shares[i]);
			if (state != MP_FUTURE_CRASHED) {
				if (r < 0)
					note_error(l, r, mp_error_detail());
				break;
			}
			r = replace_share(l, i);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int run_loop(struct loop *l)
{
	mp__deadline deadline =
		mp__deadline_in(l->options->timeout_ms > 0 ? l->options->timeout_ms : MP_FOREVER);
	int r = 0;

	for (uint32_t i = 0; i < l->n_shares && r == 0; i++)
		r = mp__pool_dispatch(l->pool, &l->work, &l->shares[i]);
	if (r == 0)
		r = await_shares(l, deadline);
	if (r == 0)
		mp__progress_tell(&l->progress, iterations_begun(l), true);
	if (r < 0)
		note_error(l, r, mp_error_detail());
	for (uint32_t i = 0; i < l->n_shares; i++) {
		if (r < 0 && l->shares[i])
			mp_future_cancel(l->shares[i], 0);
		mp_future_close(l->shares[i]);
	}
	return l->result < 0 ? mp_error_set(l->result, "%s", l->why) : 0;
}

static int prepare(struct loop *l, mp_pool *pool, size_t n, void *context, const mp_for_options *o)
{
	uint32_t workers = pool->seg.n_workers;
	size_t chunk = o->chunk ? o->chunk : n / ((size_t)workers * PIECES_PER_WORKER);

	l->pool = pool;
	l->options = o;
	l->args = (struct mp__pool_loop_args){
		.context = (uintptr_t)context, .n = n, .chunk = chunk ? chunk : 1};
	size_t pieces = (n - 1) / l->args.chunk + 1;
	l->n_shares = pieces < workers ? (uint32_t)pieces : workers;
	l->shares = calloc(l->n_shares, sizeof(mp_future *));
	if (!l->shares)
		return mp_error_set(-ENOMEM, "no memory for a loop of %u workers", l->n_shares);
	mp__progress_init(&l->progress, o->progress, o->progress_data, o->progress_ms, n);
	return begin_loop(pool, &l->args);
}

static int loop_over(mp_pool *pool, mp_body *body, size_t n, void *context, const mp_for_options *o)
{
	struct loop l = {0};
	struct mp__pool_bytes bytes;
	MP__CARGO(cargo);
	int r = prepare(&l, pool, n, context, o);

	if (r < 0) {
		free(l.shares);
		return r;
	}
	mp__pool_bytes_init(&bytes);
	r = mp__pool_bytes_add(&bytes, &l.args, sizeof(l.args));
	if (r == 0)
		r = mp__pool_bytes_put(&bytes, &o->args, &cargo);
	if (r == 0) {
		l.work = (struct mp__pool_work){.task = (mp_task *)(void *)body,
			.kind = MP__POOL_LOOP,
			.args = bytes.data,
			.args_size = bytes.size,
			.cargo = &cargo};
		r = run_loop(&l);
	}
	end_loop(pool, &l.args);
	mp__pool_bytes_free(&bytes);
	free(l.shares);
	return r;
}

int mp_pool_for(
	mp_pool *pool, mp_body *body, size_t n, void *context, const mp_for_options *options)
{
	mp_for_options o;
	int r = mp__options_load(&o, sizeof(o), 0, options);

	if (r < 0)
		return r;
	if (!pool || !body)
		return mp_error_set(-EINVAL, "loop: no %s", pool ? "body" : "pool");
	r = mp__pool_check_origin(pool->origin, "loop");
	if (r < 0)
		return r;
	if (o.chunk > SIZE_MAX / 2)
		return mp_error_set(-EINVAL, "loop: pieces of %zd iterations; a chunk is 0 or more",
			(ssize_t)o.chunk);
	if (n >= ITERATIONS_MAX || (o.chunk && n / o.chunk >= PIECE_MASK))
		return mp_error_set(-EOVERFLOW,
			"loop: %zu iterations in pieces of %zu are too many", n, o.chunk);
	if (o.args.type != MP_TYPE_LIST && o.args.type != MP_TYPE_NIL)
		return mp_error_set(-EINVAL, "loop: arguments are neither a list nor nil");
	if (n == 0)
		return 0;
	mp__pool_ref(pool); /* a callback may close it */
	r = loop_over(pool, body, n, context, &o);
	mp__pool_unref(pool);
	return r;
}
