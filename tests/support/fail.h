/* SPDX-License-Identifier: MIT */
/*
 * tests/support/fail.h - let the n-th malloc, mmap, fork, sendmsg, ... of a call fail.
 *
 * For programs that link fail.c and are linked with $(fail_ldflags) (Makefile.am), which put these
 * in place of libc's in all of libmp that is linked there. One call fails, once, with one errno, in
 * the process that asked for it; everything before and after it works. A short read or write moves
 * half of what was asked for and is no error at all: T_SHORT.
 */
#ifndef TESTS_SUPPORT_FAIL_H
#define TESTS_SUPPORT_FAIL_H

#include <stdbool.h>
#include <stddef.h>

#define T_SHORT (-1)

/* What can fail, and how: `call` counts from 0 to t_n_fail_calls - 1. */
struct t_fail_call {
	const char *name;
	int errors[6]; /* plausible ones, ended by 0; T_SHORT */
};
extern const struct t_fail_call t_fail_calls[];
extern const size_t t_n_fail_calls;

/* A public function of libmp, as the tests call it. */
struct t_fail_function {
	const char *name; /* NULL: what comes before the first one */
	unsigned asked;   /* so many calls that could have failed, until the next one was called */
	bool hit;         /* one of these has failed; the name of one only */
	bool after;       /* it was called after that */
};
#define T_FAIL_FUNCTIONS 64

/* Between begin and end: this function of libmp is called now. */
void t_fail_in(const char *function);
const struct t_fail_function *t_fail_functions(size_t *ret_n);

/* Allocations of this process that were made and not freed, at all times. */
long t_fail_live(void);

/* From now on count the calls of this process, and let number `at` of `call` fail with `error`.
 * `error` 0: just count. */
void t_fail_begin(size_t call, int error, unsigned at);
/* No more. Has it failed? */
bool t_fail_end(void);
/* Every one fails with that, and none is counted: as on a kernel that has no such call. 0: no more. */
void t_fail_always(size_t call, int error);
/* How many there were between begin and end. */
unsigned t_fail_counted(size_t call);

#endif
