/* SPDX-License-Identifier: MIT */
/*
 * pool/segment.h - the memory of a pool: made by the owner, attached by each worker.
 *
 * The view below is private to a process. Counts are copied into it once and checked against the
 * size of the file, so that nothing that changes in shared memory later can lead outside of it.
 */
#ifndef MP_POOL_SEGMENT_H
#define MP_POOL_SEGMENT_H

#include "pool/pool_layout.h"

#include <sys/types.h>

struct mp__pool_segment {
	struct mp__pool_header *header;
	struct mp__pool_worker *workers;
	_Atomic uint64_t *ring;
	struct mp__pool_task *tasks;
	struct mp__pool_slot *slots;
	struct mp__pool_room *rooms; /* as many as slots */
	size_t size;
	uint32_t n_workers;
	uint32_t n_slots;
	uint32_t ring_mask;
	uint64_t tasks_allocated; /* owner: how many bytes of each have memory */
	uint64_t slots_allocated;
	uint64_t rooms_allocated;
	int fd;
	int payload_fd;
};

enum mp__pool_payload { MP__POOL_PAYLOAD_ARGS, MP__POOL_PAYLOAD_RESULT };

/*
 * Everything but header.initializer and .may_spin, and not yet published. -ENOSPC, -EMFILE,
 * -ENOMEM.
 */
int mp__pool_segment_create(
	uint32_t n_workers, uint32_t n_slots, struct mp__pool_segment *ret_segment);
/* The last store of the creation: who attaches sees all from here on. */
void mp__pool_segment_publish(struct mp__pool_segment *segment);
/* The descriptors stay the caller's. -EBADMSG it is no published segment of this library. */
int mp__pool_segment_attach(int fd, int payload_fd, struct mp__pool_segment *ret_segment);
/* Unmap, and close the descriptors if they are owned (created). */
void mp__pool_segment_close(struct mp__pool_segment *segment);

/*
 * Where `size` bytes stand that are not in the payload file, of a slot with that room (or
 * MP__POOL_NONE); NULL: they are in the payload file.
 */
uint8_t *mp__pool_segment_bytes(
	const struct mp__pool_segment *segment, uint32_t slot, uint32_t room, uint64_t size);

/* Owner: make sure that this slot, this entry of tasks[], has memory. -ENOSPC. */
int mp__pool_segment_allocate_slot(struct mp__pool_segment *segment, uint32_t slot);
int mp__pool_segment_allocate_room(struct mp__pool_segment *segment, uint32_t room);
int mp__pool_segment_allocate_task(struct mp__pool_segment *segment, uint32_t task);

/*
 * The slot's range of the payload file. Writing: -ENOSPC, -EMSGSIZE more than its range holds, or
 * more than RLIMIT_FSIZE lets this process write. Reading: -EBADMSG there are not so many bytes.
 */
int mp__pool_payload_write(const struct mp__pool_segment *segment, uint32_t slot,
	enum mp__pool_payload which, const void *data, uint64_t size);
int mp__pool_payload_read(const struct mp__pool_segment *segment, uint32_t slot,
	enum mp__pool_payload which, void *data, uint64_t size);
/* Give its memory back. */
void mp__pool_payload_drop(
	const struct mp__pool_segment *segment, uint32_t slot, enum mp__pool_payload which);

#endif
