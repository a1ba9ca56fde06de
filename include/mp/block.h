/* SPDX-License-Identifier: MIT */
/*
 * mp/block.h - blocks of shared memory.
 *
 *	mp_block *block;
 *	mp_block_new(1 << 20, NULL, &block);
 *	double *numbers = mp_block_data(block);
 *	mp_process_new(target, MP_ARGS(mp_handle(block)), NULL, &process);
 *
 * mp_block_new() makes a block without a name: it travels as a handle or by fork, and goes with the
 * last process that has it. Programs that are not related share one by name: mp_block_create() and
 * mp_block_open(). A named block goes with its last user too, or, if that one was killed, when
 * somebody asks for the name next, or by mpctl-gc or mp_shm_gc(); the option `persist` keeps it.
 *
 * The memory is zeroed, has its pages from the start (a full machine is -ENOSPC, never SIGBUS), and
 * never moves. A handle may be used from any thread and in forked children.
 */
#ifndef MP_BLOCK_H
#define MP_BLOCK_H

#include <mp/handle.h>
#include <sys/types.h>

MP__BEGIN_DECLS

typedef struct mp_block_options {
	size_t size;       /* set by MP_BLOCK_OPTIONS() */
	uint64_t flags;    /* none yet: others than 0 are -EINVAL */
	size_t max_size;   /* new, create: mp_block_grow() may grow it so far; 0: not at all */
	unsigned int mode; /* create: permissions, whatever the umask is; 0: 0600 */
	bool persist;      /* create: keep it until mp_block_unlink(), used or not */
	bool readonly;     /* open: for looking only */
	bool plain;        /* open: a POSIX object (shm_overview(7)) that another library made */
	bool huge_pages;   /* new: of huge pages where the machine has some to spare */
	bool prefault;     /* no page faults later: map every page now */
} mp_block_options;

#define MP_BLOCK_OPTIONS(...) \
	(&(const mp_block_options){.size = sizeof(mp_block_options), __VA_ARGS__})

/*
 * A block of `size` bytes without a name. -EINVAL size 0, or options that make no sense here; -E2BIG
 * options of a newer libmp; -ENOSPC no memory, or RLIMIT_FSIZE; -EMFILE, -ENFILE, -ENOMEM.
 */
int mp_block_new(size_t size, const mp_block_options *options, mp_block **ret_block);

/*
 * A named one. It appears with this name when it is complete, or not at all. NULL: a name is made
 * up, mp_block_name() tells it. -EEXIST somebody uses a block of this name, or keeps it; -EINVAL the
 * name is empty or has a slash inside; -ENAMETOOLONG more than MP_BLOCK_NAME_MAX bytes; -EACCES
 * no right to make files in /dev/shm; -EBUSY as in mp_block_open(); and as mp_block_new().
 */
#define MP_BLOCK_NAME_MAX 252
int mp_block_create(
	const char *name, size_t size, const mp_block_options *options, mp_block **ret_block);

/*
 * The block of this name. -ENOENT there is none, or its users are all dead; -EACCES it is not for
 * this user; -EBADMSG it is damaged, or of another build of libmp; -EBUSY a stopped process stands in
 * the middle of opening or removing it, for two seconds and more; and as above.
 */
int mp_block_open(const char *name, const mp_block_options *options, mp_block **ret_block);

/*
 * Take the name away. Who has the block keeps it; the name is free. -ENOENT, -EACCES, -EINVAL,
 * -ENAMETOOLONG, -EBUSY.
 */
int mp_block_unlink(const char *name);

/* The bytes, where they are in this process; how many; the name, or NULL. NULL and 0 for NULL. */
void *mp_block_data(const mp_block *block);
size_t mp_block_size(const mp_block *block);
const char *mp_block_name(const mp_block *block);

/*
 * Have at least `size` bytes. New ones are zero. The data stays where it is; other processes use
 * what they had until they call mp_block_refresh(). -ENOSPC no memory, or more than max_size, without
 * which it does not grow at all; -ENOTSUP a plain one; -EPERM opened for looking only; -EINVAL.
 */
int mp_block_grow(mp_block *block, size_t size);

/* 1 others have grown it: mp_block_size() is new; 0 they have not; -EBADMSG it is damaged; -EINVAL. */
int mp_block_refresh(mp_block *block);

/* One more reference; the same pointer. */
mp_block *mp_block_ref(mp_block *block);
/* Drop a reference; with the last one of this process its data is gone here. NULL is allowed. */
void mp_block_close(mp_block *block);

/* --- what killed programs leave ---------------------------------------------------------------- */

/* A named object whose users are all dead. The strings are valid during the call. */
typedef struct mp_shm_leftover {
	const char *name;
	const char *kind; /* "block", "shared list" or "queue" */
	uint64_t bytes;
	int64_t age_ms;      /* since it was made */
	pid_t creator;       /* the process that made it, as it knew itself */
	const char *program; /* its name */
	int result;          /* of the removal, if that was asked for: 0 or a negative errno */
} mp_shm_leftover;

typedef void mp_shm_function(const mp_shm_leftover *leftover, void *data);

/* Remove what is found. */
#define MP_SHM_REMOVE UINT64_C(1)

/*
 * Look for named objects that nobody uses any more, of those that this user may read, and call the
 * function (it may be NULL) for each. How many; -EINVAL unknown flags; -EACCES, -ENOENT no /dev/shm;
 * -EMFILE, -ENFILE, -ENOMEM.
 */
int mp_shm_gc(uint64_t flags, mp_shm_function *function, void *data);

MP__END_DECLS

#endif
