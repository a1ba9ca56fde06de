/* SPDX-License-Identifier: MIT */
/*
 * Leases whose holders are killed at every step: what was acknowledged never comes again, all else
 * does, and says that somebody had it.
 */
#include <config.h>

#include "tests/support/support.h"

#include <mp.h>
#include <sys/mman.h>

#include "tests/support/queues.h"
#include "tests/support/stores.h"

#include "queue/store.h"

T_SUITE(queue_lease_crash);

#define N_SCRIPT 40
#define MAX_DELIVERIES 3

/* What the victim has done for certain, and what it was at. */
struct progress {
	mp_queue *q;
	_Atomic int
		ending; /* + 1: the message whose ack, or taking out of the poison, is under way */
	_Atomic bool leased[N_SCRIPT];
	_Atomic bool ended[N_SCRIPT];
};

static struct progress *new_progress(int order)
{
	struct progress *p = t_shared(sizeof(*p));

	p->q = make(MP_QUEUE_OPTIONS(.order = order, .joinable = true, .leases = true,
		.max_deliveries = MAX_DELIVERIES));
	return p;
}

static int lease(mp_queue *q, int timeout_ms, mp_lease *ret_lease)
{
	mp_obj value;
	int r = mp_queue_lease(q, timeout_ms, &value, ret_lease);

	return r < 0 ? r : (int)mp_obj_i64(&value);
}

static void end(struct progress *p, int n, mp_lease a)
{
	p->ending = n + 1;
	T_CHECK(mp_queue_ack(p->q, a) == 0);
	p->ended[n] = true;
	p->ending = 0;
}

/* Leases, acknowledges, gives back, makes poison, takes it out. */
static int script(void *argument)
{
	struct progress *p = argument;
	mp_obj value;
	mp_lease a;

	for (int i = 0; i < N_SCRIPT; i++)
		T_CHECK(mp_queue_put(p->q, mp_i64(i), T_TIMEOUT_MS) == 0);
	while (mp_queue_size(p->q) > N_SCRIPT / 4) {
		int n = lease(p->q, T_TIMEOUT_MS, &a);
		T_CHECK(n >= 0);
		p->leased[n] = true;
		if (n % 3 == 0)
			T_CHECK(mp_queue_nack(p->q, a) == 0);
		else
			end(p, n, a);
	}
	T_CHECK(mp_queue_poison_count(p->q) > 0);
	p->ending = -1;
	T_CHECK(mp_queue_poison_get(p->q, &value) == 0);
	p->ended[mp_obj_i64(&value)] = true;
	p->ending = 0;
	/* Some are leased when it ends. */
	for (int i = 0; i < 3; i++)
		p->leased[lease(p->q, T_TIMEOUT_MS, &a)] = true;
	T_CHECK(mp_queue_shutdown(p->q, MP_QUEUE_IMMEDIATE) == 0);
	T_CHECK(mp_queue_nack(p->q, a) == 0);
	return 0;
}

/* Everything that is left, once. */
static void collect(struct progress *p, int seen[N_SCRIPT])
{
	mp_obj value;
	mp_lease a;
	int n;

	while ((n = lease(p->q, MP_NOWAIT, &a)) >= 0) {
		seen[n]++;
		cr_assert(!p->leased[n] || a.redelivered, "%d was leased before", n);
		cr_assert_eq(a.redelivered, a.deliveries > 1);
		cr_assert_leq(a.deliveries, MAX_DELIVERIES);
		T_OK(mp_queue_ack(p->q, a));
	}
	cr_assert_eq(n, -EAGAIN, "%d", n);
	while (mp_queue_poison_get(p->q, &value) == 0)
		seen[mp_obj_i64(&value)]++;
}

