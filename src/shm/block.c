/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/block.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/options.h"
#include "base/stamp.h"
#include "base/testpoint.h"
#include "shm/block_layout.h"
#include "shm/memory.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* --- making ------------------------------------------------------------------------------------ */

static int load(mp_block_options *o, const mp_block_options *options, mp_block **ret_block)
{
	if (!ret_block)
		return mp_error_set(-EINVAL, "a block: the place for its handle is NULL");
	return mp__options_load(o, sizeof(*o), 0, options);
}

static int check_size(size_t size, const mp_block_options *o)
{
	if (size == 0 || size > MP__SEGMENT_MAX)
		return mp_error_set(-EINVAL, "a block has 1 to %llu bytes, not %zu",
			(unsigned long long)MP__SEGMENT_MAX, size);
	if (o->max_size != 0 && (o->max_size < size || o->max_size > MP__SEGMENT_MAX))
		return mp_error_set(
			-EINVAL, "a block of %zu bytes may not grow to %zu", size, o->max_size);
	if (o->readonly || o->plain)
		return mp_error_set(-EINVAL, "readonly and plain are for opening a block");
	return 0;
}

static int block_alloc(const struct mp__shm_kind *kind, mp_block **ret_block)
{
	mp_block *block = calloc(1, sizeof(*block));

	if (!block)
		return mp_error_set(-ENOMEM, "no memory for the handle of a block");
	block->handle.class = kind->class;
	block->refs = 1;
	block->seg.fd = -1;
	block->data_at = MP__BLOCK_DATA_AT;
	mp__fork_lock_init(&block->lock);
	*ret_block = block;
	return 0;
}

/* Contents and publication of what was just made; nobody else has it yet. */
static void finish(mp_block *block, const mp_block_options *o, size_t size, mp__shm_fill *fill,
	const void *context)
{
	mp__named_describe((struct mp__block_header *)block->seg.header, o->persist);
	block->size = size;
	if (fill)
		fill(mp_block_data(block), context);
	MP__TEST_POINT("block.filled");
	mp__segment_publish(&block->seg);
	MP__TEST_POINT("block.published");
}

/* Best effort, all of it: without it pages are mapped at their first use. */
static void prepare_pages(mp_block *block, const mp_block_options *o)
{
	char *data = mp_block_data(block);
	size_t size = block->size;
	char *page = (char *)((uintptr_t)data & ~(uintptr_t)4095);
	size_t length = size + (size_t)(data - page);

	if (o->huge_pages)
		(void)madvise(block->seg.header, block->seg.mapped, MADV_HUGEPAGE);
	if (!o->prefault ||
		madvise(page, length,
			block->seg.readonly ? MADV_POPULATE_READ : MADV_POPULATE_WRITE) == 0)
		return;
	for (size_t at = 0; at < length; at += 4096)
		(void)*(volatile char *)(page + at);
}

static int make_anonymous(const struct mp__shm_kind *kind, size_t size, const mp_block_options *o,
	struct mp__segment *ret_segment)
{
	uint64_t max_size = o->max_size ? o->max_size + MP__BLOCK_DATA_AT : 0;

	/* What may grow can't be of such pages: mapping more of them makes the file longer. */
	if (o->huge_pages && max_size == 0 &&
		mp__segment_create(
			&kind->type, size + MP__BLOCK_DATA_AT, 0, MFD_HUGETLB, ret_segment) == 0)
		return 0;
	return mp__segment_create(&kind->type, size + MP__BLOCK_DATA_AT, max_size, 0, ret_segment);
}

int mp__shm_new(const struct mp__shm_kind *kind, size_t size, const mp_block_options *options,
	mp__shm_fill *fill, const void *context, mp_block **ret_block)
{
	mp_block_options o;
	mp_block *block = NULL;
	int r = load(&o, options, ret_block);

	if (r == 0)
		r = check_size(size, &o);
	if (r == 0 && (o.mode || o.persist))
		r = mp_error_set(-EINVAL, "mode and persist are for blocks that have a name");
	if (r == 0)
		r = block_alloc(kind, &block);
	if (r != 0)
		return r;
	r = make_anonymous(kind, size, &o, &block->seg);
	if (r < 0) {
		free(block);
		return r;
	}
	finish(block, &o, size, fill, context);
	prepare_pages(block, &o);
	*ret_block = block;
	return 0;
}

