/* SPDX-License-Identifier: MIT */
#ifndef TESTS_STRESS_SHARED_H
#define TESTS_STRESS_SHARED_H

void stress_shared(void);
void stress_pools(void);

#endif
