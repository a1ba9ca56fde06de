/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the memory of queues, of queues in another order or with leases, of heaps, of pipes, and
 * files of named objects, whose bytes a hostile peer has changed. They are used by who had them before, by
 * whom they are sent to, and by whom the name leads there. Every call comes back, with whatever result,
 * and reads and writes nothing outside. Input: which kind, and whether calls wait for a while or not at
 * all (most inputs: sleeping finds nothing), then (offset, byte) triples.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "base/fds.h"
#include "conn/pipe_layout.h"
#include "obj/handle.h"
#include "queue/queue.h"
#include "queue/queue_layout.h"
#include "queue/store_layout.h"
#include "shm/heap.h"
#include "shm/heap_handle.h"
#include "shm/heap_layout.h"
#include "shm/named.h"

#include <fcntl.h>
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MESSAGES 5
/* What a queue may use, a lie can make it use: a GiB takes the kernel a second. */
#define MOST_BYTES 65536
/* Of 256 first bytes these wait for a millisecond. */
#define PATIENT 0xf0

static int patience = MP_NOWAIT;

/* --- what others do to it --------------------------------------------------------------------------- */

/*
 * In a mapping of one's own, as they would have, from `from` on. Of queues offsets below 8192 are where the
 * heads are, those behind are in the first records.
 */
static void mutate(int fd, size_t from, const uint8_t *data, size_t size)
{
	struct stat st;

	expect(fstat(fd, &st) == 0 && st.st_size >= 4096);
	char *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(at != MAP_FAILED);
	for (size_t i = 0; i + 3 <= size; i += 3) {
		size_t offset = (size_t)(data[i] | data[i + 1] << 8) % 10240;
		if (from == 0 && offset >= 8192)
			offset = MP__QUEUE_REGION + offset - 8192;
		at[(from + offset) % (size_t)st.st_size] = (char)data[i + 2];
	}
	munmap(at, (size_t)st.st_size);
}

/*
 * A guard that nobody can say of whether its owner lives is waited for, up to ten seconds: not what is
 * looked for here.
 */
static void open_guard(int fd, size_t offset)
{
	static const mp__guard nobody;

	expect(pwrite(fd, (const void *)&nobody, sizeof(nobody), (off_t)offset) == sizeof(nobody));
}

static void open_queue(mp_queue *q)
{
	open_guard(q->segment.fd, offsetof(struct mp__queue_control, put_guard));
	open_guard(q->segment.fd, offsetof(struct mp__queue_control, get_guard));
	if (q->store)
		open_guard(q->segment.fd, MP__STORE_AT + offsetof(struct mp__heap_header, guard));
}

/* As if another process had sent it. */
static int take(struct mp__handle *from, struct mp__handle **ret)
{
	struct mp__handle_wire wire;

	expect(from->class->export(from, &wire) == 0);
	for (size_t i = 0; i < wire.n_fds; i++) {
		wire.fds[i] = mp__fd_dup(wire.fds[i]);
		expect(wire.fds[i] >= 0);
	}
	int r = from->class->import(&wire, ret);
	mp__fds_close(wire.fds, wire.n_fds);
	return r;
}

/* --- queues ------------------------------------------------------------------------------------------ */

static void use_leases(mp_queue *q)
{
	mp_lease lease;
	mp_obj value;

	for (int i = 0; i < 3; i++) {
		if (mp_queue_lease(q, i % 2 ? patience : MP_NOWAIT, &value, &lease) < 0)
			continue;
		mp_obj_free(&value);
		if (i == 1)
			mp_queue_nack(q, lease);
		else
			mp_queue_ack(q, lease);
		mp_queue_ack(q, lease);
	}
	if (mp_queue_poison_get(q, &value) == 0)
		mp_obj_free(&value);
	mp_queue_leased(q);
	mp_queue_poison_count(q);
}

static void use_batches(mp_queue *q)
{
	char buffer[256] = "abcdefghi";
	struct iovec messages[4] = {{buffer, 1}, {buffer, 9}, {buffer, 0}};
	mp_obj values[4];

	mp_queue_put_many_bytes(q, messages, 3, MP_NOWAIT);
	int n = mp_queue_get_many(q, MP_NOWAIT, values, 4);
	for (int i = 0; i < n; i++)
		mp_obj_free(&values[i]);
	n = mp_queue_get_many_bytes(q, MP_NOWAIT, buffer, sizeof(buffer), messages, 4);
	for (int i = 0; i < n; i++)
		expect((char *)messages[i].iov_base >= buffer &&
			(char *)messages[i].iov_base + messages[i].iov_len <=
				buffer + sizeof(buffer));
}

static void use_in_place(mp_queue *q)
{
	const void *there;
	void *room;
	size_t size;

	if (mp_queue_reserve(q, 100, MP_NOWAIT, &room) == 0) {
		memset(room, 'r', 100);
		mp_queue_commit(q, 50);
	}
	if (mp_queue_peek(q, MP_NOWAIT, &there, &size) == 0) {
		volatile char last = size > 0 ? ((const char *)there)[size - 1] : 0;
		(void)last;
		mp_queue_consume(q);
	}
}