/* A file without a name, with everything in it. */
static int make_file(const struct mp__shm_kind *kind, mp_block *block, size_t size,
	const mp_block_options *o, mp__shm_fill *fill, const void *context)
{
	uint64_t whole = size + (uint64_t)MP__BLOCK_DATA_AT;
	uint64_t max_size = o->max_size ? o->max_size + MP__BLOCK_DATA_AT : whole;
	MP__AUTO_CLOSE int fd = mp__named_file(o->mode);

	if (fd < 0)
		return fd;
	MP__TEST_POINT("block.file");
	int r = mp__memory_allocate(fd, 0, whole, kind->type.what);
	if (r == 0)
		r = mp__segment_format(&kind->type, fd, whole, max_size, &block->seg);
	if (r < 0)
		return r;
	MP__TAKE_FD(fd);
	finish(block, o, size, fill, context);
	return 0;
}

int mp__shm_create(const struct mp__shm_kind *kind, const char *name, size_t size,
	const mp_block_options *options, mp__shm_fill *fill, const void *context,
	mp_block **ret_block)
{
	mp_block_options o;
	mp_block *block = NULL;
	int r = load(&o, options, ret_block);

	if (r == 0)
		r = check_size(size, &o);
	if (r == 0)
		r = mp__named_check_mode(o.mode);
	if (r == 0)
		r = block_alloc(kind, &block);
	if (r != 0)
		return r;
	block->name.goes = !o.persist;
	if (name)
		r = mp__name_set(&block->name, name);
	if (r == 0)
		r = make_file(kind, block, size, &o, fill, context);
	if (r == 0)
		r = mp__name_link(&block->name, block->seg.fd);
	if (r < 0) {
		mp__segment_close(&block->seg);
		free(block);
		return r;
	}
	mp__name_add(&block->name, &block->seg);
	prepare_pages(block, &o);
	*ret_block = block;
	return 0;
}

/* --- opening ----------------------------------------------------------------------------------- */

