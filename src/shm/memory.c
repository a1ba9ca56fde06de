/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/memory.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

/* A signal makes the kernel give back what one call has allocated: pieces make sure of progress. */
#define PIECE (UINT64_C(16) << 20)

/*
 * The file system of memfds has no limit: asked for more than there is, the kernel would rather
 * kill processes than say no.
 */
static int check_sense(uint64_t from, uint64_t size, const char *what)
{
	uint64_t limit = mp__file_size_limit();
	struct sysinfo info;

	if (from + size > limit)
		return mp_error_set(-ENOSPC, "%s needs %llu bytes, RLIMIT_FSIZE allows %llu", what,
			(unsigned long long)(from + size), (unsigned long long)limit);
	if (sysinfo(&info) < 0)
		return 0;
	uint64_t machine = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
	if (size > machine)
		return mp_error_set(-ENOSPC, "%s needs %llu bytes, this machine has %llu", what,
			(unsigned long long)size, (unsigned long long)machine);
	return 0;
}

int mp__memory_allocate(int fd, uint64_t from, uint64_t size, const char *what)
{
	int r = check_sense(from, size, what);

	for (uint64_t done = 0; r == 0 && done < size;) {
		uint64_t piece = size - done < PIECE ? size - done : PIECE;
		if (fallocate(fd, 0, (off_t)(from + done), (off_t)piece) == 0)
			done += piece;
		else if (errno != EINTR)
			r = mp_error_set(-errno,
				"allocating %llu bytes of shared memory for %s: %s",
				(unsigned long long)size, what, strerrordesc_np(errno));
	}
	return r;
}

/* Files of huge pages have whole ones. */
static uint64_t whole_pages(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_blksize <= 0)
		return size;
	uint64_t page = (uint64_t)st.st_blksize;
	return (size + page - 1) / page * page;
}

int mp__memory_new(const char *name, unsigned int memfd_flags, uint64_t size, uint64_t allocated,
	int seals, const char *what)
{
	MP__AUTO_CLOSE int fd =
		mp__fd_above_std(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | memfd_flags));

	if (fd < 0)
		return mp__error_errno("making shared memory");
	if (memfd_flags & MFD_HUGETLB)
		size = whole_pages(fd, size);
	if (size > mp__file_size_limit())
		return mp_error_set(-ENOSPC, "%s needs %llu bytes, RLIMIT_FSIZE allows %llu", what,
			(unsigned long long)size, (unsigned long long)mp__file_size_limit());
	if (TEMP_FAILURE_RETRY(ftruncate(fd, (off_t)size)) < 0)
		return mp__error_errno("sizing shared memory");
	if (memfd_flags & MFD_HUGETLB)
		allocated = size; /* it was rounded up */
	int r = mp__memory_allocate(fd, 0, allocated, what);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, seals) < 0)
		return mp__error_errno("sealing shared memory");
	return MP__TAKE_FD(fd);
}
