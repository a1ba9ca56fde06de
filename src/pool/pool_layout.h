/* SPDX-License-Identifier: MIT */
/*
 * pool/pool_layout.h - what a pool and its workers share in memory.
 *
 * Key idea: one word per task says everything. A worker takes a task with one compare-and-swap that
 * also writes its own number into that word, so that there is no instant in which a task is taken
 * and nobody knows by whom; one store finishes it. All else (ring positions, lists, sleepers) are
 * hints, which may lag behind after a death and which anybody may bring up to date.
 *
 * The segment is one memfd, sealed against shrinking and growing:
 *
 *	+--------+---------+------+ +-----------------+----------+----------+
 *	| header | workers | ring | | tasks[]         | slots[]  | rooms[]  |
 *	| 1536   | []      | u64[]| | functions, 512  | 64 each  | 256 each |
 *	+--------+---------+------+ +-----------------+----------+----------+
 *	 allocated at creation       allocated chunk by chunk (64 KiB), by the
 *	 (fallocate)                 owner, before it uses something in the chunk
 *
 * so that 65536 possible tasks cost 512 KiB of ring and else only what is used at a time, and a
 * full memory is -ENOSPC in the owner, never SIGBUS in anybody.
 *
 * A slot is one cache line, and a small task with its result is all in it: a million of them may be
 * queued. Tasks with more to carry are given a room by the owner, and keep it until they are collected:
 * for arguments, then for the result, and for limits.
 *
 * Arguments and results that are too long for a room are written with pwrite() into a second,
 * sparse memfd without mapping, where each slot owns a fixed range; the owner punches it out after
 * use.
 *
 * The life of a slot. "Owner" is the process that made the pool: only it submits and collects.
 *
 *	FREE -> QUEUED    owner, after task, sizes and arguments (release)
 *	QUEUED -> RUNNING worker, compare-and-swap with its number (acquire): the claim
 *	RUNNING -> DONE   worker, after result and sizes (release): the commit
 *	DONE -> FREE      owner, after it copied the result
 *	any -> FREE       owner, when the worker that stands in it is dead
 *
 * Publication of a task: slot contents, then state QUEUED, then the ring entry, then tail, then a
 * look at the bell. Completion: result, state DONE, push on the done list, a look at owner_waiting.
 *
 * What a death leaves behind:
 *	worker before its claim: nothing happened, the task is QUEUED. It may have swallowed a
 *		wake-up, or stand as the spinner: the owner rings again when it sees the death, and
 *		sleepers look again by themselves (worker.c).
 *	... after the claim, before head moved on: head lags; whoever looks next moves it.
 *	... before the commit: RUNNING with its number; the owner ends that future with -EOWNERDEAD.
 *	... after the commit, before the push or the wake-up: DONE with its number; the owner looks
 *		for such slots when it sees the death, and the death itself wakes it.
 *	... after it sent the descriptors of a result, before the commit: they are for a generation
 *		of the slot that ends otherwise, and the owner closes them (returns.c).
 *	... between taking descriptors from the cargo socket and the claim: the task is QUEUED and
 *		its message lost; the owner sends it again (dispatch.c). A message twice does no
 *		harm, since the claim decides.
 *	the owner: its workers are killed with it, and the memory goes with the last of them.
 *
 * The owner trusts nothing here: it keeps in private memory which slots are in use and by which
 * generation, copies each number to a local and checks it before use.
 */
#ifndef MP_POOL_LAYOUT_H
#define MP_POOL_LAYOUT_H

#include "process/target.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MP__POOL_MAGIC UINT64_C(0x6d702e706f6f6c31) /* "mp.pool1" */
#define MP__POOL_VERSION 3u

#define MP__POOL_WORKERS_MAX 1000u
#define MP__POOL_PENDING_MAX 1048576u
#define MP__POOL_TASKS_MAX 4096u /* different functions that one pool may run */
#define MP__POOL_NONE UINT32_MAX
#define MP__POOL_LOOPS 16u /* that run at a time */
#define MP__POOL_PIECE_BITS 38

