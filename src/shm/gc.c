/* SPDX-License-Identifier: MIT */
/* Named objects that nobody uses any more: looked for, told, removed. */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "shm/named.h"
#include "shm/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <mp/block.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *kind_name(uint32_t kind)
{
	return kind == MP__SEGMENT_BLOCK   ? "block"
	       : kind == MP__SEGMENT_LIST  ? "shared list"
	       : kind == MP__SEGMENT_QUEUE ? "queue"
					   : NULL;
}

static int64_t age_of(const struct mp__block_header *header)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age =
		(int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - header->created_ns / 1000000;
	return age > 0 ? age : 0;
}

/* 1 it is a leftover. What another program has put there is none of ours. */
static int look_at(const char *path, struct mp__block_header *header, struct stat *st)
{
	MP__AUTO_CLOSE int fd =
		mp__fd_above_std(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));

	return fd >= 0 && fstat(fd, st) == 0 && mp__named_is_leftover(fd, header) &&
	       kind_name(header->segment.kind) != NULL;
}

/* 1 it was a leftover, and told. */
static int visit(const char *file, uint64_t flags, mp_shm_function *function, void *data)
{
	char path[MP__NAMED_PATH_SIZE];
	char program[MP__BLOCK_PROGRAM_SIZE + 1] = "";
	struct mp__block_header header;
	struct stat st;

	if (snprintf(path, sizeof(path), MP__NAMED_DIR "%s", file) >= (int)sizeof(path) ||
		!look_at(path, &header, &st))
		return 0;
	memcpy(program, header.program, sizeof(header.program));
	int result = 0;
	if (flags & MP_SHM_REMOVE) {
		result = mp__named_reap(path);
		if (result == 0)
			return 0; /* somebody began to use it just now */
	}
	mp_shm_leftover leftover = {
		.name = file + sizeof(MP__NAMED_PREFIX) - 1,
		.kind = kind_name(header.segment.kind),
		.bytes = (uint64_t)st.st_blocks * 512,
		.age_ms = age_of(&header),
		.creator = header.creator,
		.program = program,
		.result = result > 0 ? 0 : result,
	};
	if (function)
		function(&leftover, data);
	return 1;
}

int mp_shm_gc(uint64_t flags, mp_shm_function *function, void *data)
{
	int n = 0;

	if (flags & ~MP_SHM_REMOVE)
		return mp_error_set(-EINVAL, "looking for leftovers: unknown flags 0x%llx",
			(unsigned long long)flags);
	int fd = mp__fd_above_std(open(MP__NAMED_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return mp__error_errno("looking into " MP__NAMED_DIR);
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return mp_error_set(-ENOMEM, "no memory to look into " MP__NAMED_DIR);
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strncmp(entry->d_name, MP__NAMED_PREFIX, sizeof(MP__NAMED_PREFIX) - 1) == 0)
			n += visit(entry->d_name, flags, function, data);
	}
	closedir(dir);
	return n;
}
