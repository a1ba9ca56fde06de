/* SPDX-License-Identifier: MIT */
/* tests/soak_use.h - what a process has for itself: for programs that look whether it grows. */
#ifndef TESTS_SOAK_USE_H
#define TESTS_SOAK_USE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct soak_use {
	uint64_t rss; /* bytes of memory that is its own */
	uint64_t fds;
};

/* What malloc may keep or not from one look to the next; a sanitizer's is its own affair. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SOAK_RSS_ROOM (UINT64_C(1) << 30)
#else
#define SOAK_RSS_ROOM (UINT64_C(4) << 20)
#endif
/* Who waits for several things, or rings for who does, has some for a moment. */
#define SOAK_FDS_ROOM 8

/* False: it has ended. */
bool soak_use_of(pid_t pid, struct soak_use *ret_use);

#endif