static void check_rest(struct progress *p)
{
	int seen[N_SCRIPT] = {0};
	int uncertain = 0;
	int put = 0;

	collect(p, seen);
	for (int i = 0; i < N_SCRIPT; i++) {
		if (seen[i] || p->ended[i])
			put = i + 1;
	}
	for (int i = 0; i < put; i++) {
		if (p->ended[i])
			cr_assert_eq(seen[i], 0, "%d had ended, and came %d times", i, seen[i]);
		else if (seen[i] != 1)
			uncertain++;
		cr_assert_leq(seen[i], 1);
		if (!p->ended[i] && seen[i] == 0)
			cr_assert(p->ending == i + 1 || p->ending == -1, "%d is lost", i);
	}
	cr_assert_leq(uncertain, 1);
}

static void check_empty(struct progress *p)
{
	mp_obj value;

	T_OK(mp_queue_join(p->q, T_TIMEOUT_MS));
	cr_assert_eq(mp_queue_size(p->q), 0);
	cr_assert_eq(mp_queue_leased(p->q), 0);
	cr_assert_eq(mp_queue_poison_count(p->q), 0);
	cr_assert_eq(mp_queue_bytes(p->q), 0);
	if (!mp_queue_is_shutdown(p->q)) {
		T_RESULT(mp_queue_get(p->q, 200, &value), -ETIMEDOUT);
		cr_assert(store_has_no_messages(p->q), "%s", describe_blocks(p->q));
	}
	T_OK(mp_heap_check(p->q->store->heap));
}

static void kill_at(const char *point, const char *action, int order)
{
	struct progress *p = new_progress(order);

	t_die_at(point, action, script, p);
	if (!mp_queue_is_shutdown(p->q)) {
		check_rest(p);
	} else {
		mp_obj value;
		while (mp_queue_poison_get(p->q, &value) == 0)
			;
	}
	check_empty(p);
	mp_queue_close(p->q);
	munmap(p, sizeof(*p));
}

static const char *const points[] = {"store.put.written", "store.put.committed", "store.get.found",
	"store.get.copied", "lease.written", "lease.committed", "lease.counted",
	"store.get.adopted", "store.get.committed", "store.get.counted", "lease.ack.rung",
	"store.get.freed", "lease.back.committed", "lease.back.counted", "lease.back.rung",
	"lease.poison.rung", "queue.shutdown.gets"};

Test(queue_lease_crash, killed_at_every_step)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		kill_at(points[i], "kill", MP_QUEUE_FIFO);
		kill_at(points[i], "kill", MP_QUEUE_LIFO);
	}
}

Test(queue_lease_crash, exits_at_every_step)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		kill_at(points[i], "exit", MP_QUEUE_FIFO);
}

/* --- who returns the leases of the dead dies too --------------------------------------------------- */

static int lease_ten_and_hang(void *argument)
{
	struct progress *p = argument;
	mp_lease a;

	for (int i = 0; i < 10; i++)
		p->leased[lease(p->q, T_TIMEOUT_MS, &a)] = true;
	t_ready();
	t_hang();
}

static int find_the_dead(void *argument)
{
	struct progress *p = argument;
	mp_obj value;

	T_CHECK(mp_queue_get(p->q, MP_NOWAIT, &value) == 0);
	return 1;
}

Test(queue_lease_crash, who_finds_the_dead_is_killed_over_it)
{
	static const char *const steps[] = {"lease.back.committed", "lease.back.counted"};

	for (int i = 0; i < 2; i++) {
		struct progress *p = new_progress(MP_QUEUE_FIFO);
		for (int n = 0; n < 10; n++)
			T_OK(mp_queue_put(p->q, mp_i64(n), MP_NOWAIT));
		struct t_child c = t_spawn(lease_ten_and_hang, p);
		t_wait_ready(&c);
		t_kill(&c, SIGKILL);
		t_die_at(steps[i], "kill", find_the_dead, p);
		check_rest(p);
		check_empty(p);
		mp_queue_close(p->q);
		munmap(p, sizeof(*p));
	}
}

/* --- damage --------------------------------------------------------------------------------------- */

