/* SPDX-License-Identifier: MIT */
/*
 * base/error.h - results and their sentence.
 *
 * Inside the library `return mp_error_set(-EINVAL, "...")` is how a failure starts; whoever only
 * forwards a result leaves the sentence as it is. The sentence is what mp_error_detail() gives.
 */
#ifndef MP_BASE_ERROR_H
#define MP_BASE_ERROR_H

#include <errno.h>
#include <mp/error.h>

#define MP__DETAIL_SIZE 256

/* "WHAT: strerror" with -errno as the result, for a system call that just failed. */
int mp__error_errno(const char *what);

#endif
