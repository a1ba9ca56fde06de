/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/names.h"

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/error.h"
#include "base/fork_lock.h"
#include "base/testpoint.h"

#include <fcntl.h>
#include <mp/block.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define NAME_TRIES 100

/* As with slabs, every change is one store: a child that was forked meanwhile sees before or after. */
static struct mp__fork_lock lock;
static struct mp__name *names;

/* --- one name ------------------------------------------------------------------------------------ */

int mp__name_set(struct mp__name *name, const char *text)
{
	int r = mp__named_path(text, name->path, NULL);

	if (r == 0)
		name->text = name->path + sizeof(MP__NAMED_DIR MP__NAMED_PREFIX) - 1;
	return r;
}

int mp__name_import(struct mp__name *name, const void *text, size_t length)
{
	char copy[MP_BLOCK_NAME_MAX + 1];

	if (length > MP_BLOCK_NAME_MAX)
		return mp_error_set(-EBADMSG, "a name of %zu bytes came with a handle", length);
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (strlen(copy) != length || copy[0] == '/' || mp__name_set(name, copy) < 0)
		return mp_error_set(-EBADMSG, "what came with a handle is no name");
	return 0;
}

static int link_made_up(struct mp__name *name, int fd)
{
	for (int tries = 0;; tries++) {
		char text[32];
		uint32_t number;
		if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
			number = (uint32_t)(mp__now_ns() ^ getpid());
		snprintf(text, sizeof(text), "mp-%08x", number);
		int r = mp__name_set(name, text);
		if (r == 0)
			r = mp__named_link(fd, name->path);
		if (r != -EEXIST || tries == NAME_TRIES)
			return r;
	}
}

int mp__name_link(struct mp__name *name, int fd)
{
	return name->text ? mp__named_link(fd, name->path) : link_made_up(name, fd);
}

/* --- all of this process -------------------------------------------------------------------------- */

void mp__name_add(struct mp__name *name, struct mp__segment *segment)
{
	if (!name->text || !name->goes)
		return;
	name->segment = segment;
	(void)mp__fork_lock_take(&lock, MP__DEADLINE_NEVER);
	name->next = names;
	names = name;
	mp__fork_lock_release(&lock);
}

static void drop(const struct mp__name *name)
{
	(void)mp__fork_lock_take(&lock, MP__DEADLINE_NEVER);
	for (struct mp__name **at = &names; *at; at = &(*at)->next) {
		if (*at == name) {
			*at = name->next;
			break;
		}
	}
	mp__fork_lock_release(&lock);
}

void mp__name_close(struct mp__name *name, struct mp__segment *segment)
{
	bool goes = name->text && name->goes;

	if (goes)
		drop(name);
	mp__segment_close(segment);
	MP__TEST_POINT("block.closed");
	if (goes)
		mp__named_reap(name->path);
}

/*
 * A mapping is a user like a descriptor is. Other threads may still work with both: each is replaced
 * in place by one of the same memory that is no user. False: that cannot be had.
 */
static bool stop_using(const struct mp__segment *seg)
{
	char path[32];
	int prot = seg->readonly ? PROT_READ : PROT_READ | PROT_WRITE;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", seg->fd);
	MP__AUTO_CLOSE int again = open(path, (seg->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	return again >= 0 &&
	       mmap(seg->header, seg->mapped, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, again,
		       0) != MAP_FAILED &&
	       dup3(again, seg->fd, O_CLOEXEC) >= 0;
}

void mp__names_leave(void)
{
	(void)mp__fork_lock_take(&lock, MP__DEADLINE_NEVER);
	for (const struct mp__name *n = names; n; n = n->next) {
		if (stop_using(n->segment))
			mp__named_reap(n->path);
	}
	names = NULL;
	mp__fork_lock_release(&lock);
}

__attribute__((destructor)) static void leave_at_exit(void)
{
	mp__names_leave();
}