#define MP__POOL_INLINE 24u      /* bytes of arguments, and then of the result, in a slot */
#define MP__POOL_ROOM_BYTES 240u /* ... in a room */
#define MP__POOL_SLOT_SIZE 64u
#define MP__POOL_ROOM_SIZE 256u
#define MP__POOL_CHUNK 65536u /* tasks, slots and rooms are allocated so many bytes at a time */

/* Each slot's range in the payload file: arguments in its first half, result in the second. */
#define MP__POOL_PAYLOAD_MAX (UINT64_C(1) << 31)
#define MP__POOL_PAYLOAD_STRIDE (2 * MP__POOL_PAYLOAD_MAX)

#define MP__POOL_LINE 64

/*
 * Line 0 is written by the owner before `state` becomes MP__POOL_READY (release) and never changes;
 * who attaches loads `state` first (acquire). Each word after it has a line of its own, since
 * different processes write them.
 */
struct mp__pool_header {
	uint64_t magic;
	uint32_t version;
	uint32_t fingerprint; /* of the struct sizes */
	uint64_t size;        /* of the segment */
	uint32_t n_workers;
	uint32_t n_slots;
	uint32_t ring_size;   /* a power of two, >= n_slots */
	uint32_t initializer; /* index in tasks[], or MP__POOL_NONE */
	uint32_t may_spin;    /* more than one CPU: waiting a little without sleeping can pay */
	_Atomic uint32_t state;
	uint32_t tasks_per_worker; /* or 0 */
	uint32_t idle_ms;          /* or 0 */

	/*
	 * Position of the next ring entry to look at; runs behind the truth, moved by anybody with
	 * a compare-and-swap of head to head + 1 once the entry there is no longer QUEUED.
	 */
	_Alignas(MP__POOL_LINE) _Atomic uint64_t head;
	/*
	 * Entries published. Written by the owner (release); partner: the acquire load in a
	 * claim.
	 */
	_Alignas(MP__POOL_LINE) _Atomic uint64_t tail;
	/*
	 * Finished slots, linked by next_done, MP__POOL_NONE at the end. Workers push by
	 * compare-and-swap, the owner takes the whole list by exchange: with these two operations
	 * there is no ABA problem.
	 */
	_Alignas(MP__POOL_LINE) _Atomic uint32_t done;
	/*
	 * {sequence:29, naps:1, in bulk:1, sleeps:1}. The last bit: the owner sleeps, or is about to and
	 * will look at `done` once more. Who finishes a task while it is set wakes it, and then
	 * clears the bit unless the sequence has moved on: in this order, so that who is stopped in
	 * between keeps no wake-up of the others. All is sequentially consistent.
	 * Naps: it sleeps on `nap`, else on the eventfd.
	 * In bulk: it wants all that is queued, and is woken when a worker finds nothing more to
	 * begin, not by each task.
	 */
	_Alignas(MP__POOL_LINE) _Atomic uint32_t owner_waiting;
	/*
	 * Where workers sleep: {sequence:31, somebody sleeps:1}. Who goes to sleep moves the
	 * sequence on and sets the bit; who wakes clears the bit when the kernel found nobody. No
	 * count of sleepers, so none can be wrong after a death.
	 */
	_Alignas(MP__POOL_LINE) _Atomic uint32_t bell;
	/* 1: workers leave when the ring is empty; 2: at once. Written by the owner. */
	_Atomic uint32_t stopping;
	/*
	 * The worker that looks for work without sleeping, plus 1; 0: nobody. One at most, so that
	 * spinning never takes the CPU from who works, and while there is one, a single new task
	 * needs no wake-up: who stops spinning says so, and looks once more before it sleeps. Set
	 * and cleared by the worker, and by the owner when that worker is dead.
	 */
	_Alignas(MP__POOL_LINE) _Atomic uint32_t spinner;
	/*
	 * Where the owner sleeps in the first milliseconds of a wait, while this is 0: a futex takes
	 * half the time of an eventfd and epoll. Set to 0 by the owner before it announces the nap,
	 * to MP__POOL_AWAKE by who wakes it. The kernel wakes it as well when a worker dies in a
	 * task (mp__futex_wake_at_end()); and a nap is short, since a death before it goes unheard.
	 */
	_Alignas(MP__POOL_LINE) _Atomic uint32_t nap;
	/*
	 * Counters of loops, each on its own line: {generation:16, taker:10, next piece:38}. Workers take
	 * a piece by compare-and-swap of the whole word, with their number plus 1 as the taker of the
	 * last one. The owner ends a loop by writing another generation: who comes late takes nothing
	 * from the next loop in the same place.
	 */
	struct mp__pool_loop {
		_Alignas(MP__POOL_LINE) _Atomic uint64_t next;
	} loops[MP__POOL_LOOPS];
};

