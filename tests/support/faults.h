/* SPDX-License-Identifier: MIT */
/*
 * tests/support/faults.h - every way in which the calls below one of ours can fail, one at a time.
 *
 * A case makes its objects, makes the call, and closes what there is. t_faults() first counts what
 * the call asks of libc and the kernel; then, in a process of its own each, number 0, 1, 2, ... of
 * each of these fails with each plausible errno. The result must be a success, or an error that the
 * page documents, after which the same call on the same objects works; afterwards there are as many
 * descriptors, mappings and children as without any failure.
 */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include "tests/support/support.h"

struct t_fault_case {
	const char *pages;   /* the pages that list the errors: "mp_queue mp_obj", all of .3 */
	void (*setup)(void); /* T_CHECK only; may be NULL */
	int (*call)(void);
	void (*end)(void);  /* after a success, or one that followed a failure; may be NULL */
	int (*again)(void); /* what must work after a failure; NULL: the same call */
};

void t_faults(const struct t_fault_case *c);
/* The same call again and again, while a signal without SA_RESTART arrives ten thousand times a
 * second. */
void t_interruptions(const struct t_fault_case *c);

/* Two tests of one case. */
#define FAULTS(suite, name, ...)                                      \
	static const struct t_fault_case case_##name = {__VA_ARGS__}; \
	Test(suite, name)                                             \
	{                                                             \
		t_faults(&case_##name);                               \
	}                                                             \
	Test(suite, name##_interrupted)                               \
	{                                                             \
		t_interruptions(&case_##name);                        \
	}

#endif