static void use_queue(mp_queue *q)
{
	char buffer[16];
	mp_obj value;
	size_t size;
	void *data;

	mp_queue_size(q);
	mp_queue_bytes(q);
	mp_queue_full(q);
	mp_queue_is_shutdown(q);
	mp_queue_put_bytes(q, "0123456789", 10, MP_NOWAIT);
	if (mp_queue_get(q, MP_NOWAIT, &value) == 0)
		mp_obj_free(&value);
	use_in_place(q);
	use_batches(q);
	use_leases(q);
	mp_queue_put(q, MP_LIST(mp_i64(1), mp_str("two")), patience);
	if (mp_queue_get_bytes_into(q, buffer, sizeof(buffer), patience, &size) == 0)
		expect(size <= sizeof(buffer));
	if (mp_queue_get_bytes(q, patience, &data, &size) == 0)
		free(data);
	mp_wait((mp_waitable[]){MP_WAIT(q)}, 1, patience);
	mp_queue_task_done(q);
	mp_queue_join(q, MP_NOWAIT);
	mp_queue_shutdown(q, MP_QUEUE_DRAIN);
	while (mp_queue_size(q) < 100 && mp_queue_get(q, MP_NOWAIT, &value) == 0)
		mp_obj_free(&value);
	mp_queue_shutdown(q, MP_QUEUE_IMMEDIATE);
}

static void fill(mp_queue *q)
{
	for (int i = 0; i < MESSAGES; i++)
		mp_queue_put(q, MP_LIST(mp_i64(i), mp_str("a message")), MP_NOWAIT);
}

static void try_queue(
	const mp_queue_options *options, size_t from, const uint8_t *data, size_t size)
{
	struct mp__handle *taken;
	mp_queue *q;

	expect(mp_queue_new(options, &q) == 0);
	fill(q);
	mutate(q->segment.fd, from, data, size);
	open_queue(q);
	if (take(&q->handle, &taken) == 0) {
		use_queue((mp_queue *)taken);
		mp_queue_close((mp_queue *)taken);
	}
	mutate(q->segment.fd, from, data, size);
	open_queue(q);
	use_queue(q);
	mp_queue_close(q);
}

/* --- heaps ------------------------------------------------------------------------------------------- */

/* What is inside the heap can be written. */
static void touch(mp_heap *heap, void *block, size_t size)
{
	expect(mp_heap_offset(heap, block) > 0);
	memset(block, 'h', size);
}

static void use_heap(mp_heap *heap)
{
	mp_heap_stats stats;
	mp_heap_block block;
	void *made[4] = {NULL};

	for (size_t i = 0; i < 4; i++) {
		if (mp_heap_alloc(heap, 40 << i, &made[i]) == 0)
			touch(heap, made[i], 40 << i);
	}
	mp_heap_free(heap, made[1]);
	if (mp_heap_alloc_aligned(heap, 256, 100, &made[1]) == 0)
		touch(heap, made[1], 100);
	void *after = NULL;
	for (int i = 0; i < 20 && mp_heap_next(heap, after, &block) == 0; i++) {
		if (block.size > 0)
			touch(heap, block.data, block.size);
		after = block.data;
	}
	volatile char *root = mp_heap_root(heap);
	if (root)
		*root = 'r';
	mp_heap_stat(heap, &stats);
	mp_heap_reclaim(heap);
	for (size_t i = 0; i < 4; i++)
		mp_heap_free(heap, made[i]);
	mp_heap_check(heap);
}

static void try_heap(const uint8_t *data, size_t size)
{
	struct mp__handle *taken;
	mp_heap *heap;
	void *block;

	expect(mp_heap_new(8000, MP_HEAP_OPTIONS(.max_size = 40000), &heap) == 0);
	for (size_t i = 1; i < 6; i++) {
		expect(mp_heap_alloc(heap, 50 * i, &block) == 0);
		mp_heap_set_root(heap, block);
		if (i % 2)
			mp_heap_free(heap, block);
	}
	struct mp__handle_wire wire;
	expect(mp__heap_class.export((struct mp__handle *)heap, &wire) == 0);
	mutate(wire.fds[0], 0, data, size);
	open_guard(wire.fds[0], offsetof(struct mp__heap_header, guard));
	if (take((struct mp__handle *)heap, &taken) == 0) {
		use_heap((mp_heap *)taken);
		mp_heap_close((mp_heap *)taken);
	}
	use_heap(heap);
	mp_heap_close(heap);
}

/* --- pipes ------------------------------------------------------------------------------------------- */

static void open_pipe(int fd)
{
	for (size_t i = 0; i < 2; i++) {
		size_t at =
			offsetof(struct mp__pipe_layout, rings) + i * sizeof(struct mp__pipe_ring);
		open_guard(fd, at + offsetof(struct mp__pipe_ring, sending));
		open_guard(fd, at + offsetof(struct mp__pipe_ring, receiving));
	}
}

