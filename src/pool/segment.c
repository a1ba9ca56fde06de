/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/segment.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/hot.h"
#include "shm/memory.h"
#include "shm/segment.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_MIN 64u

/* Where things are; computed the same way by who creates and who attaches. */
struct places {
	uint64_t workers;
	uint64_t ring;
	uint64_t tasks; /* also the end of what is allocated at creation */
	uint64_t slots;
	uint64_t rooms;
	uint64_t size;
	uint32_t ring_size;
};

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static struct places places_of(uint32_t n_workers, uint32_t n_slots)
{
	struct places p = {.ring_size = RING_MIN};

	while (p.ring_size < n_slots)
		p.ring_size *= 2;
	p.workers = sizeof(struct mp__pool_header);
	p.ring = p.workers + n_workers * sizeof(struct mp__pool_worker);
	p.tasks = round_up(p.ring + p.ring_size * sizeof(uint64_t), MP__POOL_CHUNK);
	p.slots = p.tasks + MP__POOL_TASKS_MAX * sizeof(struct mp__pool_task);
	p.rooms = round_up(p.slots + (uint64_t)n_slots * MP__POOL_SLOT_SIZE, MP__POOL_CHUNK);
	p.size = round_up(p.rooms + (uint64_t)n_slots * MP__POOL_ROOM_SIZE, MP__POOL_CHUNK);
	return p;
}

/* Changes whenever a struct does: two builds that do not agree never share a segment. */
static uint32_t fingerprint(void)
{
	const size_t sizes[] = {sizeof(struct mp__pool_header), sizeof(struct mp__pool_task),
		sizeof(struct mp__pool_worker), sizeof(struct mp__pool_slot),
		sizeof(struct mp__pool_room), sizeof(void *), MP__POOL_TASKS_MAX, MP__POOL_CHUNK};

	return mp__segment_fingerprint(sizes, MP__COUNT_OF(sizes));
}

static int map(struct mp__pool_segment *s, const struct places *p)
{
	char *base = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);

	if (base == MAP_FAILED)
		return mp__error_errno("mapping the memory of a pool");
	s->header = (struct mp__pool_header *)base;
	s->workers = (struct mp__pool_worker *)(base + p->workers);
	s->ring = (_Atomic uint64_t *)(base + p->ring);
	s->tasks = (struct mp__pool_task *)(base + p->tasks);
	s->slots = (struct mp__pool_slot *)(base + p->slots);
	s->rooms = (struct mp__pool_room *)(base + p->rooms);
	s->size = p->size;
	s->ring_mask = p->ring_size - 1;
	return 0;
}

int mp__pool_segment_create(
	uint32_t n_workers, uint32_t n_slots, struct mp__pool_segment *ret_segment)
{
	struct places p = places_of(n_workers, n_slots);
	struct mp__pool_segment s = {.n_workers = n_workers, .n_slots = n_slots};
	MP__AUTO_CLOSE int fd = mp__memory_new(
		"mp-pool", 0, p.size, p.tasks, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, "a pool");
	MP__AUTO_CLOSE int payload_fd = -1;

	if (fd < 0)
		return fd;
	payload_fd = mp__fd_above_std(memfd_create("mp-pool-payload", MFD_CLOEXEC));
	if (payload_fd < 0)
		return mp__error_errno("making the memory of a pool");
	s.fd = fd;
	s.payload_fd = payload_fd;
	int r = map(&s, &p);
	if (r != 0)
		return r;

	*s.header = (struct mp__pool_header){
		.magic = MP__POOL_MAGIC,
		.version = MP__POOL_VERSION,
		.fingerprint = fingerprint(),
		.size = p.size,
		.n_workers = n_workers,
		.n_slots = n_slots,
		.ring_size = p.ring_size,
		.initializer = MP__POOL_NONE,
		.done = MP__POOL_NONE,
	};
	MP__TAKE_FD(fd);
	MP__TAKE_FD(payload_fd);
	*ret_segment = s;
	return 0;
}

void mp__pool_segment_publish(struct mp__pool_segment *segment)
{
	/* Partner: the acquire load in mp__pool_segment_attach(). */
	atomic_store_explicit(&segment->header->state, MP__POOL_READY, memory_order_release);
}

/*
 * Is it ours, whole and of this build? Looks only at the head, which a short read cannot fault
 * on.
 */
static int check_header(int fd, struct mp__pool_header *ret_header)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0)
		return mp_error_set(-EBADMSG, "pool memory: not a sealed memfd");
	if (pread(fd, ret_header, sizeof(*ret_header), 0) != (ssize_t)sizeof(*ret_header))
		return mp_error_set(-EBADMSG, "pool memory: too short");
	if (ret_header->magic != MP__POOL_MAGIC || ret_header->version != MP__POOL_VERSION ||
		ret_header->fingerprint != fingerprint())
		return mp_error_set(-EBADMSG, "pool memory: of another kind or build of libmp");
	if (ret_header->n_workers == 0 || ret_header->n_workers > MP__POOL_WORKERS_MAX ||
		ret_header->n_slots == 0 || ret_header->n_slots > MP__POOL_PENDING_MAX)
		return mp_error_set(-EBADMSG, "pool memory: %u workers and %u slots",
			ret_header->n_workers, ret_header->n_slots);
	struct places p = places_of(ret_header->n_workers, ret_header->n_slots);
	if (ret_header->size != p.size || ret_header->ring_size != p.ring_size ||
		(uint64_t)st.st_size != p.size)
		return mp_error_set(-EBADMSG, "pool memory: sizes do not agree");
	return 0;
}

