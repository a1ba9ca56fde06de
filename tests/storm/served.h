/* SPDX-License-Identifier: MIT */
/* tests/storm/served.h - what a managerd serves to wait with, in the hands of several. */
#ifndef TESTS_STORM_SERVED_H
#define TESTS_STORM_SERVED_H

#include "tests/storm/storm.h"

#define STORM_SERVED_PERMITS 1

struct storm_served {
	mp_proxy *event;
	mp_proxy *semaphore;
	mp_proxy *condition;
	mp_proxy *barrier;
};

/* The error of the first that cannot be opened. */
int storm_served_open(mp_manager *manager, struct storm_served *served);
void storm_served_close(struct storm_served *served);
/* Use one of them: 0, or an error that no other user of it can be the cause of. */
int storm_served_step(struct storm_served *served, uint64_t random);

#endif
