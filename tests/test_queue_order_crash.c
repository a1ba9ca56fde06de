/* SPDX-License-Identifier: MIT */
/*
 * Ordered queues whose users are killed at every step, or write garbage over everything. What is left
 * is always: every message that was put and not got, in order, and no block that is nobody's.
 */
#include <config.h>

#include "tests/support/queues.h"
#include "tests/support/stores.h"

#include <mp.h>
#include <sys/mman.h>

#include "queue/store.h"

T_SUITE(queue_order_crash);

/* --- every step ----------------------------------------------------------------------------------- */

#define N_SCRIPT 70 /* more than a chunk of the table */
#define SCRIPT_SIZE 3000

/* What the victim has done for certain. */
struct progress {
	mp_queue *q;
	_Atomic int put;
	_Atomic int got;
};

static int put_number(mp_queue *q, int i, int timeout_ms)
{
	char buffer[SCRIPT_SIZE];

	memset(buffer, i, sizeof(buffer));
	memcpy(buffer, &i, sizeof(i));
	if (q->store->order == MP_QUEUE_PRIORITY)
		return mp_queue_put_priority_bytes(q, buffer, sizeof(buffer), i, timeout_ms);
	return mp_queue_put_bytes(q, buffer, sizeof(buffer), timeout_ms);
}

/* < 0: an error. */
static int get_number(mp_queue *q, int timeout_ms)
{
	char buffer[SCRIPT_SIZE];
	size_t size;
	int number;
	int r = mp_queue_get_bytes_into(q, buffer, sizeof(buffer), timeout_ms, &size);

	if (r < 0)
		return r;
	memcpy(&number, buffer, sizeof(number));
	for (size_t b = sizeof(number); b < SCRIPT_SIZE; b++)
		T_CHECK(buffer[b] == (char)number);
	return number;
}

static int script(void *argument)
{
	struct progress *p = argument;

	for (; p->put < N_SCRIPT; p->put++)
		T_CHECK(put_number(p->q, p->put, T_TIMEOUT_MS) == 0);
	for (; p->got < N_SCRIPT; p->got++)
		T_CHECK(get_number(p->q, T_TIMEOUT_MS) >= 0);
	T_CHECK(get_number(p->q, 200) == -ETIMEDOUT);
	T_CHECK(put_number(p->q, 1, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_queue_shutdown(p->q, MP_QUEUE_DRAIN) == 0);
	T_CHECK(mp_queue_shutdown(p->q, MP_QUEUE_IMMEDIATE) == 0);
	return 0;
}

/* At most the step in which the victim died is uncertain. */
static void check_rest(struct progress *p, int order)
{
	int left = (int)mp_queue_size(p->q);
	int expected = p->put - p->got;
	int before = -1;

	if (p->put < N_SCRIPT)
		cr_assert(left == expected || left == expected + 1);
	else
		cr_assert(left == expected || left == expected - 1 || p->got == N_SCRIPT);
	for (int i = 0; i < left; i++) {
		int number = get_number(p->q, MP_NOWAIT);
		cr_assert_geq(number, 0);
		if (i > 0)
			cr_assert_eq(number, order == MP_QUEUE_LIFO ? before - 1 : before + 1);
		before = number;
	}
	T_RESULT(get_number(p->q, MP_NOWAIT), -EAGAIN);
}

/* A getter that waits in vain frees what the dead have left. */
static void check_blocks(mp_queue *q)
{
	T_OK(mp_heap_check(q->store->heap));
	cr_assert(store_has_no_messages(q), "%d pieces; %s", (int)q->store->n_chunks,
		describe_blocks(q));
}

static void check_all(struct progress *p, int order)
{
	if (!mp_queue_is_shutdown(p->q)) {
		check_rest(p, order);
		for (int i = 0; i < 3; i++)
			T_OK(put_number(p->q, i, MP_NOWAIT));
		for (int i = 0; i < 3; i++)
			cr_assert_eq(
				get_number(p->q, MP_NOWAIT), order == MP_QUEUE_LIFO ? 2 - i : i);
		while (mp_queue_task_done(p->q) == 0)
			;
		T_OK(mp_queue_join(p->q, T_TIMEOUT_MS));
		T_RESULT(get_number(p->q, 200), -ETIMEDOUT);
		cr_assert_eq(mp_queue_bytes(p->q), 0);
		check_blocks(p->q);
	}
	T_OK(mp_queue_shutdown(p->q, MP_QUEUE_IMMEDIATE));
	cr_assert_eq(mp_queue_size(p->q), 0);
	T_RESULT(put_number(p->q, 1, MP_NOWAIT), -EPIPE);
	T_RESULT(get_number(p->q, MP_NOWAIT), -EPIPE);
	mp_queue_close(p->q);
	munmap(p, sizeof(*p));
}

static void kill_at(const char *point, const char *action, int order)
{
	struct progress *p = t_shared(sizeof(*p));

	p->q = make(MP_QUEUE_OPTIONS(.order = order, .joinable = true));
	t_die_at(point, action, script, p);
	check_all(p, order);
}

static const char *const points[] = {"store.put.allocated", "store.put.copied", "store.put.written",
	"store.put.committed", "store.put.counted", "store.put.rung", "store.chunk.allocated",
	"store.chunk.named", "store.chunk.added", "store.get.found", "store.get.copied",
	"store.get.adopted", "queue.cell.counted", "store.get.committed", "store.get.counted",
	"store.get.rung", "store.get.freed", "store.repair.begun", "store.repair.sorted",
	"store.repair.swept", "queue.shutdown.puts", "queue.shutdown.gets"};

Test(queue_order_crash, killed_at_every_step)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		kill_at(points[i], "kill", MP_QUEUE_PRIORITY);
		kill_at(points[i], "kill", MP_QUEUE_LIFO);
	}
}

