/* SPDX-License-Identifier: MIT */
/* tests/stress_check.h - what must be so in tests/stress, which is no test of Criterion's. */
#ifndef TESTS_STRESS_CHECK_H
#define TESTS_STRESS_CHECK_H

#include <mp/error.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                    \
	do {                                                                                \
		if (!(condition)) {                                                         \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, \
				mp_error_detail());                                         \
			exit(1);                                                            \
		}                                                                           \
	} while (0)

#endif
