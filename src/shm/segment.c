/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/segment.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"
#include "shm/memory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

uint32_t mp__segment_fingerprint(const size_t *numbers, size_t n)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint32_t)numbers[i]) * 16777619u;
	return hash;
}

static uint64_t new_id(void)
{
	uint64_t id = 0;

	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id)) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		id = (uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 48;
	}
	return id;
}

/* Huge pages come in whole ones: the kernel wants lengths rounded to them. */
static size_t mapping_length(uint64_t size, const struct stat *st)
{
	uint64_t unit = st->st_blksize > 4096 ? (uint64_t)st->st_blksize : 4096;

	return (size_t)((size + unit - 1) / unit * unit);
}

static int map(struct mp__segment *s, const struct stat *st)
{
	s->mapped = mapping_length(s->max_size, st);
	void *base = mmap(NULL, s->mapped, s->readonly ? PROT_READ : PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, s->fd, 0);

	if (base == MAP_FAILED || !base)
		return mp__error_errno("mapping shared memory");
	s->header = base;
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	return 0;
}

static void fill_header(const struct mp__segment_type *type, const struct mp__segment *s)
{
	*s->header = (struct mp__segment_header){
		.magic = MP__SEGMENT_MAGIC,
		.version = MP__SEGMENT_VERSION,
		.kind = type->kind,
		.fingerprint = type->fingerprint,
		.id = new_id(),
		.max_size = s->max_size,
		.size = s->size,
	};
}

int mp__segment_format(const struct mp__segment_type *type, int fd, uint64_t size,
	uint64_t max_size, struct mp__segment *ret_segment)
{
	struct mp__segment s = {.fd = fd, .size = size, .max_size = max_size};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return mp__error_errno("looking at shared memory");
	int r = map(&s, &st);
	if (r < 0)
		return r;
	fill_header(type, &s);
	*ret_segment = s;
	return 0;
}

static struct mp__segment part_of(const struct mp__segment *whole, uint64_t at)
{
	struct mp__segment s = *whole;

	s.header = (struct mp__segment_header *)((char *)whole->header + at);
	s.max_size = s.mapped = whole->size - at;
	s.at = at;
	s.part = true;
	return s;
}

int mp__segment_format_part(const struct mp__segment_type *type, const struct mp__segment *whole,
	uint64_t at, uint64_t size, struct mp__segment *ret_segment)
{
	struct mp__segment s = part_of(whole, at);
	int r = mp__memory_allocate(whole->fd, at, size, type->what);

	if (r < 0)
		return r;
	s.size = size;
	fill_header(type, &s);
	*ret_segment = s;
	return 0;
}

int mp__segment_create(const struct mp__segment_type *type, uint64_t size, uint64_t max_size,
	unsigned int memfd_flags, struct mp__segment *ret_segment)
{
	int seals = F_SEAL_SHRINK | F_SEAL_SEAL | (max_size > size ? 0 : F_SEAL_GROW);

	if (max_size < size)
		max_size = size;
	if (max_size > MP__SEGMENT_MAX)
		return mp_error_set(-ENOSPC,
			"%llu bytes of shared memory are more than any process "
			"can map",
			(unsigned long long)max_size);
	MP__AUTO_CLOSE int fd =
		mp__memory_new(type->name, memfd_flags, size, size, seals, type->what);
	if (fd < 0)
		return fd;
	int r = mp__segment_format(type, fd, size, max_size, ret_segment);
	if (r == 0)
		MP__TAKE_FD(fd);
	return r;
}

void mp__segment_publish(struct mp__segment *segment)
{
	/* Partner: the acquire load in mp__segment_attach(). */
	atomic_store_explicit(&segment->header->state, MP__SEGMENT_READY, memory_order_release);
}

static int bad(const struct mp__segment_type *type, const char *why)
{
	return mp_error_set(-EBADMSG, "shared memory for %s: %s", type->what, why);
}

/* Looks only at a copy of the head, which a short read cannot fault on. `room`: of the file. */
static int check_header(const struct mp__segment_type *type, int fd, uint64_t at, uint64_t room,
	struct mp__segment_header *h)
{
	if (pread(fd, h, sizeof(*h), (off_t)at) != (ssize_t)sizeof(*h))
		return bad(type, "too short");
	if (h->magic != MP__SEGMENT_MAGIC)
		return bad(type, "no segment of libmp");
	if (h->version != MP__SEGMENT_VERSION || h->fingerprint != type->fingerprint)
		return bad(type, "of another build of libmp");
	if (h->kind != (uint32_t)type->kind)
		return bad(type, "a segment of another kind");
	if (h->state != MP__SEGMENT_READY)
		return bad(type, "not published");
	uint64_t size = h->size;
	if (size < sizeof(*h) || size > room || size > h->max_size || h->max_size > MP__SEGMENT_MAX)
		return bad(type, "sizes do not agree");
	return 0;
}