/* Lists that are wrong: found by a walk that ends, or by nobody; a repair makes them anew. */
static void damage(int what)
{
	struct progress *p = new_progress(MP_QUEUE_FIFO);
	struct mp__store_root *root = p->q->store->root;
	mp_lease a[4];
	mp_obj value;

	for (int n = 0; n < 6; n++)
		T_OK(mp_queue_put(p->q, mp_i64(n), MP_NOWAIT));
	for (int n = 0; n < 4; n++)
		cr_assert_eq(lease(p->q, MP_NOWAIT, &a[n]), n);
	struct mp__store_entry *first = mp__store_entry(p->q->store, root->leased - 1);
	switch (what) {
	case 0:
		first->next = root->leased; /* a ring */
		break;
	case 1:
		first->next = UINT32_MAX;
		break;
	case 2:
		root->leased = UINT32_MAX;
		break;
	case 3:
		root->poison = 1;
		break;
	default:
		first->previous = 5;
		break;
	}
	T_RESULT(mp_queue_poison_get(p->q, &value), -EAGAIN);
	cr_assert_eq(get_i64(p->q), 4);
	cr_assert_eq(get_i64(p->q), 5);
	T_RESULT(mp_queue_get(p->q, MP_NOWAIT, &value), -EAGAIN);
	for (int n = 0; n < 4; n++)
		T_OK(n % 2 ? mp_queue_ack(p->q, a[n]) : mp_queue_nack(p->q, a[n]));
	cr_assert_eq(get_i64(p->q), 0);
	cr_assert_eq(get_i64(p->q), 2);
	T_RESULT(mp_queue_get(p->q, MP_NOWAIT, &value), -EAGAIN);
	cr_assert_eq(mp_queue_leased(p->q), 0);
	mp_queue_close(p->q);
	munmap(p, sizeof(*p));
}

Test(queue_lease_crash, lists_that_are_wrong_are_made_anew)
{
	for (int what = 0; what < 5; what++)
		damage(what);
}

/* Garbage that lies still: each call ends, and with an error that is documented. */
Test(queue_lease_crash, garbage_everywhere)
{
	unsigned random = 23;

	for (int round = 0; round < 60; round++) {
		struct progress *p = new_progress(MP_QUEUE_FIFO);
		mp_queue *q = p->q;
		char *from = (char *)q->store->root;
		mp_lease a[8] = {{0}};
		mp_obj value;
		for (int n = 0; n < 30; n++)
			T_OK(mp_queue_put(q, mp_i64(n), MP_NOWAIT));
		for (int n = 0; n < 8; n++)
			cr_assert_eq(lease(q, MP_NOWAIT, &a[n]), n);
		for (int i = 0; i < 5000; i++) {
			random = random * 1103515245 + 12345;
			if (round % 4 == 0 || (random >> 8) % 50 == 0)
				from[i] = (char)(random >> 24);
		}
		for (int i = 0; i < 40; i++) {
			int r = mp_queue_put(q, mp_i64(i), MP_NOWAIT);
			cr_assert(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -ENOSPC, "%d", r);
			r = mp_queue_lease(q, MP_NOWAIT, &value, &a[i % 8]);
			if (r == 0)
				mp_obj_free(&value);
			cr_assert(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -EOVERFLOW ||
					  r == -ENOTSUP,
				"%d", r);
			r = i % 2 ? mp_queue_ack(q, a[i % 8]) : mp_queue_nack(q, a[i % 8]);
			cr_assert(r == 0 || r == -EINVAL || r == -ESTALE || r == -EPERM ||
					  r == -EBADMSG,
				"%d", r);
			r = mp_queue_poison_get(q, &value);
			if (r == 0)
				mp_obj_free(&value);
			cr_assert(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -EOVERFLOW ||
					  r == -ENOTSUP,
				"%d", r);
			(void)mp_queue_leased(q);
			(void)mp_queue_join(q, MP_NOWAIT);
		}
		mp_queue_close(q);
		munmap(p, sizeof(*p));
	}
}