Test(queue_order_crash, exits_at_every_step)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		kill_at(points[i], "exit", MP_QUEUE_PRIORITY);
}

static int put_more(void *argument)
{
	struct progress *p = argument;

	for (; p->put < N_SCRIPT; p->put++)
		T_CHECK(put_number(p->q, p->put, T_TIMEOUT_MS) == 0);
	return 0;
}

/* One dies in a change, the next one while it repairs. */
static void kill_repairer_at(const char *point, int order)
{
	struct progress *p = t_shared(sizeof(*p));

	p->q = make(MP_QUEUE_OPTIONS(.order = order, .joinable = true));
	for (; p->put < 40; p->put++)
		T_OK(put_number(p->q, p->put, MP_NOWAIT));
	t_die_at("store.put.committed", "kill", put_more, p);
	p->put++;
	t_die_at(point, "kill", put_more, p);
	cr_assert_eq(mp_queue_size(p->q), 41);
	check_all(p, order);
}

Test(queue_order_crash, killed_while_repairing)
{
	static const char *const steps[] = {
		"store.repair.begun", "store.repair.sorted", "store.repair.swept"};

	for (size_t i = 0; i < 3; i++) {
		kill_repairer_at(steps[i], MP_QUEUE_PRIORITY);
		kill_repairer_at(steps[i], MP_QUEUE_LIFO);
	}
}

static int put_large(void *queue)
{
	char *data = calloc(1, 800000);

	T_CHECK(mp_queue_put_bytes(queue, data, 800000, MP_NOWAIT) == 0);
	return 0;
}

/* Blocks that nobody names, up to the last byte of the heap: a putter makes room. */
Test(queue_order_crash, blocks_of_killed_putters_do_not_fill_the_heap)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .max_bytes = 1000000));
	char *data = calloc(1, 900000);

	for (int i = 0; i < 8; i++) {
		t_die_at("store.put.copied", "kill", put_large, q);
	}
	T_OK(mp_queue_put_bytes(q, data, 900000, MP_NOWAIT));
	free(data);
	mp_queue_close(q);
}

/* --- damage --------------------------------------------------------------------------------------- */

