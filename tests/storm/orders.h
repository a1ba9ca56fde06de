/* SPDX-License-Identifier: MIT */
/*
 * tests/storm/orders.h - a queue of a managerd, small and bounded, so that both ends of it wait.
 *
 * Each client puts numbers that only grow, and gets those of all. What was acknowledged is got once, in
 * order, or was lost with somebody who died with it in hand; what was refused is never got.
 */
#ifndef TESTS_STORM_ORDERS_H
#define TESTS_STORM_ORDERS_H

#include "tests/storm/storm.h"

#define STORM_ORDERS_CLIENTS 3
#define STORM_ORDERS_MAX 8192

/* In the memory of the storm. */
struct storm_orders {
	struct {
		_Atomic int64_t tried; /* the last number that was sent */
		_Atomic uint8_t state[STORM_ORDERS_MAX];
		_Atomic uint8_t got[STORM_ORDERS_MAX];
	} of[STORM_ORDERS_CLIENTS];
};

/* Put one, or get one. `latest`: of each client, what this process has got; zeroed at first. */
void storm_orders_step(
	struct storm_orders *orders, mp_proxy *queue, int index, int64_t *latest, uint64_t random);
/* Nobody else is there any more: get what is left, and count. */
void storm_orders_finish(struct storm_orders *orders, mp_proxy *queue);

int storm_orders_open(mp_manager *manager, mp_proxy **ret_queue);

#endif
