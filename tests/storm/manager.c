/* SPDX-License-Identifier: MIT */
/*
 * managerd in the kill storm. One daemon, which lives, and clients that die: what was acknowledged
 * is there. And owners of daemons of their own, where both may die: calls fail with -EPIPE then and
 * do not hang, a new daemon starts empty, and none outlives its owner.
 */
#include <config.h>

#include "tests/storm/orders.h"
#include "tests/storm/served.h"
#include "tests/storm/storm.h"
#include "tests/storm/tree.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS STORM_ORDERS_CLIENTS
#define OWNERS 1
#define KEYS 4
#define CHANGES 20
#define OPTIONS MP_MANAGER_OPTIONS(.timeout_ms = STORM_TIMEOUT_MS)

/* --- one daemon for all ------------------------------------------------------------------------------------ */

struct ledger {
	struct storm_pair pair; /* of the lock */
	_Atomic int64_t fence;  /* that its latest holder got */
	struct storm_orders orders;
	_Atomic int64_t counted; /* acknowledged additions */
	struct {
		_Atomic int64_t trying;
		_Atomic int64_t set; /* acknowledged */
	} entries[CLIENTS][KEYS];
};

static mp_manager *manager;
static mp_dict *dict;

static void make_dict(void *memory)
{
	const char *point = getenv("MP_TEST_POINT");
	char *again = point ? strdup(point) : NULL;

	(void)memory;
	/* This daemon lives: it comes to no point. */
	unsetenv("MP_TEST_POINT");
	STORM_CALL(mp_manager_start(OPTIONS, &manager));
	if (again)
		setenv("MP_TEST_POINT", again, 1);
	free(again);
	storm_spare(mp_manager_pid(manager));
	STORM_CALL(mp_manager_dict(manager, "storm", &dict));
}

static mp_obj give_dict(void)
{
	static mp_obj both[2];

	both[0] = mp_handle(manager);
	both[1] = mp_handle(dict);
	return mp_list_of(both, 2);
}

static void take_dict(const mp_obj *given)
{
	manager = mp_obj_manager(&given->as.items[0]);
	dict = mp_obj_dict(&given->as.items[1]);
}

/* A lock that passes on when its holder's connection ends; a sum to which each adds once. */
static void use_lock(struct ledger *ledger, mp_proxy *lock, mp_proxy *counter, uint64_t random)
{
	int64_t fence = 0;
	int r = mp_served_lock_acquire(lock, STORM_TIMEOUT_MS, &fence);

	STORM_CALL(r);
	/* Whoever held it before is behind us for ever, however it ended. */
	STORM_CHECK(fence > ledger->fence);
	ledger->fence = fence;
	storm_pair_work(&ledger->pair, r, random);
	STORM_CALL(mp_served_lock_release(lock));
	STORM_CALL(mp_counter_add(counter, 1, NULL));
	ledger->counted++;
}

static mp_obj key_of(int index, int k)
{
	return mp_i64(index * KEYS + k);
}

/* What was acknowledged, or what somebody died over. */
static void check_entry(struct ledger *ledger, int index, int k)
{
	mp_obj now;
	int64_t set = ledger->entries[index][k].set;
	int64_t trying = ledger->entries[index][k].trying;
	int r = mp_dict_get(dict, key_of(index, k), &now);

	if (r == -ENOENT) {
		STORM_CHECK(set == 0);
		return;
	}
	STORM_CALL(r);
	int64_t n = mp_obj_i64(mp_obj_at(&now, 0));
	STORM_CHECK(mp_obj_len(&now) == 2 && n == -mp_obj_i64(mp_obj_at(&now, 1)));
	STORM_CHECK(n >= set);
	STORM_IS(STORM_DUPLICATED, n <= trying);
	mp_obj_free(&now);
}

static void run_client(void *memory, int index, uint64_t random)
{
	struct ledger *ledger = memory;
	int64_t latest[STORM_ORDERS_CLIENTS] = {0};
	struct storm_served served;
	mp_proxy *lock = NULL;
	mp_proxy *counter = NULL;
	mp_proxy *queue = NULL;

	STORM_CALL(mp_manager_lock(manager, "lock", &lock));
	STORM_CALL(mp_manager_counter(manager, "counter", 0, &counter));
	STORM_CALL(storm_orders_open(manager, &queue));
	STORM_CALL(storm_served_open(manager, &served));
	while (storm_blows()) {
		STORM_CALL(storm_served_step(&served, storm_random(&random)));
		use_lock(ledger, lock, counter, storm_random(&random));
		storm_orders_step(&ledger->orders, queue, index, latest, storm_random(&random));
		int k = (int)(storm_random(&random) % KEYS);
		check_entry(ledger, index, k);
		int64_t n = ++ledger->entries[index][k].trying;
		if (n % 5 == 0)
			STORM_CALL(mp_dict_update(
				dict, MP_DICT(key_of(index, k), MP_LIST(mp_i64(n), mp_i64(-n)),
					      mp_str("other"), mp_i64(index))));
		else
			STORM_CALL(mp_dict_set(
				dict, key_of(index, k), MP_LIST(mp_i64(n), mp_i64(-n))));
		ledger->entries[index][k].set = n;
	}
	storm_served_close(&served);
	(void)mp_proxy_close(queue);
	(void)mp_proxy_close(lock);
	(void)mp_proxy_close(counter);
}

