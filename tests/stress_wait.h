/* SPDX-License-Identifier: MIT */
#ifndef TESTS_STRESS_WAIT_H
#define TESTS_STRESS_WAIT_H

void stress_wait(void);

#endif
