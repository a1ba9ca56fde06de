/* SPDX-License-Identifier: MIT */
/*
 * shm/segment.h - pieces of shared memory that know what they are.
 *
 * A segment is a file in memory (a memfd without a name; or one in /dev/shm, made by
 * shm/named.c) that begins with a header (segment_layout.h). Anonymous ones travel as
 * descriptors and go with the last process that has one: the kernel counts. Who attaches checks the
 * header, and the file's size against it, before anything else is touched.
 *
 * The view below is private to a process; it is the mapping of the whole address range that the
 * segment may ever need, so that data never moves.
 *
 * A segment may also be a part of another one, which lies in its file and is mapped with it: so two
 * things that belong together have one descriptor, one name and one end.
 */
#ifndef MP_SHM_SEGMENT_H
#define MP_SHM_SEGMENT_H

#include "shm/segment_layout.h"

#include <stdbool.h>
#include <sys/stat.h>

enum mp__segment_kind {
	MP__SEGMENT_SLAB = 1,
	MP__SEGMENT_BLOCK = 2,
	MP__SEGMENT_LIST = 3,
	MP__SEGMENT_HEAP = 4,
	MP__SEGMENT_QUEUE = 5,
	MP__SEGMENT_PIPE = 6,
};

/* What a module says about its segments, once. */
struct mp__segment_type {
	enum mp__segment_kind kind;
	uint32_t fingerprint; /* by mp__segment_fingerprint(), or a number that changes by hand */
	const char *name;     /* of the memfd, in /proc/PID/maps: "mp-slab" */
	const char *what;     /* in sentences: "a slab" */
};

struct mp__segment {
	struct mp__segment_header *header; /* the start of the mapping */
	uint64_t size;                     /* bytes that may be used, as last checked */
	uint64_t max_size;
	size_t mapped;
	uint64_t at; /* where it begins in the file */
	dev_t dev;   /* of the file */
	ino_t ino;
	int fd;
	bool readonly;
	bool part; /* mapping and descriptor are those of another one */
};

/* Largest segment: addresses that a process can have, and off_t. */
#define MP__SEGMENT_MAX (UINT64_C(1) << 46)

/*
 * An anonymous segment of `size` bytes, header included, zeroed, that may grow to max_size (0: no
 * growing). Its header is filled in, but not published. memfd_flags as in mp__memory_new(). -ENOSPC,
 * -EMFILE, -ENFILE, -ENOMEM.
 */
int mp__segment_create(const struct mp__segment_type *type, uint64_t size, uint64_t max_size,
	unsigned int memfd_flags, struct mp__segment *ret_segment);

/* The same in a file that the caller has made and allocated; takes fd on success. */
int mp__segment_format(const struct mp__segment_type *type, int fd, uint64_t size,
	uint64_t max_size, struct mp__segment *ret_segment);

/*
 * The same in a part of `whole`, which has memory for all that this may ever be in its file: up to its
 * end, from `at` on, a multiple of a page. `size` bytes of it are allocated. `whole` stays longer.
 */
int mp__segment_format_part(const struct mp__segment_type *type, const struct mp__segment *whole,
	uint64_t at, uint64_t size, struct mp__segment *ret_segment);

/* The last store of a creation: who attaches sees everything from here on. */
void mp__segment_publish(struct mp__segment *segment);

enum mp__segment_attach_flags {
	MP__SEGMENT_READONLY = 1, /* map it read-only */
	MP__SEGMENT_NAMED = 2,    /* no memfd: has no seals */
};

/*
 * Map what somebody sent or left: hostile. Takes fd on success. -EBADMSG it is no published segment
 * of this kind and build, or damaged; -ENOMEM, -EACCES the descriptor is not open for writing.
 */
int mp__segment_attach(const struct mp__segment_type *type, int fd, unsigned int flags,
	struct mp__segment *ret_segment);

/* The same of what mp__segment_format_part() has made. -EBADMSG. */
int mp__segment_attach_part(const struct mp__segment_type *type, const struct mp__segment *whole,
	uint64_t at, struct mp__segment *ret_segment);

/*
 * Let it have `size` bytes at least. -ENOSPC no memory, or more than max_size. Several processes and
 * threads may do this at once; each thread with a struct of its own, or under a lock.
 */
int mp__segment_grow(struct mp__segment *segment, uint64_t size, const char *what);

/*
 * Give the memory of these bytes back to the system; they read as zeros afterwards. Or not, which is no
 * error: they have lost what was in them all the same.
 */
void mp__segment_release(const struct mp__segment *segment, uint64_t from, uint64_t size);
/* Memory for bytes that may have been released. -ENOSPC. */
int mp__segment_restore(
	const struct mp__segment *segment, uint64_t from, uint64_t size, const char *what);

/*
 * Look whether others have grown it: 1 it has, size is new; 0; -EBADMSG its header says what cannot
 * be.
 */
int mp__segment_refresh(struct mp__segment *segment);

/* Unmap and close, if it is no part. A struct of zero bytes with fd -1, or one that is closed, is left alone. */
void mp__segment_close(struct mp__segment *segment);

/* FNV-1a of the numbers: sizes and offsets of a kind's structs. */
uint32_t mp__segment_fingerprint(const size_t *numbers, size_t n);

/* Is this descriptor's file, of which `st` tells, the same segment? */
bool mp__segment_is(const struct mp__segment *segment, int fd, const struct stat *st);

#endif
