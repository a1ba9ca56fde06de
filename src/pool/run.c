/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/run.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/hot.h"
#include "base/origin.h"
#include "base/testpoint.h"
#include "pool/bytes.h"
#include "pool/loop.h"
#include "pool/limits.h"
#include "pool/pool.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

MP__HOT int mp__pool_find_task(const struct mp__pool_segment *segment, struct mp__pool_found *found,
	uint32_t index, mp_task **ret_task)
{
	mp__any_function *function;

	if (index >= MP__POOL_TASKS_MAX)
		return mp_error_set(-EBADMSG, "task number %u does not exist", index);
	if (index < found->size && found->tasks[index]) {
		*ret_task = found->tasks[index];
		return 0;
	}
	int r = mp__target_resolve(&segment->tasks[index].target, &function);
	if (r < 0)
		return r;
	if (index >= found->size) {
		uint32_t size = index + 16;
		mp_task **tasks = realloc(found->tasks, size * sizeof(*tasks));
		if (!tasks)
			return mp_error_set(-ENOMEM, "no memory for %u tasks", size);
		memset(tasks + found->size, 0, (size - found->size) * sizeof(*tasks));
		found->tasks = tasks;
		found->size = size;
	}
	found->tasks[index] = (mp_task *)function;
	*ret_task = found->tasks[index];
	return 0;
}

/* What mp_task_cancelled() looks at in this thread. */
static _Thread_local struct {
	const struct mp__pool_slot *slot; /* NULL: no task runs */
	const struct mp__pool_header *header;
	uint32_t generation;
} current;

int mp_task_cancelled(void)
{
	return current.slot &&
	       (atomic_load_explicit(&current.slot->cancel, memory_order_acquire) ==
			       current.generation ||
		       atomic_load_explicit(&current.header->stopping, memory_order_relaxed) == 2);
}

bool mp__pool_is_inside(const mp_pool *pool)
{
	return current.slot && current.header == pool->seg.header;
}

void mp__task_name(mp_task *task, char *name, size_t size)
{
	Dl_info info;
	void *address = NULL;

	memcpy(&address, &task, sizeof(address));
	if (!address || !dladdr(address, &info)) {
		snprintf(name, size, "?");
	} else if (info.dli_sname && info.dli_saddr == address) {
		snprintf(name, size, "%s", info.dli_sname);
	} else {
		const char *file = strrchr(info.dli_fname, '/');
		snprintf(name, size, "%.60s+%#tx", file ? file + 1 : info.dli_fname,
			(char *)address - (char *)info.dli_fbase);
	}
}

void mp__pool_task_symbol(
	const struct mp__pool_found *found, uint32_t index, char *name, size_t size)
{
	mp__task_name(index < found->size ? found->tasks[index] : NULL, name, size);
}

MP__HOT int mp__pool_call(mp_task *task, const mp_obj *args, mp_obj *ret_result)
{
	mp__origin here = mp__origin_here();
	bool is_list = args->type == MP_TYPE_LIST;

	mp__error_clear(); /* a sentence of an earlier task is no sentence of this one */
	int r = task(is_list ? (int)args->count : 0, is_list ? args->as.items : NULL, ret_result);
	/* It forked, and this is the child that came back: what it would write is the worker's. */
	if (!mp__origin_is_here(here))
		_exit(EXIT_SUCCESS);
	return r;
}

/* What goes back to the owner. */
struct answer {
	struct mp__pool_bytes bytes;
	struct mp__cargo
		*fds; /* ours: duplicates, since the values that lent them are gone by then */
};

/* Back to where it was. */
static void cut_answer(struct answer *out, size_t size, size_t n_fds)
{
	out->bytes.size = size;
	mp__fds_close(out->fds->fds + n_fds, out->fds->n_fds - n_fds);
	out->fds->n_fds = n_fds;
}

