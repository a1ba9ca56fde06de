/* SPDX-License-Identifier: MIT */
/*
 * pool/group.h - limits of whole workers, by control groups where the system lets us make some.
 *
 * A worker gets a group of its own (cgroup version 2) beside ours, or further up: in the nearest
 * directory where groups with a limit of memory and CPU may be made, which is so where a service
 * manager has delegated one. The owner makes the group and opens its list of processes, the worker
 * writes itself into it. The group outlives a worker for the next one in its place.
 *
 * Nothing but the kernel's files says what there is: a group that an owner who was killed has left is
 * empty, and removed by the next one who comes by.
 */
#ifndef MP_POOL_GROUP_H
#define MP_POOL_GROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct mp__group {
	char path[PATH_MAX]; /* "": none */
	uint64_t killed;     /* processes that the kernel has ended in it for want of memory */
};

/*
 * The directory in which groups with these limits can be made, for a process of that membership
 * (/proc/self/cgroup) where groups are mounted at `root`: 0, or -ENOTSUP there is none.
 */
int mp__group_find(const char *membership, const char *root, bool memory, bool cpu,
	char ret_directory[PATH_MAX]);

/*
 * Make one: a descriptor into which a process writes "0" to be in it. memory in bytes, cpu in hundredths
 * of a CPU; 0: no limit. -errno, and nothing is left.
 */
int mp__group_make(const char *directory, unsigned pool, unsigned worker, uint64_t memory, int cpu,
	struct mp__group *ret_group);
/* Has the kernel ended somebody in it since we asked last? */
bool mp__group_has_killed(struct mp__group *group);
/* Whoever is still in it is killed. */
void mp__group_remove(struct mp__group *group);
/* Remove what owners have left that are no more. */
void mp__group_sweep(const char *directory);

/* In the worker, before its first task. */
int mp__group_enter(int fd);
/* Where there are no groups: what the calling process and its children may add to their memory, each. */
int mp__group_limit_self(uint64_t memory);

#endif
