/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/names.h"

#include "base/cleanup.h"
#include "base/deadline.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

/* As with slabs, every change is one store: a child that was forked meanwhile sees before or after. */
static struct mp__fork_lock lock;
static struct mp_block *names;

bool mp__names_goes_with_users(const mp_block *block)
{
	return block->name && !block->plain && !block->persist;
}

void mp__names_add(mp_block *block)
{
	if (!mp__names_goes_with_users(block))
		return;
	(void)mp__fork_lock_take(&lock, MP__DEADLINE_NEVER);
	block->next = names;
	names = block;
	mp__fork_lock_release(&lock);
}

void mp__names_drop(const mp_block *block)
{
	(void)mp__fork_lock_take(&lock, MP__DEADLINE_NEVER);
	for (struct mp_block **at = &names; *at; at = &(*at)->next) {
		if (*at == block) {
			*at = block->next;
			break;
		}
	}
	mp__fork_lock_release(&lock);
}

/*
 * A mapping is a user like a descriptor is. Other threads may still work in this one: it is replaced
 * in place by a mapping of the same memory that is none. False: that cannot be had.
 */
static bool stop_using(struct mp__segment *seg)
{
	char path[32];
	int prot = seg->readonly ? PROT_READ : PROT_READ | PROT_WRITE;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", seg->fd);
	MP__AUTO_CLOSE int again = open(path, (seg->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (again < 0 || mmap(seg->header, seg->mapped, prot,
				 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, again, 0) == MAP_FAILED)
		return false;
	close(seg->fd);
	seg->fd = -1;
	return true;
}

void mp__names_leave(void)
{
	(void)mp__fork_lock_take(&lock, MP__DEADLINE_NEVER);
	for (struct mp_block *b = names; b; b = b->next) {
		if (b->seg.fd >= 0 && stop_using(&b->seg))
			mp__named_reap(b->path);
	}
	mp__fork_lock_release(&lock);
}

__attribute__((destructor)) static void leave_at_exit(void)
{
	mp__names_leave();
}