/* Append a value. */
static int put_value(struct answer *out, const mp_obj *value)
{
	size_t size = out->bytes.size;
	size_t n_fds = out->fds->n_fds;
	int r = mp__pool_bytes_put(&out->bytes, value, out->fds);

	if (r < 0)
		return r;
	for (size_t i = n_fds; i < out->fds->n_fds; i++) {
		int fd = mp__fd_dup(out->fds->fds[i]);
		if (fd < 0) {
			out->fds->n_fds = i; /* the rest is lent */
			cut_answer(out, size, n_fds);
			return fd;
		}
		out->fds->fds[i] = fd;
	}
	return 0;
}

/*
 * What a failed task leaves behind what is in `out` already: its sentence up to a NUL, and the value
 * in *ret_result, if any and if it can travel.
 */
static int record_failure(struct answer *out, int result, const mp_obj *detail)
{
	char why[MP__DETAIL_SIZE];

	snprintf(why, sizeof(why), "%s", mp_error_detail());
	int r = mp__pool_bytes_add(&out->bytes, why, strlen(why) + 1);
	if (r == 0 && detail && detail->type != MP_TYPE_NIL)
		put_value(out, detail);
	return result;
}

/*
 * Call it with the encoded arguments. Its result is appended to `out`, or what record_failure()
 * writes.
 */
MP__HOT static int call(mp_task *task, const uint8_t *data, size_t size, struct mp__cargo *cargo,
	struct answer *out)
{
	mp_obj args;
	mp_obj result = mp_nil();

	MP__TEST_POINT("pool.decoding");
	int r = mp__obj_decode(data, size, cargo, &args);
	if (r < 0)
		return record_failure(out, r, NULL);
	r = mp__pool_call(task, &args, &result);
	MP__TEST_POINT("pool.encoding");
	if (r >= 0) {
		r = put_value(out, &result);
		if (r < 0)
			record_failure(out, r, NULL);
	} else {
		if (!*mp_error_detail())
			mp_error_set(r, "the task returned %d (%s)", r, mp_strerror(r));
		record_failure(out, r, &result);
	}
	mp_obj_free(&result);
	mp_obj_free(&args);
	return r;
}

/* Of a whole chunk there is nothing but this failure. */
static int keep_failure(struct answer *out, size_t at, size_t fds_at, int result)
{
	struct mp__cargo *fds = out->fds;

	memmove(out->bytes.data, out->bytes.data + at, out->bytes.size - at);
	out->bytes.size -= at;
	mp__fds_close(fds->fds, fds_at);
	fds->n_fds -= fds_at;
	memmove(fds->fds, fds->fds + fds_at, fds->n_fds * sizeof(*fds->fds));
	return result;
}

/* An item and its place among the results: {length, error code if `each`, value or failure}. */
static int call_item(mp_task *task, const uint8_t *item, size_t size, struct mp__cargo *cargo,
	bool each, struct answer *out)
{
	int32_t head[2] = {0};
	size_t at = out->bytes.size;
	size_t fds_at = out->fds->n_fds;
	size_t head_size = each ? sizeof(head) : sizeof(head[0]);
	int r = mp__pool_bytes_add(&out->bytes, head, head_size);

	if (r < 0)
		return keep_failure(out, at, fds_at, record_failure(out, r, NULL));
	r = call(task, item, size, cargo, out);
	if (r < 0 && !each)
		return keep_failure(out, at + head_size, fds_at, r);
	uint32_t length = (uint32_t)(out->bytes.size - at - sizeof(length));
	head[1] = r < 0 ? r : 0;
	memcpy(&head[0], &length, sizeof(length));
	memcpy(out->bytes.data + at, head, head_size);
	return 0;
}

static int call_all(mp_task *task, const uint8_t *data, size_t size, uint32_t n_items, bool each,
	struct mp__cargo *cargo, struct answer *out)
{
	size_t at = 0;

	for (uint32_t i = 0; i < n_items; i++) {
		const uint8_t *item;
		size_t item_size;
		if (!mp__pool_bytes_next(data, size, &at, &item, &item_size)) {
			cut_answer(out, 0, 0);
			return record_failure(out,
				mp_error_set(-EBADMSG, "item %u of %u is missing", i, n_items),
				NULL);
		}
		int r = call_item(task, item, item_size, cargo, each, out);
		if (r < 0)
			return r;
	}
	return 0;
}

