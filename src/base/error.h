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
#include <string.h>
#include "base/libc.h"

#define MP__DETAIL_SIZE 256

/* Failures are rare: what leads to one is kept out of the way of what does not. */
int(mp_error_set)(int result, const char *format, ...) __attribute__((cold));

/* The same function; but compilers and analysers see what it returns. */
#define mp_error_set(result, ...)                        \
	({                                               \
		int mp__result = (result);               \
		(mp_error_set)(mp__result, __VA_ARGS__); \
		mp__result;                              \
	})

/* No sentence: what comes is not to be blamed for what was. */
void mp__error_clear(void);

/*
 * "WHAT: strerror" with -errno as the result, for a system call that just failed. ENOBUFS is how
 * sockets say that the kernel has no memory: -ENOMEM.
 */
static inline int mp__error_errno(const char *what)
{
	int result = errno == ENOBUFS ? -ENOMEM : -errno;

	if (result >= 0)
		result = -EIO;
	return mp_error_set(result, "%s: %s", what, strerrordesc_np(-result));
}

#endif