#define MP__POOL_READY 1u

/* Of owner_waiting. */
#define MP__POOL_SLEEPS 1u
#define MP__POOL_BULK 2u
#define MP__POOL_NAPS 4u
#define MP__POOL_WAITING_STEP 8u /* of the sequence */

/* Of nap; not like the id of any thread, which would mean something to the kernel. */
#define MP__POOL_AWAKE (UINT32_C(1) << 31)

/* A function, written by the owner before the first slot that names it is QUEUED. */
struct mp__pool_task {
	struct mp__target_ref target;
};

enum mp__pool_worker_status {
	MP__POOL_WORKER_STARTING, /* owner, before the process is started */
	MP__POOL_WORKER_READY,    /* worker, once its initializer has returned (release) */
	MP__POOL_WORKER_LEAVING,  /* worker: it had nothing to do, or has done its share */
	MP__POOL_WORKER_FAILED,   /* worker, after result and detail; it exits then (release) */
};

/* What the owner has to know of a worker that died before it was ready. */
struct mp__pool_worker {
	_Atomic uint32_t status;
	int32_t result; /* of the initializer */
	/*
	 * Take no more tasks. Set by the owner before it kills a worker for the task that it runs:
	 * if that task is still RUNNING after this store, the worker will see it before its next
	 * claim, so that the kill can hit no other task. All is sequentially consistent. A thread,
	 * which cannot be killed, is told so when its end could not be watched.
	 */
	_Atomic uint32_t leave;
	uint32_t reserved;
	/* Of the task at hand, if it has limits or there is a trace: for the story of its death. */
	_Atomic uint64_t started_ns; /* CLOCK_MONOTONIC */
	_Atomic uint64_t cpu_us;     /* that the process had used then */
	/*
	 * The piece of a loop that it is at, enum mp__pool_piece; see loop.c. Written by the worker,
	 * and from WANTED to TAKEN by others too.
	 */
	_Atomic uint64_t piece;
	_Atomic uint64_t loop_n; /* of that loop: iterations, and those in a piece */
	_Atomic uint64_t loop_chunk;
	char detail[200]; /* its sentence; need not be NUL-terminated when hostile */
};

/*
 * worker.piece: {status:2, loop:4, generation:16, piece:38}. A worker says which piece it wants, takes
 * it from the counter, says that it has taken it, and that it is at none. If it dies in between, the
 * counter says whose the last piece is; and who takes the next one says TAKEN for the taker before,
 * since the counter forgets him then. So the one piece that dies with a worker is always known.
 */
enum mp__pool_piece {
	MP__POOL_PIECE_NONE,
	MP__POOL_PIECE_WANTED,
	MP__POOL_PIECE_TAKEN,
};

/* slot.state: {generation:32, worker:16, status:16}. */
enum mp__pool_status {
	MP__POOL_FREE,
	MP__POOL_QUEUED,
	MP__POOL_RUNNING,
	MP__POOL_DONE,
};

static inline uint64_t mp__pool_state(
	uint32_t generation, uint32_t worker, enum mp__pool_status status)
{
	return (uint64_t)generation << 32 | (uint64_t)worker << 16 | (uint64_t)status;
}

