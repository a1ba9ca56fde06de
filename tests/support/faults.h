/* SPDX-License-Identifier: MIT */
/*
 * tests/support/faults.h - every way in which the calls below one of ours can fail, one at a time.
 *
 * A case makes its objects, makes one call or several, and closes what there is. t_faults() first
 * counts what these ask of libc and the kernel; then, in a process of its own each, number 0, 1, 2,
 * ... of each of these fails with each plausible errno. The result must be a success, or an error
 * that is documented by the page of the function below which the failure was, or of one called after
 * it; after it the same works on the same objects; afterwards there are as many descriptors, mappings
 * and children as without any failure.
 *
 * Which functions of libmp have been there is not said by the tests but seen: calls.h, made of
 * libmp.map, lets each call say its name first. What was seen goes to PROGRAM.calls, one line each:
 *
 *	FUNCTION CALLS-THAT-COULD-FAIL FAILURES SUITE/NAME
 *
 * from which tests/faults.sh tells whether a function is missing. A function below which nothing can
 * fail stands in a QUIET test: there it is called, and seen to ask for nothing.
 */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include "tests/support/fail.h"
#include "tests/support/support.h"

#include <mp.h>

struct t_fault_case {
	const char *name;
	void (*setup)(void); /* T_CHECK only; may be NULL */
	int (*call)(void);
	void (*end)(void);  /* after a success, or one that followed a failure; may be NULL */
	int (*again)(void); /* what must work after a failure; NULL: the same call */
};

void t_faults(const struct t_fault_case *c);
/* The same call again and again, while a signal without SA_RESTART arrives ten thousand times a
 * second. */
void t_interruptions(const struct t_fault_case *c);
/* Nothing below these can fail, for they ask for nothing. */
void t_quiet(const struct t_fault_case *c);

/* FAULTS(suite, name, setup, call, end, again): two tests of one case. */
#define FAULTS(suite, id, ...)                                                              \
	static const struct t_fault_case case_##id = {.name = #suite "/" #id, __VA_ARGS__}; \
	Test(suite, id)                                                                     \
	{                                                                                   \
		t_faults(&case_##id);                                                       \
	}                                                                                   \
	Test(suite, id##_interrupted)                                                       \
	{                                                                                   \
		t_interruptions(&case_##id);                                                \
	}

#define QUIET(suite, id, ...)                                                               \
	static const struct t_fault_case case_##id = {.name = #suite "/" #id, __VA_ARGS__}; \
	Test(suite, id)                                                                     \
	{                                                                                   \
		t_quiet(&case_##id);                                                        \
	}

/* Many failures one after the other take their time. */
#define FAULTS_SUITE(name) \
	TestSuite(name, .init = t_begin, .fini = t_end, .timeout = 4 * T_TIMEOUT_S)

/* One of several calls of a case. */
#define T_STEP(call)                \
	do {                        \
		int t_r = (call);   \
		if (t_r < 0)        \
			return t_r; \
	} while (0)

#ifndef T_WITHOUT_NAMES
#include "tests/calls.h"
#endif

#endif
