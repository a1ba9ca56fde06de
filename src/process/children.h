/* SPDX-License-Identifier: MIT */
/*
 * process/children.h - all children of this process that run.
 *
 * A list through the handles themselves: one is on it from the moment it was started until its end is
 * known. Whoever goes through the list takes a reference to each handle first, and so needs no lock
 * while it waits, and no handle can vanish meanwhile. A forked child begins with an empty list.
 */
#ifndef MP_PROCESS_CHILDREN_H
#define MP_PROCESS_CHILDREN_H

#include <stddef.h>

struct mp_process;

/* Does nothing for unlisted processes. */
void mp__children_add(struct mp_process *process);
void mp__children_remove(struct mp_process *process);

/*
 * Before a start: collect some of those that have ended, so that a program that never joins gathers no
 * zombies. A few are looked at each time, in turn, by one system call: those that run cannot
 * make starts slow, and those that have ended remain fewer than a small part of them.
 */
void mp__children_reap(void);

/*
 * Those on the list, oldest first, each with a reference that mp__children_drop() takes back together
 * with the array. -ENOMEM.
 */
int mp__children_take(struct mp_process ***ret_children, size_t *ret_n);
void mp__children_drop(struct mp_process **children, size_t n);

#endif
