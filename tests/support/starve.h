/* SPDX-License-Identifier: MIT */
/*
 * tests/support/starve.h - let every allocation of a call fail once.
 *
 * For programs that link starve.c and are linked with
 *	--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
 * which puts these in place of libc's in all of libmp that is linked there.
 */
#ifndef TESTS_SUPPORT_STARVE_H
#define TESTS_SUPPORT_STARVE_H

#include "tests/support/support.h"

/* From now on `n` allocations of this process succeed and all others fail; below 0 all succeed. */
void t_starve(int n);

/*
 * Run `call` with no allocation at all, with one, with two, ... until they are enough: until then
 * it gives -ENOMEM and leaves no descriptor. Then `release`.
 */
#define T_EACH_FAILS(call, release)                                                         \
	do {                                                                                \
		int code = -ENOMEM;                                                         \
		int n = 0;                                                                  \
		for (; code == -ENOMEM; n++) {                                              \
			int fds = t_count_fds();                                            \
			t_starve(n);                                                        \
			code = (call);                                                      \
			t_starve(-1);                                                       \
			cr_assert(code >= 0 || t_count_fds() == fds, "%d leaves an fd", n); \
		}                                                                           \
		cr_assert(code >= 0, #call " gave %d (%s)", code, mp_error_detail());       \
		release;                                                                    \
		cr_assert_gt(n, 1, #call " allocates nothing");                             \
	} while (0)

#endif
