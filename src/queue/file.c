/* SPDX-License-Identifier: MIT */
/* The segment of a queue: made, with a name or without, attached, unmapped. */
#include <config.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"
#include "queue/ring.h"
#include "queue/store.h"
#include "shm/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BYTES_DEFAULT ((UINT64_C(1) << 30) - 65536)
/* What a record and a JUMP take beside the message, generously. */
#define SLACK 64u
#define PAGE 4096u
#define WHAT "a queue"

/* Two builds that do not agree never share a queue. */
static struct mp__segment_type queue_type(void)
{
	const size_t layout[] = {MP__QUEUE_VERSION, sizeof(struct mp__queue_control),
		sizeof(struct mp__queue_cell), offsetof(struct mp__queue_control, put_guard),
		offsetof(struct mp__queue_control, get_guard),
		offsetof(struct mp__queue_control, allocated), MP__QUEUE_REGION, MP__QUEUE_CELLS,
		MP__QUEUE_POS_BITS, MP__STORE_VERSION, sizeof(struct mp__store_root),
		sizeof(struct mp__store_entry)};

	return (struct mp__segment_type){
		.kind = MP__SEGMENT_QUEUE,
		.fingerprint = mp__segment_fingerprint(layout, MP__COUNT_OF(layout)),
		.name = "mp-queue",
		.what = WHAT,
	};
}

/* --- limits ------------------------------------------------------------------------------------- */

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

static int check_options(const mp_queue_options *o)
{
	if (o->maxsize > MP__QUEUE_ITEMS_MAX)
		return mp_error_set(-EINVAL,
			"a new queue: maxsize is %zu, at most %llu is possible; 0 is no limit",
			o->maxsize, (unsigned long long)MP__QUEUE_ITEMS_MAX);
	if (o->max_bytes > MP__QUEUE_BYTES_MAX)
		return mp_error_set(-EINVAL,
			"a new queue: max_bytes is %llu, at most %llu is possible",
			(unsigned long long)o->max_bytes, (unsigned long long)MP__QUEUE_BYTES_MAX);
	if (o->max_bytes > 0 && o->max_bytes < MP__QUEUE_UNIT)
		return mp_error_set(-EINVAL,
			"a new queue: max_bytes is %llu, but an empty message takes 8",
			(unsigned long long)o->max_bytes);
	return mp__store_is_wanted(o) ? mp__store_check_options(o) : 0;
}

static uint64_t geometry(struct mp_queue *q)
{
	return q->flags & MP__QUEUE_STORE ? mp__store_geometry(q->max_bytes)
					  : mp__queue_geometry(q->max_bytes, &q->last_region);
}

