/* SPDX-License-Identifier: MIT */
/*
 * sync/head.h - what every synchronisation object in shared memory begins with.
 *
 *	0        4        8                            32
 *	+--------+--------+----------------------------+----
 *	| magic  | flags  | name, NUL-padded           | the object's own
 *	+--------+--------+----------------------------+----
 *
 * The magic says kind and layout version. It is the last store of an init (release) and the first of
 * a destroy: memory where no object was made, or of another kind or an older layout, is -EINVAL at
 * each call, not undefined behaviour. Flags and name are written once, before it, and never change.
 * The name is for people (mpctl, reports of deadlocks); it may come from a hostile peer and need not
 * end in NUL.
 */
#ifndef MP_SYNC_HEAD_H
#define MP_SYNC_HEAD_H

#include <stdatomic.h>
#include <stdint.h>

#define MP__SYNC_NAME_SIZE 24

/* "mp" and a letter and a version, as they stand in memory on little-endian machines. */
#define MP__SYNC_MAGIC(letter, version) \
	((uint32_t)'m' | (uint32_t)'p' << 8 | (uint32_t)(letter) << 16 | (uint32_t)(version) << 24)
#define MP__MAGIC_LOCK MP__SYNC_MAGIC('L', 1)
#define MP__MAGIC_RLOCK MP__SYNC_MAGIC('R', 1)
#define MP__MAGIC_RWLOCK MP__SYNC_MAGIC('W', 1)
#define MP__MAGIC_SEMAPHORE MP__SYNC_MAGIC('S', 1)
#define MP__MAGIC_CONDITION MP__SYNC_MAGIC('C', 1)
#define MP__MAGIC_EVENT MP__SYNC_MAGIC('E', 1)
#define MP__MAGIC_BARRIER MP__SYNC_MAGIC('B', 1)
#define MP__MAGIC_VALUE MP__SYNC_MAGIC('V', 1)
#define MP__MAGIC_ARRAY MP__SYNC_MAGIC('A', 1)
/* No heads of that kind: for what waits (sync/waiting.h). */
#define MP__MAGIC_QUEUE MP__SYNC_MAGIC('Q', 1)
#define MP__MAGIC_PIPE MP__SYNC_MAGIC('P', 1)

struct mp__sync_head {
	_Atomic uint32_t magic;
	uint32_t flags;
	char name[MP__SYNC_NAME_SIZE];
};

/* May an object of this magic be made here? 0; -EINVAL NULL or not aligned to 8 bytes. */
int mp__sync_place(const struct mp__sync_head *head, uint32_t magic);

/* Name (NULL: none; cut at 23 bytes) and flags; the caller fills the rest, then publishes. */
void mp__sync_prepare(struct mp__sync_head *head, const char *name, uint32_t flags);

/* Partner: the acquire in mp__sync_check(). */
static inline void mp__sync_publish(struct mp__sync_head *head, uint32_t magic)
{
	atomic_store_explicit(&head->magic, magic, memory_order_release);
}

int mp__sync_wrong(const struct mp__sync_head *head, uint32_t magic);

/* 0 if such an object stands here; -EINVAL (NULL, misaligned, never made, destroyed, another one). */
static inline int mp__sync_check(const struct mp__sync_head *head, uint32_t magic)
{
	if (__builtin_expect(
		    head && ((uintptr_t)head & 7) == 0 &&
			    atomic_load_explicit(&head->magic, memory_order_acquire) == magic,
		    1))
		return 0;
	return mp__sync_wrong(head, magic);
}

/* "lock", "semaphore", ...; NULL: no such magic. */
const char *mp__sync_kind_of(uint32_t magic);
/* By what stands there now; "object" if nothing does. */
const char *mp__sync_kind(const struct mp__sync_head *head);

/* A copy of the name that ends in NUL, "" when there is none. */
const char *mp__sync_name(const struct mp__sync_head *head, char buffer[MP__SYNC_NAME_SIZE]);

/* " 'NAME'", to stand in a sentence behind what it is; "" when it has no name. */
#define MP__SYNC_LABEL_SIZE (MP__SYNC_NAME_SIZE + 3)
const char *mp__sync_label(const struct mp__sync_head *head, char buffer[MP__SYNC_LABEL_SIZE]);

_Static_assert(sizeof(struct mp__sync_head) == 32, "the head of each object");

#endif
