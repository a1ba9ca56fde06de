/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/storm/orders.h"

#define SHORT_MS 5
#define ROOM 4

enum { UNKNOWN, PUT, REFUSED };

int storm_orders_open(mp_manager *manager, mp_proxy **ret_queue)
{
	return mp_manager_queue(manager, "orders", MP_QUEUE_OPTIONS(.maxsize = ROOM), ret_queue);
}

static void put(struct storm_orders *orders, mp_proxy *queue, int index)
{
	if (orders->of[index].tried >= STORM_ORDERS_MAX - 1)
		return;
	int64_t n = ++orders->of[index].tried;
	int r = mp_served_queue_put(queue, MP_LIST(mp_i64(index), mp_i64(n)), SHORT_MS);
	if (r == -ETIMEDOUT) {
		orders->of[index].state[n] = REFUSED;
		return;
	}
	STORM_CALL(r);
	orders->of[index].state[n] = PUT;
}

/* -ETIMEDOUT, -EAGAIN: there is none. */
static int get(struct storm_orders *orders, mp_proxy *queue, int timeout_ms, int64_t *latest)
{
	mp_obj order;
	int r = mp_served_queue_get(queue, timeout_ms, &order);

	if (r == -ETIMEDOUT || r == -EAGAIN)
		return r;
	STORM_CALL(r);
	int64_t index = mp_obj_i64(mp_obj_at(&order, 0));
	int64_t n = mp_obj_i64(mp_obj_at(&order, 1));
	mp_obj_free(&order);
	STORM_CHECK(index >= 0 && index < STORM_ORDERS_CLIENTS);
	STORM_CHECK(n > 0 && n <= orders->of[index].tried);
	STORM_CHECK(orders->of[index].state[n] != REFUSED);
	STORM_IS(STORM_DUPLICATED, atomic_exchange(&orders->of[index].got[n], 1) == 0);
	STORM_CHECK(n > latest[index]);
	latest[index] = n;
	return 0;
}

void storm_orders_step(
	struct storm_orders *orders, mp_proxy *queue, int index, int64_t *latest, uint64_t random)
{
	int64_t began = storm_now_ms();

	if (random % 2)
		put(orders, queue, index);
	else
		(void)get(orders, queue, SHORT_MS, latest);
	STORM_IN_TIME(began, SHORT_MS);
}

void storm_orders_finish(struct storm_orders *orders, mp_proxy *queue)
{
	int64_t latest[STORM_ORDERS_CLIENTS] = {0};
	uint64_t lost = 0;

	while (get(orders, queue, MP_NOWAIT, latest) == 0)
		;
	for (int i = 0; i < STORM_ORDERS_CLIENTS; i++)
		for (int64_t n = 1; n <= orders->of[i].tried; n++)
			lost += orders->of[i].state[n] == PUT && !orders->of[i].got[n];
	STORM_CHECK(lost <= storm_board->ended);
}