static void check_sum(struct ledger *ledger)
{
	mp_proxy *lock = NULL;
	mp_proxy *counter = NULL;
	int64_t sum = 0;

	STORM_CALL(mp_manager_lock(manager, "lock", &lock));
	STORM_CALL(mp_manager_counter(manager, "counter", 0, &counter));
	use_lock(ledger, lock, counter, 0);
	storm_pair_finish(&ledger->pair);
	STORM_CALL(mp_counter_get(counter, &sum));
	STORM_CHECK(sum >= ledger->counted);
	STORM_IS(STORM_DUPLICATED, (uint64_t)(sum - ledger->counted) <= storm_board->ended);
	(void)mp_proxy_close(lock);
	(void)mp_proxy_close(counter);
}

/* What dead ones held has come back. */
static void check_served(struct ledger *ledger)
{
	struct storm_served served;
	mp_proxy *queue = NULL;

	STORM_CALL(storm_orders_open(manager, &queue));
	storm_orders_finish(&ledger->orders, queue);
	(void)mp_proxy_close(queue);

	STORM_CALL(storm_served_open(manager, &served));
	for (uint64_t i = 0; i < 4; i++)
		STORM_CALL(storm_served_step(&served, i));
	STORM_CHECK(mp_served_semaphore_value(served.semaphore) == STORM_SERVED_PERMITS);
	storm_served_close(&served);
}

static void finish_dict(void *memory)
{
	size_t length = 0;

	for (int i = 0; i < CLIENTS; i++)
		for (int k = 0; k < KEYS; k++)
			check_entry(memory, i, k);
	check_sum(memory);
	check_served(memory);
	STORM_CALL(mp_dict_len(dict, &length));
	STORM_CHECK(length <= CLIENTS * KEYS + 1);
	STORM_CALL(mp_dict_close(dict));
	STORM_CALL(mp_manager_close(manager));
	storm_spare(0);
}

const struct storm_capability storm_dict = {
	.name = "dict",
	.points = "manager.call. manager.connect ",
	.size = sizeof(struct ledger),
	.make = make_dict,
	.give = give_dict,
	.take = take_dict,
	.roles = {{"client", CLIENTS, false, run_client}},
	.finish = finish_dict,
};

/* --- daemons that die ------------------------------------------------------------------------------------------ */

/* The daemon is gone, or was not even there. */
static bool gone(int r)
{
	if (r == -EPIPE || r == -ECONNREFUSED || r == -ECONNRESET || r == -EOWNERDEAD)
		return true;
	STORM_CALL(r);
	return false;
}

struct other {
	mp_manager *manager;
	uint64_t random;
	_Atomic bool leave;
};

/* Somebody whom the first one has to wait for, and who waits for it. */
static void *use_too(void *argument)
{
	struct other *o = argument;
	struct storm_served served;

	bool lives = !gone(storm_served_open(o->manager, &served));
	while (lives && !o->leave)
		lives = !gone(storm_served_step(&served, storm_random(&o->random)));
	storm_served_close(&served);
	return NULL;
}

static void use_daemon(uint64_t random)
{
	struct other other = {.random = random};
	struct storm_served served;
	pthread_t thread;
	mp_manager *m = NULL;
	mp_dict *d = NULL;
	mp_proxy *lock = NULL;
	mp_proxy *counter = NULL;
	mp_obj value;

	if (gone(mp_manager_start(OPTIONS, &m)))
		return;
	if (gone(mp_manager_dict(m, NULL, &d))) {
		(void)mp_manager_close(m);
		return;
	}
	other.manager = m;
	STORM_CHECK(pthread_create(&thread, NULL, use_too, &other) == 0);
	bool locks = !gone(storm_served_open(m, &served)) &&
		     !gone(mp_manager_lock(m, NULL, &lock)) &&
		     !gone(mp_manager_counter(m, NULL, 0, &counter));
	for (int64_t i = 0; locks && i < CHANGES + (int64_t)(random % CHANGES); i++) {
		int64_t n = 0;
		if (gone(storm_served_step(&served, storm_random(&random))) ||
			gone(mp_served_lock_acquire(lock, STORM_TIMEOUT_MS, NULL)) ||
			gone(mp_counter_add(counter, 1, &n)) || gone(mp_served_lock_release(lock)))
			break;
		STORM_CHECK(n == i + 1);
		if (gone(mp_dict_set(d, mp_i64(i), mp_i64(i * i))))
			break;
		int r = mp_dict_get(d, mp_i64(i), &value);
		if (gone(r))
			break;
		STORM_CHECK(mp_obj_i64(&value) == i * i);
		mp_obj_free(&value);
	}
	other.leave = true;
	(void)pthread_join(thread, NULL);
	storm_served_close(&served);
	(void)mp_proxy_close(lock);
	(void)mp_proxy_close(counter);
	(void)mp_dict_close(d);
	(void)mp_manager_close(m);
}

static void run_owner(void *memory, int index, uint64_t random)
{
	(void)memory;
	(void)index;
	while (storm_blows())
		use_daemon(storm_random(&random));
}

static void make_managed(void *memory)
{
	(void)memory;
}

const struct storm_capability storm_managed = {
	.name = "managerd",
	.points = "manager. managerd. serve. ",
	.size = 1,
	.make = make_managed,
	.roles = {{"owner of daemons", OWNERS, false, run_owner}},
	.finish = make_managed,
};