int mp__pool_segment_attach(int fd, int payload_fd, struct mp__pool_segment *ret_segment)
{
	struct mp__pool_header header;
	int r = check_header(fd, &header);

	if (r < 0)
		return r;
	struct mp__pool_segment s = {
		.fd = fd,
		.payload_fd = payload_fd,
		.n_workers = header.n_workers,
		.n_slots = header.n_slots,
	};
	struct places p = places_of(s.n_workers, s.n_slots);
	r = map(&s, &p);
	if (r < 0)
		return r;
	if (atomic_load_explicit(&s.header->state, memory_order_acquire) != MP__POOL_READY) {
		munmap(s.header, s.size);
		return mp_error_set(-EBADMSG, "pool memory: not published");
	}
	*ret_segment = s;
	return 0;
}

void mp__pool_segment_close(struct mp__pool_segment *segment)
{
	if (segment->header)
		munmap(segment->header, segment->size);
	segment->header = NULL;
	mp__cleanup_close(&segment->fd);
	mp__cleanup_close(&segment->payload_fd);
	segment->fd = segment->payload_fd = -1;
}

/* Extend the allocated part of an array that starts at a chunk boundary until it covers `end`. */
static int grow(struct mp__pool_segment *s, const void *array, uint64_t *allocated, uint64_t end)
{
	uint64_t array_at = (uint64_t)((const char *)array - (const char *)s->header);

	while (*allocated < end) {
		int r = mp__memory_allocate(s->fd, array_at + *allocated, MP__POOL_CHUNK, "a pool");
		if (r < 0)
			return r;
		*allocated += MP__POOL_CHUNK;
	}
	return 0;
}

int mp__pool_segment_allocate_slot(struct mp__pool_segment *segment, uint32_t slot)
{
	return grow(segment, segment->slots, &segment->slots_allocated,
		(slot + UINT64_C(1)) * sizeof(struct mp__pool_slot));
}

int mp__pool_segment_allocate_room(struct mp__pool_segment *segment, uint32_t room)
{
	return grow(segment, segment->rooms, &segment->rooms_allocated,
		(room + UINT64_C(1)) * sizeof(struct mp__pool_room));
}

MP__HOT uint8_t *mp__pool_segment_bytes(
	const struct mp__pool_segment *segment, uint32_t slot, uint32_t room, uint64_t size)
{
	if (size <= MP__POOL_INLINE)
		return segment->slots[slot].bytes;
	if (size <= MP__POOL_ROOM_BYTES && room < segment->n_slots)
		return segment->rooms[room].bytes;
	return NULL;
}

int mp__pool_segment_allocate_task(struct mp__pool_segment *segment, uint32_t task)
{
	return grow(segment, segment->tasks, &segment->tasks_allocated,
		(task + UINT64_C(1)) * sizeof(struct mp__pool_task));
}

static uint64_t payload_at(uint32_t slot, enum mp__pool_payload which)
{
	return slot * MP__POOL_PAYLOAD_STRIDE +
	       (which == MP__POOL_PAYLOAD_RESULT ? MP__POOL_PAYLOAD_MAX : 0);
}

int mp__pool_payload_write(const struct mp__pool_segment *segment, uint32_t slot,
	enum mp__pool_payload which, const void *data, uint64_t size)
{
	uint64_t at = payload_at(slot, which);
	const char *from = data;

	if (size > MP__POOL_PAYLOAD_MAX)
		return mp_error_set(
			-EMSGSIZE, "%llu bytes are too many for a task", (unsigned long long)size);
	if (at + size > mp__file_size_limit())
		return mp_error_set(-EMSGSIZE,
			"%llu bytes of a task need shared memory that RLIMIT_FSIZE forbids",
			(unsigned long long)size);
	for (uint64_t done = 0; done < size;) {
		ssize_t n =
			pwrite(segment->payload_fd, from + done, size - done, (off_t)(at + done));
		if (n < 0 && errno != EINTR) {
			int r = -errno;
			mp__pool_payload_drop(segment, slot, which);
			return mp_error_set(r, "writing %llu bytes of a task to shared memory: %s",
				(unsigned long long)size, mp_strerror(r));
		}
		if (n > 0)
			done += (uint64_t)n;
	}
	return 0;
}

int mp__pool_payload_read(const struct mp__pool_segment *segment, uint32_t slot,
	enum mp__pool_payload which, void *data, uint64_t size)
{
	uint64_t at = payload_at(slot, which);
	char *to = data;

	for (uint64_t done = 0; done < size;) {
		ssize_t n = pread(segment->payload_fd, to + done, size - done, (off_t)(at + done));
		if (n == 0)
			return mp_error_set(-EBADMSG, "a task has %llu bytes, but only %llu came",
				(unsigned long long)size, (unsigned long long)done);
		if (n < 0 && errno != EINTR)
			return mp__error_errno("reading bytes of a task");
		if (n > 0)
			done += (uint64_t)n;
	}
	return 0;
}

void mp__pool_payload_drop(
	const struct mp__pool_segment *segment, uint32_t slot, enum mp__pool_payload which)
{
	/* Best effort: the next use of the range overwrites it anyway. */
	if (fallocate(segment->payload_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    (off_t)payload_at(slot, which), (off_t)MP__POOL_PAYLOAD_MAX) < 0)
		return;
}
