/* SPDX-License-Identifier: MIT */
/* The file of a queue: made, attached, unmapped. */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "queue/ring.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BYTES_DEFAULT ((UINT64_C(1) << 30) - 65536)
/* What a record and a JUMP take beside the message, generously. */
#define SLACK 64u
#define PAGE 4096u

uint64_t mp__queue_geometry(uint64_t max_bytes, unsigned *ret_last_region)
{
	unsigned last = 0;

	/*
	 * Whatever the limit allows finds room in a ring of twice the limit, wherever its messages
	 * lie; and in the region before, if that has the size of the limit and is entered empty.
	 */
	if (2 * max_bytes + SLACK > MP__QUEUE_REGION) {
		do
			last++;
		while (mp__ring_region_start(last - 1) < max_bytes + SLACK);
	}
	uint64_t size = last == 0 ? MP__QUEUE_REGION : 2 * max_bytes + SLACK;
	if (size < mp__ring_region_start(last))
		size = mp__ring_region_start(last);
	*ret_last_region = last;
	return mp__ring_region_start(last) + (size + PAGE - 1) / PAGE * PAGE;
}

/* Changes whenever the layout does: two builds that do not agree never share a file. */
static uint32_t fingerprint(void)
{
	const size_t sizes[] = {sizeof(struct mp__queue_control), sizeof(struct mp__queue_cell),
		offsetof(struct mp__queue_control, put_guard),
		offsetof(struct mp__queue_control, get_guard),
		offsetof(struct mp__queue_control, allocated), MP__QUEUE_REGION, MP__QUEUE_CELLS,
		MP__QUEUE_POS_BITS};
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < MP__COUNT_OF(sizes); i++)
		hash = (hash ^ (uint32_t)sizes[i]) * 16777619u;
	return hash;
}

static int allocate(int fd, uint64_t from, uint64_t size)
{
	int r;

	do
		r = fallocate(fd, 0, (off_t)from, (off_t)size) < 0 ? -errno : 0;
	while (r == -EINTR);
	if (r < 0)
		return mp_error_set(r == -ENOMEM ? -ENOSPC : r,
			"a new queue: no shared memory (%s)", mp_strerror(r));
	return 0;
}

static int make_file(const struct mp_queue *q)
{
	MP__AUTO_CLOSE int fd =
		mp__fd_above_std(memfd_create("mp-queue", MFD_CLOEXEC | MFD_ALLOW_SEALING));

	if (fd < 0)
		return mp__error_errno("a new queue: memfd_create");
	if (TEMP_FAILURE_RETRY(ftruncate(fd, (off_t)q->file_size)) < 0)
		return mp__error_errno("a new queue: sizing its memory");
	int r = allocate(fd, 0,
		q->flags & MP__QUEUE_JOINABLE
			? MP__QUEUE_CELLS_AT + MP__QUEUE_CELLS * sizeof(struct mp__queue_cell)
			: MP__QUEUE_CELLS_AT);
	if (r == 0)
		r = allocate(fd, MP__QUEUE_REGION, MP__QUEUE_REGION);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return mp__error_errno("a new queue: sealing its memory");
	return MP__TAKE_FD(fd);
}

static int map(struct mp_queue *q)
{
	char *base = mmap(
		NULL, q->file_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, q->fd, 0);

	if (base == MAP_FAILED)
		return mp__error_errno("mapping the memory of a queue (less max_bytes needs less "
				       "address space)");
	/* Dumps of core would hold what is in the queue, of all processes, again and again. */
	(void)madvise(base, q->file_size, MADV_DONTDUMP);
	q->base = base;
	q->control = (struct mp__queue_control *)base;
	q->cells = (struct mp__queue_cell *)(base + MP__QUEUE_CELLS_AT);
	return 0;
}

static int check_options(const mp_queue_options *o)
{
	if (o->maxsize > MP__QUEUE_ITEMS_MAX)
		return mp_error_set(-EINVAL,
			"a new queue: maxsize is %zu, at most %llu is possible", o->maxsize,
			(unsigned long long)MP__QUEUE_ITEMS_MAX);
	if (o->max_bytes > MP__QUEUE_BYTES_MAX)
		return mp_error_set(-EINVAL,
			"a new queue: max_bytes is %llu, at most %llu is possible",
			(unsigned long long)o->max_bytes, (unsigned long long)MP__QUEUE_BYTES_MAX);
	if (o->max_bytes > 0 && o->max_bytes < MP__QUEUE_UNIT)
		return mp_error_set(-EINVAL,
			"a new queue: max_bytes is %llu, but an empty message takes 8",
			(unsigned long long)o->max_bytes);
	return 0;
}