static void use_pipe(mp_connection *c)
{
	static const char text[3000];
	char buffer[16];
	mp_obj value;
	size_t size;
	void *data;

	mp_connection_send_bytes(c, text, sizeof(text), MP_NOWAIT);
	mp_connection_poll(c, patience);
	if (mp_connection_recv(c, MP_NOWAIT, &value) == 0)
		mp_obj_free(&value);
	if (mp_connection_recv_bytes_into(c, buffer, sizeof(buffer), MP_NOWAIT, &size) == 0)
		expect(size <= sizeof(buffer));
	mp_connection_fileno(c);
	mp_connection_send(c, mp_fd(STDERR_FILENO), MP_NOWAIT);
	for (int i = 0; i < 20 && mp_connection_recv_bytes(c, MP_NOWAIT, &data, &size) == 0; i++)
		free(data);
	mp_connection_poll(c, MP_NOWAIT);
	if (mp_connection_recv(c, patience, &value) == 0)
		mp_obj_free(&value);
}

static void try_pipe(const uint8_t *data, size_t size)
{
	struct mp__handle_wire wire;
	struct mp__handle *taken;
	mp_connection *ends[2];

	expect(mp_pipe(MP_CONNECTION_OPTIONS(.max_message = 5000), &ends[0], &ends[1]) == 0);
	struct mp__handle *other = (struct mp__handle *)ends[1];
	expect(other->class->export(other, &wire) == 0);
	int fd = wire.fds[0];
	for (int i = 0; i < 3; i++) {
		mp_connection_send(ends[i % 2], mp_i64(i), MP_NOWAIT);
		mp_connection_send(ends[i % 2], mp_fd(STDERR_FILENO), MP_NOWAIT);
	}
	mutate(fd, offsetof(struct mp__pipe_layout, rings), data, size);
	open_pipe(fd);
	if (take(other, &taken) == 0) {
		use_pipe((mp_connection *)taken);
		mp_connection_close((mp_connection *)taken);
	}
	open_pipe(fd);
	use_pipe(ends[0]);
	use_pipe(ends[1]);
	mp_connection_close(ends[0]);
	mp_connection_close(ends[1]);
}

/* --- names ------------------------------------------------------------------------------------------- */

static void list_one(const mp_shm_leftover *leftover, void *data)
{
	(void)data;
	expect(strlen(leftover->program) <= 16 && leftover->kind != NULL);
}

/* The name leads to a file of any bytes that somebody else may change. */
static void try_named(bool queue, const uint8_t *data, size_t size)
{
	char path[MP__NAMED_PATH_SIZE];
	char name[64];
	mp_block *block = NULL;
	mp_block *b;
	mp_queue *q = NULL;
	mp_queue *other;

	snprintf(name, sizeof(name), "fuzz-%d", getpid());
	mp_block_unlink(name);
	if (queue)
		expect(mp_queue_create(name,
			       MP_QUEUE_OPTIONS(.maxsize = 10, .max_bytes = MOST_BYTES), &q) == 0);
	else
		expect(mp_block_create(name, 5000, NULL, &block) == 0);
	if (q)
		fill(q);
	expect(mp__named_path(name, path, NULL) == 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	expect(fd >= 0);
	mutate(fd, 0, data, size);
	if (mp_block_open(name, NULL, &b) == 0) {
		memset(mp_block_data(b), 1, mp_block_size(b));
		mp_block_close(b);
	}
	if (q)
		open_queue(q);
	if (mp_queue_open(name, &other) == 0) {
		use_queue(other);
		mp_queue_close(other);
	}
	if (patience != MP_NOWAIT) /* it looks at what others have there, too */
		mp_shm_gc(0, list_one, NULL);
	mp_queue_close(q);
	mp_block_close(block);
	mp_block_unlink(name);
	close(fd);
}

/* --- one input ---------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const uint8_t *rest = data + 1;
	size_t n = size - 1;
	patience = data[0] >= PATIENT ? 1 : MP_NOWAIT;
	mp__heap_in_vain_max = 3; /* a thousand system calls find no more */
	/* A pipe is 132 KiB of memory, and so eight times as dear as others: one input of sixteen. */
	switch (data[0] % 16 == 8 ? 8 : data[0] % 8) {
	case 0:
		try_queue(MP_QUEUE_OPTIONS(.max_bytes = MOST_BYTES), 0, rest, n);
		break;
	case 1:
		try_queue(MP_QUEUE_OPTIONS(.joinable = true, .maxsize = 8, .max_bytes = MOST_BYTES),
			0, rest, n);
		break;
	case 2:
		try_queue(MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY, .joinable = true,
				  .max_bytes = MOST_BYTES),
			1, rest, n);
		break;
	case 3:
		try_queue(MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .max_bytes = MOST_BYTES), 0,
			rest, n);
		break;
	case 4:
		try_queue(MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = 2,
				  .max_bytes = MOST_BYTES),
			MP__STORE_AT, rest, n);
		break;
	case 5:
		try_heap(rest, n);
		break;
	case 6:
		try_named(false, rest, n);
		break;
	case 7:
		try_named(true, rest, n);
		break;
	default:
		try_pipe(rest, n);
		break;
	}
	return 0;
}