/* The file of another library: all of it is data, and of its size only what it has now. */
static int open_plain(mp_block *block, const char *name, const mp_block_options *o)
{
	const char *bare;
	char path[MP__NAMED_PATH_SIZE];
	struct stat st;
	int r = mp__named_path(name, path, &bare);

	if (r < 0)
		return r;
	char *at = block->name.path;
	snprintf(at, sizeof(block->name.path), MP__NAMED_DIR "%s", bare);
	block->name.text = at + sizeof(MP__NAMED_DIR) - 1;
	block->plain = true;
	block->data_at = 0;
	MP__AUTO_CLOSE int fd = mp__fd_above_std(
		open(at, (o->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
	if (fd < 0 || fstat(fd, &st) < 0)
		return mp_error_set(-errno, "opening %s: %s", at, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return mp_error_set(-EBADMSG, "%s is empty, or no file", at);
	block->seg.readonly = o->readonly;
	block->seg.size = block->seg.max_size = (uint64_t)st.st_size;
	block->seg.mapped = (size_t)st.st_size;
	void *base = mmap(NULL, block->seg.mapped, o->readonly ? PROT_READ : PROT_READ | PROT_WRITE,
		MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return mp__error_errno("mapping a plain block");
	block->seg.header = base;
	block->seg.fd = MP__TAKE_FD(fd);
	block->size = (size_t)st.st_size;
	return 0;
}

/* Takes fd on success. */
static int attach(const struct mp__shm_kind *kind, mp_block *block, int fd, unsigned int flags)
{
	int r = mp__segment_attach(&kind->type, fd, flags, &block->seg);

	if (r < 0)
		return r;
	if (block->seg.size <= MP__BLOCK_DATA_AT)
		r = mp_error_set(-EBADMSG, "%s has no data", kind->type.what);
	else
		block->size = (size_t)(block->seg.size - MP__BLOCK_DATA_AT);
	if (r == 0 && kind->check)
		r = kind->check(mp_block_data(block), block->size);
	if (r < 0) {
		block->seg.fd = -1;
		mp__segment_close(&block->seg);
		return r;
	}
	const struct mp__block_header *header = (const struct mp__block_header *)block->seg.header;
	block->name.goes = !(header->flags & MP__BLOCK_PERSIST);
	return 0;
}

static int open_named(const struct mp__shm_kind *kind, mp_block *block, const char *name,
	const mp_block_options *o)
{
	int r = mp__name_set(&block->name, name);

	if (r < 0)
		return r;
	MP__AUTO_CLOSE int fd = mp__named_open(block->name.path, o->readonly);
	if (fd < 0)
		return fd;
	MP__TEST_POINT("block.attach");
	r = attach(kind, block, fd,
		MP__SEGMENT_NAMED | (o->readonly ? (unsigned int)MP__SEGMENT_READONLY : 0));
	if (r < 0)
		return r;
	MP__TAKE_FD(fd);
	mp__name_add(&block->name, &block->seg);
	return 0;
}

int mp__shm_open(const struct mp__shm_kind *kind, const char *name, const mp_block_options *options,
	mp_block **ret_block)
{
	mp_block_options o;
	mp_block *block = NULL;
	int r = load(&o, options, ret_block);

	if (r == 0 && (o.max_size || o.mode || o.persist))
		r = mp_error_set(-EINVAL, "max_size, mode and persist are for making a block");
	if (r == 0)
		r = block_alloc(kind, &block);
	if (r != 0)
		return r;
	r = o.plain ? open_plain(block, name, &o) : open_named(kind, block, name, &o);
	if (r < 0) {
		free(block);
		return r;
	}
	prepare_pages(block, &o);
	*ret_block = block;
	return 0;
}

/* --- using ------------------------------------------------------------------------------------- */

static int no_block(void)
{
	return mp_error_set(-EINVAL, "no block: the pointer is NULL");
}

void *mp_block_data(const mp_block *block)
{
	return block ? (char *)block->seg.header + block->data_at : NULL;
}

size_t mp_block_size(const mp_block *block)
{
	return block ? atomic_load_explicit(&block->size, memory_order_acquire) : 0;
}

const char *mp_block_name(const mp_block *block)
{
	return block ? block->name.text : NULL;
}

int mp_block_grow(mp_block *block, size_t size)
{
	if (!block)
		return no_block();
	if (size <= mp_block_size(block))
		return 0;
	if (block->seg.readonly)
		return mp_error_set(-EPERM,
			"growing a block that was opened for looking only (option readonly)");
	if (block->plain)
		return mp_error_set(-ENOTSUP, "%s is not libmp's to grow", block->name.path);
	if (size > block->seg.max_size - MP__BLOCK_DATA_AT)
		return mp_error_set(-ENOSPC,
			"a block may have %llu bytes, not %zu: see the option max_size",
			(unsigned long long)(block->seg.max_size - MP__BLOCK_DATA_AT), size);
	(void)mp__fork_lock_take(&block->lock, MP__DEADLINE_NEVER);
	int r = mp__segment_grow(&block->seg, size + MP__BLOCK_DATA_AT, "a block");
	if (r == 0)
		atomic_store_explicit(&block->size, size, memory_order_release);
	mp__fork_lock_release(&block->lock);
	return r;
}

int mp_block_refresh(mp_block *block)
{
	if (!block)
		return no_block();
	if (block->plain)
		return 0;
	(void)mp__fork_lock_take(&block->lock, MP__DEADLINE_NEVER);
	int r = mp__segment_refresh(&block->seg);
	if (r > 0)
		atomic_store_explicit(&block->size, (size_t)(block->seg.size - MP__BLOCK_DATA_AT),
			memory_order_release);
	mp__fork_lock_release(&block->lock);
	return r;
}

mp_block *mp_block_ref(mp_block *block)
{
	if (block)
		atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
	return block;
}

void mp_block_close(mp_block *block)
{
	/* Release and acquire: all use of the block comes before its end. */
	if (!block || atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) > 1)
		return;
	mp__name_close(&block->name, &block->seg);
	free(block);
}

/* --- travelling -------------------------------------------------------------------------------- */

/* What stands in a struct mp__handle_wire, then the name; with the descriptor. */
struct travel {
	uint32_t readonly;
};

void mp__shm_ref(struct mp__handle *handle)
{
	mp_block_ref((mp_block *)handle);
}

void mp__shm_unref(struct mp__handle *handle)
{
	mp_block_close((mp_block *)handle);
}

int mp__shm_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	const mp_block *block = (const mp_block *)handle;
	struct travel travel = {.readonly = block->seg.readonly};
	size_t length = block->name.text ? strlen(block->name.text) : 0;

	if (block->plain)
		return mp_error_set(-ENOTSUP, "%s is not libmp's: other processes open it by name",
			block->name.path);
	memcpy(ret_wire->data, &travel, sizeof(travel));
	if (length > 0)
		memcpy(ret_wire->data + sizeof(travel), block->name.text, length);
	ret_wire->size = sizeof(travel) + length;
	ret_wire->fds[0] = block->seg.fd;
	ret_wire->n_fds = 1;
	return 0;
}

static int bad_handle(const char *what)
{
	return mp_error_set(-EBADMSG, "the handle of %s is damaged", what);
}

int mp__shm_import(const struct mp__shm_kind *kind, struct mp__handle_wire *wire,
	struct mp__handle **ret_handle)
{
	struct travel travel;
	mp_block *block = NULL;
	int access;

	if (wire->n_fds != 1 || wire->size < sizeof(travel) ||
		(access = fcntl(wire->fds[0], F_GETFL)) < 0)
		return bad_handle(kind->type.what);
	memcpy(&travel, wire->data, sizeof(travel));
	/* Of memory, if not sealed: a named one has no seals. */
	if (travel.readonly > 1 || fcntl(wire->fds[0], F_GET_SEALS) < 0)
		return bad_handle(kind->type.what);
	bool readonly = travel.readonly || (access & O_ACCMODE) == O_RDONLY;
	bool named = wire->size > sizeof(travel);
	int r = block_alloc(kind, &block);
	if (r < 0)
		return r;
	if (named)
		r = mp__name_import(
			&block->name, wire->data + sizeof(travel), wire->size - sizeof(travel));
	if (r == 0)
		r = attach(kind, block, wire->fds[0],
			(readonly ? (unsigned int)MP__SEGMENT_READONLY : 0) |
				(named ? (unsigned int)MP__SEGMENT_NAMED : 0));
	if (r < 0) {
		free(block);
		return r;
	}
	wire->fds[0] = -1;
	mp__name_add(&block->name, &block->seg);
	*ret_handle = &block->handle;
	return 0;
}

/* --- blocks as such ---------------------------------------------------------------------------- */

const struct mp__shm_kind mp__block_kind = {
	.type = {.kind = MP__SEGMENT_BLOCK,
		.fingerprint = 1,
		.name = "mp-block",
		.what = "a block"},
	.class = &mp__block_class,
};

static int import_block(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	return mp__shm_import(&mp__block_kind, wire, ret_handle);
}

const struct mp__handle_class mp__block_class = {
	.kind = MP__HANDLE_BLOCK,
	.name = "block",
	.ref = mp__shm_ref,
	.unref = mp__shm_unref,
	.export = mp__shm_export,
	.import = import_block,
};

int mp_block_new(size_t size, const mp_block_options *options, mp_block **ret_block)
{
	return mp__shm_new(&mp__block_kind, size, options, NULL, NULL, ret_block);
}

int mp_block_create(
	const char *name, size_t size, const mp_block_options *options, mp_block **ret_block)
{
	return mp__shm_create(&mp__block_kind, name, size, options, NULL, NULL, ret_block);
}

int mp_block_open(const char *name, const mp_block_options *options, mp_block **ret_block)
{
	return mp__shm_open(&mp__block_kind, name, options, ret_block);
}

int mp_block_unlink(const char *name)
{
	char path[MP__NAMED_PATH_SIZE];
	int r = mp__named_path(name, path, NULL);

	return r < 0 ? r : mp__named_unlink(path);
}

mp_obj mp_block_handle(mp_block *block)
{
	return mp__handle_obj(block ? &block->handle : NULL);
}

mp_block *mp_obj_block(const mp_obj *value)
{
	return (mp_block *)mp__obj_handle(value, MP__HANDLE_BLOCK);
}