/* An explicit limit must be possible; the default is made to fit RLIMIT_FSIZE. */
static int choose_size(const mp_queue_options *o, struct mp_queue *q)
{
	uint64_t allowed = mp__file_size_limit();

	q->max_bytes = o->max_bytes ? o->max_bytes : BYTES_DEFAULT;
	for (;;) {
		q->file_size = mp__queue_geometry(q->max_bytes, &q->last_region);
		if (q->file_size <= allowed)
			return 0;
		if (o->max_bytes || q->max_bytes < MP__QUEUE_REGION)
			return mp_error_set(-ENOSPC,
				"a new queue of up to %llu bytes needs a file of %llu, "
				"RLIMIT_FSIZE "
				"allows %llu",
				(unsigned long long)q->max_bytes, (unsigned long long)q->file_size,
				(unsigned long long)allowed);
		q->max_bytes /= 2;
	}
}

int mp__queue_file_new(const mp_queue_options *options, struct mp_queue *q)
{
	int r = check_options(options);

	if (r == 0)
		r = choose_size(options, q);
	if (r < 0)
		return r;
	q->maxsize = options->maxsize ? options->maxsize : MP__QUEUE_ITEMS_MAX;
	q->flags = options->joinable ? MP__QUEUE_JOINABLE : 0;
	MP__AUTO_CLOSE int fd = make_file(q);
	if (fd < 0)
		return fd;
	q->fd = fd;
	r = map(q);
	if (r < 0)
		return r;
	struct mp__queue_control *c = q->control;
	c->magic = MP__QUEUE_MAGIC;
	c->version = MP__QUEUE_VERSION;
	c->fingerprint = fingerprint();
	c->file_size = q->file_size;
	c->max_bytes = q->max_bytes;
	c->maxsize = q->maxsize;
	c->flags = q->flags;
	if (options->name)
		strncpy(c->name, options->name, sizeof(c->name) - 1);
	c->allocated[0] = MP__QUEUE_REGION;
	uint64_t start = mp__ring_pack(0, MP__QUEUE_REGION);
	c->tail = c->tail_seen = c->head = c->head_seen = start;
	/* Partner: the acquire load in check_control(). */
	atomic_store_explicit(&c->state, MP__QUEUE_READY, memory_order_release);
	MP__TAKE_FD(fd);
	return 0;
}

/* Everything that is kept in the handle, checked before the mapping is made. */
static int check_control(int fd, struct mp_queue *q)
{
	struct mp__queue_control c;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0)
		return mp_error_set(-EBADMSG, "the memory of a queue: not a sealed memfd");
	if (pread(fd, &c, sizeof(c), 0) != (ssize_t)sizeof(c))
		return mp_error_set(-EBADMSG, "the memory of a queue: too short");
	if (c.magic != MP__QUEUE_MAGIC || c.version != MP__QUEUE_VERSION ||
		c.fingerprint != fingerprint() || c.state != MP__QUEUE_READY)
		return mp_error_set(
			-EBADMSG, "the memory of a queue: of another kind or build of libmp");
	if (c.max_bytes < MP__QUEUE_UNIT || c.max_bytes > MP__QUEUE_BYTES_MAX || c.maxsize == 0 ||
		c.maxsize > MP__QUEUE_ITEMS_MAX || c.flags & ~MP__QUEUE_JOINABLE)
		return mp_error_set(-EBADMSG, "the memory of a queue: impossible limits");
	q->file_size = mp__queue_geometry(c.max_bytes, &q->last_region);
	if (c.file_size != q->file_size || (uint64_t)st.st_size != q->file_size)
		return mp_error_set(-EBADMSG, "the memory of a queue: %lld bytes, not %llu",
			(long long)st.st_size, (unsigned long long)q->file_size);
	q->max_bytes = c.max_bytes;
	q->maxsize = c.maxsize;
	q->flags = c.flags;
	return 0;
}

int mp__queue_file_attach(int fd, struct mp_queue *q)
{
	int r = check_control(fd, q);

	if (r < 0)
		return r;
	q->fd = fd;
	return map(q);
}

void mp__queue_file_close(struct mp_queue *q)
{
	munmap(q->base, q->file_size);
	close(q->fd);
}