static int check(const struct mp__segment_type *type, int fd, unsigned int flags, struct stat *st,
	struct mp__segment_header *h)
{
	int seals = flags & MP__SEGMENT_NAMED ? F_SEAL_SHRINK : fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return bad(type, "not a sealed memfd");
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
		return bad(type, "not a file");
	return check_header(type, fd, 0, (uint64_t)st->st_size, h);
}

int mp__segment_attach(const struct mp__segment_type *type, int fd, unsigned int flags,
	struct mp__segment *ret_segment)
{
	struct mp__segment_header h;
	struct stat st;
	int r = check(type, fd, flags, &st, &h);

	if (r < 0)
		return r;
	struct mp__segment s = {
		.fd = fd,
		.size = h.size,
		.max_size = h.max_size,
		.readonly = flags & MP__SEGMENT_READONLY,
	};
	r = map(&s, &st);
	if (r < 0)
		return r;
	/* Acquire: what was written before the publication is seen from here on. */
	if (atomic_load_explicit(&s.header->state, memory_order_acquire) != MP__SEGMENT_READY) {
		munmap(s.header, s.mapped);
		return bad(type, "not published");
	}
	*ret_segment = s;
	return 0;
}

int mp__segment_attach_part(const struct mp__segment_type *type, const struct mp__segment *whole,
	uint64_t at, struct mp__segment *ret_segment)
{
	struct mp__segment s = part_of(whole, at);
	struct mp__segment_header h;
	int r = check_header(type, whole->fd, at, s.max_size, &h);

	if (r < 0)
		return r;
	if (h.max_size != s.max_size)
		return bad(type, "not up to the end of its file");
	s.size = h.size;
	*ret_segment = s;
	return 0;
}

int mp__segment_grow(struct mp__segment *segment, uint64_t size, const char *what)
{
	uint64_t seen = atomic_load_explicit(&segment->header->size, memory_order_acquire);

	if (size > segment->max_size)
		return mp_error_set(-ENOSPC,
			"%s may have %llu bytes, not %llu: see the option max_size", what,
			(unsigned long long)segment->max_size, (unsigned long long)size);
	if (size > segment->size) {
		int r = mp__memory_allocate(
			segment->fd, segment->at + segment->size, size - segment->size, what);
		if (r < 0)
			return r;
		MP__TEST_POINT("segment.grown");
		while (seen < size &&
			!atomic_compare_exchange_weak_explicit(&segment->header->size, &seen, size,
				memory_order_release, memory_order_relaxed))
			;
		segment->size = size;
	}
	return 0;
}

void mp__segment_release(const struct mp__segment *segment, uint64_t from, uint64_t size)
{
	(void)TEMP_FAILURE_RETRY(fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)(segment->at + from), (off_t)size));
}

int mp__segment_restore(
	const struct mp__segment *segment, uint64_t from, uint64_t size, const char *what)
{
	return mp__memory_allocate(segment->fd, segment->at + from, size, what);
}

int mp__segment_refresh(struct mp__segment *segment)
{
	uint64_t size = atomic_load_explicit(&segment->header->size, memory_order_acquire);
	struct stat st;

	if (size == segment->size)
		return 0;
	if (size < segment->size || size > segment->max_size || fstat(segment->fd, &st) < 0 ||
		segment->at + size > (uint64_t)st.st_size)
		return mp_error_set(-EBADMSG, "shared memory of %llu bytes claims to have %llu now",
			(unsigned long long)segment->size, (unsigned long long)size);
	segment->size = size;
	return 1;
}

void mp__segment_close(struct mp__segment *segment)
{
	if (segment->part)
		segment->fd = -1;
	else if (segment->header)
		munmap(segment->header, segment->mapped);
	segment->header = NULL;
	mp__cleanup_close(&segment->fd);
	segment->fd = -1;
}

bool mp__segment_is(const struct mp__segment *segment, int fd, const struct stat *st)
{
	struct mp__segment_header h;

	/* File numbers of memfds start again after 2^32: the id has the last word. */
	return segment->ino == st->st_ino && segment->dev == st->st_dev &&
	       pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && h.id == segment->header->id;
}
