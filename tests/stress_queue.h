/* SPDX-License-Identifier: MIT */
#ifndef TESTS_STRESS_QUEUE_H
#define TESTS_STRESS_QUEUE_H

void stress_queue(void);
/* Ordered and leased ones (stress_store.c). */
void stress_store(void);

#endif
