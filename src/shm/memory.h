/* SPDX-License-Identifier: MIT */
/*
 * shm/memory.h - files of shared memory: allocated when they are made, so that a full memory is
 * -ENOSPC there and then, and never SIGBUS in who uses it; sealed, so that nobody takes it away.
 */
#ifndef MP_SHM_MEMORY_H
#define MP_SHM_MEMORY_H

#include <stdint.h>

/*
 * Back these bytes of the file with memory, and let it be so long at least. -ENOSPC no memory, or
 * RLIMIT_FSIZE does not allow it, or more than the machine has; -EINTR is gone about here: in
 * pieces, so that a program full of timers gets there too. `what` is for the sentence: "a pool".
 */
int mp__memory_allocate(int fd, uint64_t from, uint64_t size, const char *what);

/*
 * A memfd of `size` bytes whose first `allocated` ones have memory, with these seals; memfd_flags
 * are further ones of memfd_create(2). The descriptor; -ENOSPC, -EMFILE, -ENFILE, -ENOMEM.
 */
int mp__memory_new(const char *name, unsigned int memfd_flags, uint64_t size, uint64_t allocated,
	int seals, const char *what);

#endif
