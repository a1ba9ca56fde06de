/* SPDX-License-Identifier: MIT */
/*
 * libc.h - what glibc has and other libcs of Linux have not.
 *
 * libmp is written for glibc. Where musl says the same thing in another way, this is the one place
 * that knows; packaging/compile-with-musl shows that nothing else is needed.
 */
#ifndef BASE_LIBC_H
#define BASE_LIBC_H

#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <sys/single_threaded.h>
#else
/* A static string there; in glibc strerror() may translate into a buffer that threads share. */
#define strerrordesc_np(number) strerror(number)
#define sigdescr_np(number) strsignal(number)
#define close_range(first, last, flags) syscall(SYS_close_range, first, last, flags)
#endif

#ifndef TEMP_FAILURE_RETRY
#define TEMP_FAILURE_RETRY(call)                            \
	({                                                  \
		long mp__result;                            \
		do                                          \
			mp__result = (long)(call);          \
		while (mp__result == -1 && errno == EINTR); \
		mp__result;                                 \
	})
#endif

#ifndef W_EXITCODE
#define W_EXITCODE(code, signal) ((code) << 8 | (signal))
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* No other thread than this one; where the libc does not tell, that is not known. */
static inline bool mp__single_threaded(void)
{
#ifdef __GLIBC__
	return __libc_single_threaded;
#else
	return false;
#endif
}

/*
 * Have the child that posix_spawn() starts close all descriptors from `first` on: 0 or an errno.
 * Without help of the libc it is those that are open now; what other threads open meanwhile has to be
 * close-on-exec.
 */
int mp__spawn_close_from(posix_spawn_file_actions_t *actions, int first);

#endif