static void fill(mp_queue *q, int n)
{
	for (int i = 0; i < n; i++)
		T_OK(put_number(q, i, MP_NOWAIT));
}

/* What follows from the table is wrong: it is made anew, and nothing is lost. */
static void damage_caches(int what)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));
	struct mp__store *s = q->store;

	fill(q, 50);
	switch (what) {
	case 0:
		s->slots[0][0] = 12345;
		break;
	case 1:
		s->slots[0][0] = 60; /* a free entry */
		break;
	case 2:
		s->root->free = 77777;
		break;
	case 3:
		s->root->free = 1; /* in use */
		break;
	case 4:
		s->root->counts = UINT64_MAX;
		break;
	default:
		s->root->bytes = UINT64_MAX;
		break;
	}
	T_OK(put_number(q, 50, MP_NOWAIT));
	for (int i = 0; i <= 50; i++)
		cr_assert_eq(get_number(q, MP_NOWAIT), i);
	cr_assert_eq(mp_queue_size(q), 0);
	mp_queue_close(q);
}

Test(queue_order_crash, what_follows_from_the_table_is_made_anew)
{
	for (int what = 0; what < 6; what++)
		damage_caches(what);
}

/* An entry is impossible: its message is lost, one call says so, the others come. */
static void damage_entry(int what)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY));

	fill(q, 20);
	uint32_t first = q->store->slots[0][0];
	struct mp__store_entry *entry = mp__store_entry(q->store, first);
	switch (what) {
	case 0:
		entry->block = UINT64_MAX;
		break;
	case 1:
		entry->block += 8;
		break;
	case 2:
		entry->size = MP__RECORD_SIZE_MASK;
		break;
	case 3:
		entry->size = 1; /* of no kind */
		break;
	case 4:
		entry->state = 77;
		break;
	default:
		entry->block = mp__store_entry(q->store, q->store->slots[0][1])->block;
		break;
	}
	T_RESULT(get_number(q, MP_NOWAIT), -EBADMSG);
	cr_assert_eq(mp_queue_size(q), 19);
	for (int i = 1; i < 20; i++)
		cr_assert_eq(get_number(q, MP_NOWAIT), i);
	T_RESULT(get_number(q, MP_NOWAIT), -EAGAIN);
	mp_queue_close(q);
}

Test(queue_order_crash, an_impossible_entry_is_an_error_once)
{
	for (int what = 0; what < 6; what++)
		damage_entry(what);
}

Test(queue_order_crash, a_table_out_of_reach)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));

	fill(q, 3);
	q->store->root->n_chunks = 22;
	T_RESULT(put_number(q, 1, MP_NOWAIT), -EBADMSG);
	T_RESULT(get_number(q, MP_NOWAIT), -EBADMSG);
	q->store->root->n_chunks = 2;
	q->store->root->chunks[1] = UINT64_MAX - 15;
	T_RESULT(get_number(q, MP_NOWAIT), -EBADMSG);
	q->store->root->n_chunks = 1;
	cr_assert_eq(get_number(q, MP_NOWAIT), 2);
	mp_queue_close(q);
}

Test(queue_order_crash, what_is_no_value_goes_with_an_error)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO));
	struct mp__ring_record record;
	struct mp__store_block *block;
	mp_obj value;

	T_OK(mp_queue_put(q, mp_i64(1), MP_NOWAIT));
	T_OK(mp_queue_put(q, mp_i64(2), MP_NOWAIT));
	cr_assert(mp__store_message(q, q->store->slots[0][0], &record, &block));
	block->data[0] = (char)0xff;
	T_RESULT(mp_queue_get(q, MP_NOWAIT, &value), -EBADMSG);
	T_OK(mp_queue_get(q, MP_NOWAIT, &value));
	cr_assert_eq(mp_obj_i64(&value), 1);
	mp_queue_close(q);
}

/* --- a hostile peer ------------------------------------------------------------------------------- */

