/* SPDX-License-Identifier: MIT */
/*
 * base/random.h - random numbers of the kernel, all that were asked for.
 *
 * A signal may end getrandom(2) while a machine that has just been started gathers its first ones.
 */
#ifndef MP_BASE_RANDOM_H
#define MP_BASE_RANDOM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/types.h>

/* 0, or a negative errno without a sentence. */
static inline int mp__random(void *out, size_t size)
{
	uint8_t *to = out;

	while (size > 0) {
		ssize_t n = getrandom(to, size, 0);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			to += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

#endif
