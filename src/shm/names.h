/* SPDX-License-Identifier: MIT */
/*
 * shm/names.h - the named objects that this process uses, so that their names go when it ends.
 *
 * A handle of something that may have a name holds a struct mp__name. At exit(3), and at the end of
 * a child that libmp made, every listed name that nobody else uses any more is removed, as if the
 * object had been closed. Who ends in another way leaves it to the next.
 */
#ifndef MP_SHM_NAMES_H
#define MP_SHM_NAMES_H

#include "shm/named.h"
#include "shm/segment.h"

/* Zeroed: no name. */
struct mp__name {
	const char *text; /* in path; NULL: it has none */
	bool goes;        /* when nobody uses it any more: it does not persist, and is libmp's */
	struct mp__segment *segment; /* whose name it is, while it is listed */
	struct mp__name *next;
	char path[MP__NAMED_PATH_SIZE];
};

/* -EINVAL, -ENAMETOOLONG. */
int mp__name_set(struct mp__name *name, const char *text);

/* The same for what came from elsewhere: not ended by a NUL. -EBADMSG. */
int mp__name_import(struct mp__name *name, const void *text, size_t length);

/* Give the file its name: the one that was set, or one that is made up. As mp__named_link(). */
int mp__name_link(struct mp__name *name, int fd);

/* List it, if it goes with its users. */
void mp__name_add(struct mp__name *name, struct mp__segment *segment);

/* Close the segment; with its last user goes the name. */
void mp__name_close(struct mp__name *name, struct mp__segment *segment);

/* This process ends: use no names any more, and remove those that nobody else uses. */
void mp__names_leave(void);

#endif