MP__HOT static int run(const struct mp__pool_segment *segment, struct mp__pool_found *found,
	uint32_t worker, uint32_t number, struct mp__cargo *cargo, struct answer *out)
{
	const struct mp__pool_slot *slot = &segment->slots[number];
	uint32_t size = slot->args_size;
	uint8_t small[MP__POOL_ROOM_BYTES];
	const uint8_t *data = small;
	MP__AUTO_FREE uint8_t *copy = NULL;
	mp_task *task;
	int r = mp__pool_find_task(segment, found, slot->task, &task);

	if (r < 0)
		return r;
	if (slot->n_fds != cargo->n_fds)
		return mp_error_set(-EMFILE,
			"the worker has no room for %u descriptors of the arguments", slot->n_fds);
	const uint8_t *near = mp__pool_segment_bytes(segment, number, slot->room, size);
	if (near) {
		/* Checked and used as a copy: other workers could change it, and the result comes here. */
		memcpy(small, near, size);
	} else {
		copy = size <= MP__POOL_PAYLOAD_MAX ? malloc(size) : NULL;
		if (!copy)
			return mp_error_set(-ENOMEM, "no memory for arguments of %u bytes", size);
		r = mp__pool_payload_read(segment, number, MP__POOL_PAYLOAD_ARGS, copy, size);
		if (r < 0)
			return r;
		data = copy;
	}
	if (slot->kind == MP__POOL_MAP || slot->kind == MP__POOL_EACH)
		return call_all(
			task, data, size, slot->n_items, slot->kind == MP__POOL_EACH, cargo, out);
	if (slot->kind == MP__POOL_LOOP)
		return mp__pool_run_loop(
			segment, worker, (mp_body *)(void *)task, data, size, cargo);
	return call(task, data, size, cargo, out);
}

MP__HOT static int run_limited(const struct mp__pool_segment *segment, struct mp__pool_found *found,
	uint32_t worker, uint32_t number, struct mp__cargo *cargo, struct answer *out)
{
	struct mp__limits limits;
	int r = mp__limits_begin(&limits, segment, number, &segment->workers[worker]);

	if (r == 0)
		r = run(segment, found, worker, number, cargo, out);
	mp__limits_end(&limits);
	return r;
}

static int write_result(
	const struct mp__pool_segment *segment, uint32_t number, const struct mp__pool_bytes *out)
{
	struct mp__pool_slot *slot = &segment->slots[number];
	uint8_t *near = mp__pool_segment_bytes(segment, number, slot->room, out->size);

	slot->result_size = (uint32_t)out->size;
	if (!near)
		return mp__pool_payload_write(
			segment, number, MP__POOL_PAYLOAD_RESULT, out->data, out->size);
	memcpy(near, out->data, out->size);
	return 0;
}

MP__HOT void mp__pool_run(const struct mp__pool_segment *segment, struct mp__pool_found *found,
	uint32_t worker, uint32_t number, struct mp__cargo *cargo, struct mp__cargo *back)
{
	struct mp__pool_slot *slot = &segment->slots[number];
	struct answer out = {.fds = back};

	mp__pool_bytes_init(&out.bytes);
	current.slot = slot;
	current.header = segment->header;
	current.generation =
		mp__pool_state_generation(atomic_load_explicit(&slot->state, memory_order_relaxed));
	int r = run_limited(segment, found, worker, number, cargo, &out);
	current.slot = NULL;
	if (r < 0 && out.bytes.size == 0)
		record_failure(&out, r, NULL);
	int written = write_result(segment, number, &out.bytes);
	if (written < 0 && r >= 0)
		r = written;
	/* No room for a sentence: the owner knows one. */
	if (written < 0) {
		slot->result_size = 0;
		cut_answer(&out, 0, 0);
	}
	slot->result = r;
	slot->n_fds = (uint8_t)back->n_fds;
	mp__pool_bytes_free(&out.bytes);
}
