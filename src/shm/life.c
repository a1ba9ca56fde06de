/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/life.h"

#include "base/cleanup.h"
#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#define PAGE 4096

/* Behind all that files have: a byte for each stamp, whose marks are left out. */
static struct flock lock_of(mp__stamp stamp, short type)
{
	uint64_t number = (stamp >> 32) << 30 | (stamp & (MP__STAMP_MARK0 - 1));

	return (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(UINT64_C(1) << 62 | number),
		.l_len = 1,
	};
}

static void *show(int fd, mp__stamp stamp)
{
	struct flock l = lock_of(stamp, F_RDLCK); /* each handle of this process has one */
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MP__AUTO_CLOSE int again = open(path, O_RDONLY | O_CLOEXEC);
	if (again < 0 || fcntl(again, F_OFD_SETLK, &l) < 0)
		return NULL;
	void *page = mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, again, 0);
	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, PAGE, MADV_DONTFORK) < 0) {
		munmap(page, PAGE);
		return NULL;
	}
	return page;
}

mp__stamp mp__life_begin(struct mp__life *life, int fd)
{
	int saved_errno = errno;
	mp__stamp stamp = mp__stamp_process();
	/* What a parent has mapped is not here. */
	void *page = show(fd, stamp);

	life->page = page;
	life->stamp = stamp | (page ? MP__LIFE_SHOWN : 0);
	life->origin = mp__origin_here();
	errno = saved_errno;
	return life->stamp;
}

void mp__life_end(struct mp__life *life)
{
	if (life->page && life->origin == mp__origin_here())
		munmap(life->page, PAGE);
	*life = (struct mp__life){0};
}

bool mp__life_can_be_seen(mp__stamp stamp)
{
	return mp__stamp_is_of_here(stamp) || (stamp & MP__LIFE_SHOWN);
}

bool mp__life_ended(int fd, mp__stamp stamp)
{
	struct flock l = lock_of(stamp, F_WRLCK);

	if (mp__stamp_is_of_here(stamp) || !(stamp & MP__LIFE_SHOWN))
		return mp__stamp_process_dead(stamp);
	int saved_errno = errno;
	bool ended = fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type == F_UNLCK;
	errno = saved_errno;
	return ended;
}
