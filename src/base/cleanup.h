/* SPDX-License-Identifier: MIT */
/*
 * base/cleanup.h - resources that go when their variable leaves scope.
 *
 *	MP__AUTO_CLOSE int fd = open(...);
 *	...
 *	handle->fd = MP__TAKE_FD(fd);	  // given away: nothing is closed here any more
 */
#ifndef MP_BASE_CLEANUP_H
#define MP_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void mp__cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void mp__cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define MP__AUTO_FREE __attribute__((cleanup(mp__cleanup_free)))
#define MP__AUTO_CLOSE __attribute__((cleanup(mp__cleanup_close)))
#define MP__AUTO(function) __attribute__((cleanup(function)))

#define MP__TAKE_FD(fd)               \
	({                            \
		int mp__taken = (fd); \
		(fd) = -1;            \
		mp__taken;            \
	})
#define MP__TAKE_PTR(p)                        \
	({                                     \
		__typeof__(p) mp__taken = (p); \
		(p) = NULL;                    \
		mp__taken;                     \
	})

#define MP__COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
