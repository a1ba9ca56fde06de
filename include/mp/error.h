/* SPDX-License-Identifier: MIT */
/*
 * mp/error.h - results.
 *
 * Every function that can fail returns int: >= 0 is success, a negative errno is failure. Outputs
 * come last (ret_...) and are written on success only. errno itself is not part of the contract.
 */
#ifndef MP_ERROR_H
#define MP_ERROR_H

#include <errno.h> /* the numbers that results are made of */
#include <mp/cdefs.h>

MP__BEGIN_DECLS

/*
 * Success with news: the lock is yours, but its last holder died while holding it. Look at the
 * data that it guards, repair it, release as usual.
 */
#define MP_OWNER_DIED 1

/*
 * What a result means, in the words of libmp. `result` is what a function returned, or a positive
 * MP_ code. Never NULL; the string is static. Any thread, async-signal-safe.
 */
const char *mp_strerror(int result);

/*
 * One sentence about the last failure of a libmp call in this thread: what was attempted on what,
 * and why it failed. "" when nothing failed yet. Valid until the next libmp call in this thread.
 */
const char *mp_error_detail(void);

/*
 * For task functions and targets: note the sentence that goes with the error you return, and get
 * that error back, so that `return mp_error_set(-EINVAL, "line %d: no date", n)` says both. The
 * sentence reaches the caller of mp_future_result() unchanged. It is cut at 255 bytes.
 */
int mp_error_set(int result, const char *format, ...) MP__PRINTF(2, 3);

MP__END_DECLS

#endif
