/* SPDX-License-Identifier: MIT */
#ifndef TESTS_STRESS_QUEUE_H
#define TESTS_STRESS_QUEUE_H

void stress_queue(void);

#endif