#define HOSTILE_BYTES 65536
/* Of the segment, what is read once at the attach; and the guard, which would only make all wait. */
#define HOSTILE_HEAD 72

static char *base_of(mp_queue *q)
{
	return (char *)q->store->root - mp_heap_offset(q->store->heap, q->store->root);
}

__attribute__((noreturn)) static int scribble(void *argument)
{
	struct progress *p = argument;
	char *base = base_of(p->q);
	size_t root = (size_t)((char *)p->q->store->root - base);
	size_t table = (size_t)((char *)p->q->store->entries[0] - base);
	unsigned random = 7;

	t_ready();
	for (;;) {
		random = random * 1103515245 + 12345;
		size_t n = (random >> 8) % HOSTILE_BYTES;
		/* Mostly where it hurts: the root and the table. */
		size_t at = random & 64    ? HOSTILE_HEAD + n % (HOSTILE_BYTES - HOSTILE_HEAD)
			    : random & 128 ? root + n % sizeof(struct mp__store_root)
					   : table + n % (64 * 68);
		base[at] = (char)(random >> 24);
		p->put++;
	}
}

static int use(void *argument)
{
	struct progress *p = argument;
	char buffer[3000] = "";
	size_t size;
	mp_obj value;
	void *data;

	/* A guard that seems to be taken costs some calls seconds: enough is enough. */
	mp__deadline end = mp__deadline_in(10000);
	for (int i = 0; i < 400 && !mp__deadline_passed(end); i++) {
		(void)mp_queue_put_bytes(p->q, buffer, (size_t)i % 3000, 1);
		(void)mp_queue_put_priority(p->q, mp_i64(i), i % 7, 0);
		if (mp_queue_get_bytes(p->q, 1, &data, &size) == 0)
			free(data);
		if (mp_queue_get(p->q, 0, &value) == 0)
			mp_obj_free(&value);
		(void)mp_queue_join(p->q, 0);
		(void)mp_queue_size(p->q);
		(void)mp_queue_full(p->q);
		/* All would end when the table is out of reach. */
		p->q->store->root->n_chunks = 1;
	}
	return 0;
}

Test(queue_order_crash, a_hostile_peer_causes_errors_only)
{
	for (int round = 0; round < 10; round++) {
		struct progress *p = t_shared(sizeof(*p));
		p->q = make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY, .max_bytes = 200000,
			.joinable = true));
		fill(p->q, 10);
		struct t_child hostile = t_spawn(scribble, p);
		t_wait_ready(&hostile);
		struct t_child c = t_spawn(use, p);
		t_expect_exit(&c, 0);
		t_kill(&hostile, SIGKILL);
		cr_assert_gt(p->put, 0);
		mp_queue_close(p->q);
		munmap(p, sizeof(*p));
	}
}

/* Garbage that lies still: each call ends, and with an error that is documented. */
Test(queue_order_crash, garbage_everywhere)
{
	char buffer[SCRIPT_SIZE];
	unsigned random = 11;
	size_t got;

	for (int round = 0; round < 60; round++) {
		mp_queue *q =
			make(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY, .max_bytes = 200000));
		char *base = base_of(q);
		fill(q, 30);
		size_t size = 4096 + (size_t)(round % 3) * 4096;
		size_t from = (size_t)((char *)q->store->root - base);
		for (size_t i = 0; i < size; i++) {
			random = random * 1103515245 + 12345;
			if (round % 4 == 0 || (random >> 8) % 50 == 0)
				base[from + i] = (char)(random >> 24);
		}
		for (int i = 0; i < 60; i++) {
			int r = put_number(q, i, MP_NOWAIT);
			cr_assert(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -ENOSPC, "%d", r);
			r = mp_queue_get_bytes_into(q, buffer, sizeof(buffer), MP_NOWAIT, &got);
			cr_assert(
				r == 0 || r == -EMSGSIZE || r == -EAGAIN || r == -EBADMSG, "%d", r);
		}
		(void)mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE);
		mp_queue_close(q);
	}
}