/* An explicit limit must be possible; the default is made to fit RLIMIT_FSIZE. */
static int choose_size(const mp_queue_options *o, struct mp_queue *q)
{
	uint64_t allowed = mp__file_size_limit();

	q->max_bytes = o->max_bytes ? o->max_bytes : BYTES_DEFAULT;
	for (;;) {
		q->file_size = geometry(q);
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

/* --- making ------------------------------------------------------------------------------------- */

/* What every queue has from the start; the rest of the file is for putters to allocate. */
static int allocate_first(int fd, uint32_t flags)
{
	uint64_t head = MP__QUEUE_CELLS_AT;

	if (flags & MP__QUEUE_JOINABLE)
		head += MP__QUEUE_CELLS * sizeof(struct mp__queue_cell);
	int r = mp__memory_allocate(fd, 0, head, WHAT);
	if (r < 0 || flags & MP__QUEUE_STORE)
		return r;
	return mp__memory_allocate(fd, MP__QUEUE_REGION, MP__QUEUE_REGION, WHAT);
}

static int make_anonymous(const struct mp_queue *q)
{
	return mp__memory_new(
		"mp-queue", 0, q->file_size, 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, WHAT);
}

static int make_nameless_file(const struct mp_queue *q, unsigned int mode)
{
	MP__AUTO_CLOSE int fd = mp__named_file(mode);

	if (fd < 0)
		return fd;
	MP__TEST_POINT("queue.file");
	if (TEMP_FAILURE_RETRY(ftruncate(fd, (off_t)q->file_size)) < 0)
		return mp__error_errno("sizing a queue");
	return MP__TAKE_FD(fd);
}

static void set_pointers(struct mp_queue *q)
{
	q->base = (char *)q->segment.header;
	q->control = (struct mp__queue_control *)q->base;
	q->cells = (struct mp__queue_cell *)(q->base + MP__QUEUE_CELLS_AT);
	/* Dumps of core would hold what is in the queue, of all processes, again and again. */
	(void)madvise(q->base, q->segment.mapped, MADV_DONTDUMP);
}

static void fill(struct mp_queue *q, const mp_queue_options *options)
{
	struct mp__queue_control *c = q->control;
	const char *name = options->name ? options->name : q->name.text;

	mp__named_describe(&c->about, options->persist);
	c->max_bytes = q->max_bytes;
	c->maxsize = q->maxsize;
	c->flags = q->flags;
	if (name)
		snprintf(c->name, sizeof(c->name), "%s", name);
	c->allocated[0] = MP__QUEUE_REGION;
	uint64_t start = mp__ring_pack(0, MP__QUEUE_REGION);
	c->tail = c->tail_seen = c->head = c->head_seen = start;
}

/* Unmapped; the descriptor is still the caller's. */
static void let_go(struct mp_queue *q)
{
	mp__store_close(q->store);
	q->store = NULL;
	q->segment.fd = -1;
	mp__segment_close(&q->segment);
}

/* In a file of the right size, which this takes if it succeeds. */
static int make_in(int fd, const mp_queue_options *options, struct mp_queue *q)
{
	struct mp__segment_type type = queue_type();

	int r = allocate_first(fd, q->flags);
	if (r == 0)
		r = mp__segment_format(&type, fd, q->file_size, q->file_size, &q->segment);
	if (r < 0)
		return r;
	set_pointers(q);
	fill(q, options);
	MP__TEST_POINT("queue.filled");
	if (q->flags & MP__QUEUE_STORE)
		r = mp__store_make(q, options);
	if (r < 0) {
		let_go(q);
		return r;
	}
	MP__TEST_POINT("queue.stored");
	mp__segment_publish(&q->segment);
	MP__TEST_POINT("queue.published");
	return 0;
}

static int load_options(const mp_queue_options *options, struct mp_queue *q)
{
	int r = check_options(options);

	q->maxsize = options->maxsize ? options->maxsize : MP__QUEUE_ITEMS_MAX;
	q->flags = (options->joinable ? MP__QUEUE_JOINABLE : 0) |
		   (mp__store_is_wanted(options) ? MP__QUEUE_STORE : 0);
	return r < 0 ? r : choose_size(options, q);
}

int mp__queue_file_new(const mp_queue_options *options, struct mp_queue *q)
{
	if (options->mode || options->persist)
		return mp_error_set(-EINVAL, "mode and persist are for queues that have a name");
	int r = load_options(options, q);
	if (r < 0)
		return r;
	MP__AUTO_CLOSE int fd = make_anonymous(q);
	if (fd < 0)
		return fd;
	r = make_in(fd, options, q);
	if (r == 0)
		MP__TAKE_FD(fd);
	return r;
}

int mp__queue_file_create(const char *name, const mp_queue_options *options, struct mp_queue *q)
{
	int r = name ? mp__name_set(&q->name, name) : 0;

	if (r == 0)
		r = mp__named_check_mode(options->mode);
	if (r == 0)
		r = load_options(options, q);
	if (r < 0)
		return r;
	MP__AUTO_CLOSE int fd = make_nameless_file(q, options->mode);
	if (fd < 0)
		return fd;
	r = make_in(fd, options, q);
	if (r < 0)
		return r;
	q->name.goes = !options->persist;
	r = mp__name_link(&q->name, fd);
	if (r < 0) {
		let_go(q);
		return r;
	}
	MP__TAKE_FD(fd);
	mp__name_add(&q->name, &q->segment);
	return 0;
}

/* --- attaching ---------------------------------------------------------------------------------- */

/* Everything that is kept in the handle, from a copy: reading a file cannot fault. */
static int check_control(struct mp_queue *q)
{
	struct mp__queue_control c;
	struct stat st;

	if (pread(q->segment.fd, &c, sizeof(c), 0) != (ssize_t)sizeof(c) ||
		fstat(q->segment.fd, &st) < 0)
		return mp_error_set(-EBADMSG, "the memory of a queue: too short");
	if (c.max_bytes < MP__QUEUE_UNIT || c.max_bytes > MP__QUEUE_BYTES_MAX || c.maxsize == 0 ||
		c.maxsize > MP__QUEUE_ITEMS_MAX ||
		c.flags & ~(MP__QUEUE_JOINABLE | MP__QUEUE_STORE))
		return mp_error_set(-EBADMSG, "the memory of a queue: impossible limits");
	q->max_bytes = c.max_bytes;
	q->flags = c.flags;
	q->file_size = geometry(q);
	if (q->segment.size != q->file_size || q->segment.max_size != q->file_size ||
		(uint64_t)st.st_size != q->file_size)
		return mp_error_set(-EBADMSG, "the memory of a queue: %lld bytes, not %llu",
			(long long)st.st_size, (unsigned long long)q->file_size);
	q->maxsize = c.maxsize;
	q->name.goes = !(c.about.flags & MP__BLOCK_PERSIST);
	return 0;
}

int mp__queue_file_attach(int fd, struct mp_queue *q)
{
	struct mp__segment_type type = queue_type();
	unsigned int flags = q->name.text ? (unsigned int)MP__SEGMENT_NAMED : 0;

	int r = mp__segment_attach(&type, fd, flags, &q->segment);
	if (r < 0)
		return r;
	r = check_control(q);
	if (r == 0)
		set_pointers(q);
	if (r == 0 && q->flags & MP__QUEUE_STORE)
		r = mp__store_attach(q);
	if (r < 0) {
		let_go(q);
		return r;
	}
	mp__name_add(&q->name, &q->segment);
	return 0;
}

int mp__queue_file_open(const char *name, struct mp_queue *q)
{
	int r = mp__name_set(&q->name, name);

	if (r < 0)
		return r;
	MP__AUTO_CLOSE int fd = mp__named_open(q->name.path, false);
	if (fd < 0)
		return fd;
	MP__TEST_POINT("queue.attach");
	r = mp__queue_file_attach(fd, q);
	if (r == 0)
		MP__TAKE_FD(fd);
	return r;
}

void mp__queue_file_close(struct mp_queue *q)
{
	mp__store_close(q->store);
	mp__life_end(&q->life);
	mp__name_close(&q->name, &q->segment);
}