static inline uint32_t mp__pool_state_generation(uint64_t state)
{
	return (uint32_t)(state >> 32);
}

static inline uint32_t mp__pool_state_worker(uint64_t state)
{
	return (uint32_t)(state >> 16) & 0xffff;
}

static inline uint32_t mp__pool_state_status(uint64_t state)
{
	return (uint32_t)state & 0xffff;
}

enum mp__pool_kind {
	MP__POOL_CALL, /* arguments: one value, a list or nil. Result: one value */
	MP__POOL_MAP,  /* arguments and results: n_items values, each after its length (u32) */
	/*
	 * The same, but each result stands behind its own error code (i32, counted in the length), and
	 * one that failed leaves its sentence there; so that others in the chunk run.
	 */
	MP__POOL_EACH,
	/* Arguments: struct mp__pool_loop_args, then a value, a list or nil. No result. */
	MP__POOL_LOOP,
};

/* The share of a worker in a loop. */
struct mp__pool_loop_args {
	uint64_t context;    /* the user's pointer */
	uint64_t n;          /* iterations */
	uint64_t chunk;      /* in a piece; but for the last one */
	uint32_t loop;       /* its counter */
	uint32_t generation; /* 16 bits */
};

/*
 * A task. All but state, next_done, n_fds and the result's fields is written by the owner while FREE, and read
 * by the worker after its claim; cancel is written by the owner at any time. result* and bytes: written
 * by the worker while RUNNING, when it has copied the arguments, read by the owner when DONE. A failed
 * task (result < 0) has its sentence there, up to a NUL, and perhaps a value behind it.
 *
 * Where bytes are follows from how many they are: up to MP__POOL_INLINE here, up to MP__POOL_ROOM_BYTES in
 * the room if there is one, else in the payload file.
 */
struct mp__pool_slot {
	_Atomic uint64_t state;
	_Atomic uint32_t next_done; /* written by the worker between commit and push */
	_Atomic uint32_t cancel;    /* the generation that is asked to end */
	uint32_t room;              /* or MP__POOL_NONE */
	uint32_t n_items;
	uint32_t args_size;
	uint32_t result_size;
	int32_t result;
	uint16_t task; /* index in tasks[] */
	uint8_t kind;  /* enum mp__pool_kind */
	uint8_t n_fds; /* descriptors of the arguments; by the worker: of the result */
	uint8_t bytes[MP__POOL_INLINE];
};

/* Line 0 begins with the limits, written by the owner; bytes as those of the slot. */
struct mp__pool_room {
	uint32_t timeout_ms; /* 0: no limit */
	uint32_t cpu_ms;
	uint32_t memory_kib;
	uint32_t reserved;
	uint8_t bytes[MP__POOL_ROOM_BYTES];
};

/*
 * Ring entries: {generation:32, slot:32}, so that an entry names one use of a slot. The token says
 * instead that a message with descriptors waits in the cargo socket; it is taken by moving head.
 */
#define MP__POOL_TOKEN UINT64_MAX

/* A message of the cargo socket, or of the way back; its descriptors come beside it. */
struct mp__pool_cargo_message {
	uint32_t slot;
	uint32_t generation;
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "words are shared");
_Static_assert(sizeof(struct mp__pool_header) == 1536, "header is 8 + 16 lines");
_Static_assert(offsetof(struct mp__pool_header, head) == 64, "line 0 is constant");
_Static_assert(sizeof(struct mp__pool_worker) == 256, "worker record");
_Static_assert(sizeof(struct mp__pool_slot) == MP__POOL_SLOT_SIZE, "slot size");
_Static_assert(sizeof(struct mp__pool_room) == MP__POOL_ROOM_SIZE, "room size");
_Static_assert(MP__POOL_WORKERS_MAX < 1u << 10 && MP__POOL_LOOPS <= 1u << 4, "words of loops");
_Static_assert(MP__POOL_TASKS_MAX <= UINT16_MAX, "slots name tasks in 16 bits");

#endif
