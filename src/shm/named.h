/* SPDX-License-Identifier: MIT */
/*
 * shm/named.h - names for segments: files in /dev/shm that go with their last user.
 *
 * The key idea: the kernel keeps count of the users. Each has a read lock on the file, of the kind
 * that belongs to the open file (F_OFD_SETLK): forked children and receivers of the descriptor share
 * it, and it goes when the last of them has closed or died, whatever killed it and in whichever PID
 * namespace. No table of users could be as right: nobody tells it of a fork, and who may only read
 * cannot write into it. Whether somebody uses a file is asked with F_OFD_GETLK, which takes nothing.
 *
 * A file without users is a leftover (unless it says that it persists), and is removed by whoever
 * comes across it: the last user when it closes, who opens or creates that name next, gc.
 *
 * Between "nobody uses it" and the removal nobody may begin to. For this there is the door, an
 * exclusive flock(2) of the same file, held for an instant by who opens and by who removes:
 *
 *	open	open the file, door, is it still linked?, is it used or does it persist?, read lock,
 *		leave the door
 *	remove	open the file, door, is it still what the name leads to?, unused?, unlink
 *
 * Creation needs no door: the file is made without a name (O_TMPFILE), filled, published, locked,
 * and then gets its name by link(2), which fails if there is one. So names lead to whole segments
 * only, and a creator that dies half-way leaves nothing.
 *
 * Death of the opener anywhere: door and lock go with it. Of the remover: the same, and the leftover
 * is still there or is gone. Of a user: its lock goes; the file is a leftover.
 */
#ifndef MP_SHM_NAMED_H
#define MP_SHM_NAMED_H

#include "shm/block_layout.h"

#include <stdbool.h>
#include <sys/types.h>

#define MP__NAMED_DIR "/dev/shm/"
#define MP__NAMED_PREFIX "mp." /* of all files of libmp there */
#define MP__NAMED_PATH_SIZE 272

/*
 * The file of a name (with one leading slash or without), and the name without it. -EINVAL,
 * -ENAMETOOLONG.
 */
int mp__named_path(const char *name, char path[MP__NAMED_PATH_SIZE], const char **ret_name);

/* May a named object have this mode (0: the default)? -EINVAL. */
int mp__named_check_mode(unsigned int mode);

/* A new file without a name, of exactly this mode (0: 0600). -EACCES, -ENOENT, -EMFILE, ... */
int mp__named_file(unsigned int mode);

/* What a header says of its maker. */
void mp__named_describe(struct mp__block_header *header, bool persist);

/* Use it and give it its name. -EEXIST (a leftover is removed first), -EBUSY. */
int mp__named_link(int fd, const char *path);

/* Open and use: the descriptor; -ENOENT, -EACCES, -EBUSY. What is in it is still to be checked. */
int mp__named_open(const char *path, bool readonly);

/* Remove it if it is a leftover: 1 it was, or is gone; 0 it is in use, persists, or is not ours. */
int mp__named_reap(const char *path);

/* Remove it. -ENOENT, -EACCES, -EBUSY. */
int mp__named_unlink(const char *path);

/* Is this file (of this name) a leftover? 1 with its header; 0. */
int mp__named_is_leftover(int fd, struct mp__block_header *ret_header);

#endif
