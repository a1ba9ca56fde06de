/* SPDX-License-Identifier: MIT */
/*
 * Segments that a hostile peer has changed: a block and a shared list whose first bytes are
 * overwritten by the input, taken as handles that came, used and given up. Nothing may be read or
 * written outside, whatever the numbers say. Input: what, then (offset, byte) pairs.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "base/fds.h"
#include "shm/block.h"
#include "shm/list.h"
#include "shm/list_layout.h"

#include <mp.h>
#include <stdlib.h>
#include <string.h>

/* Where mutations go: the headers, the slots of the list, the first cells. */
static char *target(char *base, size_t mapped, uint16_t offset)
{
	size_t at = offset < 256 ? offset : MP__BLOCK_DATA_AT + (offset - 256u) % 1024;

	return base + at % mapped;
}

static void mutate(char *base, size_t mapped, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 3 <= size; i += 3)
		*target(base, mapped, (uint16_t)(data[i] | data[i + 1] << 8)) = (char)data[i + 2];
}

/* As if another process had sent it. */
static int take(
	const struct mp__handle_class *class, struct mp__handle *from, struct mp__handle **ret)
{
	struct mp__handle_wire wire;

	expect(class->export(from, &wire) == 0);
	wire.fds[0] = mp__fd_dup(wire.fds[0]);
	expect(wire.fds[0] >= 0);
	int r = class->import(&wire, ret);
	mp__fds_close(wire.fds, wire.n_fds);
	return r;
}

static void use_block(mp_block *block)
{
	unsigned char *data = mp_block_data(block);
	size_t size = mp_block_size(block);

	expect(size > 0);
	data[0]++;
	data[size - 1]++;
	if (mp_block_refresh(block) == 1)
		((unsigned char *)mp_block_data(block))[mp_block_size(block) - 1]++;
}

static void use_list(mp_shared_list *list)
{
	size_t n = mp_shared_list_len(list);

	for (size_t i = 0; i < n && i < 10; i++) {
		mp_obj item;
		if (mp_shared_list_get(list, (int64_t)i, &item) == 0)
			mp_obj_free(&item);
		mp_shared_list_set(list, (int64_t)i, mp_str("12345678"));
	}
}

static void try_block(const uint8_t *data, size_t size)
{
	struct mp__handle *taken;
	mp_block *block;

	expect(mp_block_new(3000, MP_BLOCK_OPTIONS(.max_size = 10000), &block) == 0);
	mutate((char *)block->seg.header, 4096 + 3000, data, size);
	if (take(&mp__block_class, &block->handle, &taken) == 0) {
		use_block((mp_block *)taken);
		mp_block_close((mp_block *)taken);
	}
	mp_block_close(block);
}

static void try_list(const uint8_t *data, size_t size)
{
	struct mp__handle *taken;
	mp_shared_list *list;

	expect(mp_shared_list_new(MP_LIST(mp_i64(1), mp_str("text"), mp_bytes("0123456789", 10)),
		       NULL, &list) == 0);
	mp_block *block = (mp_block *)list;
	mutate((char *)block->seg.header, (size_t)block->seg.size, data, size);
	/* A guard that somebody holds is waited for: that is not what is looked for here. */
	atomic_store(&((struct mp__list_header *)mp_block_data(block))->guard, 0);
	if (take(&mp__shared_list_class, &block->handle, &taken) == 0) {
		use_list((mp_shared_list *)taken);
		mp_block_close((mp_block *)taken);
	}
	mp_block_close(block);
}

/* Any bytes as the handle of a list, with the descriptor of a block. */
static void try_wire(const uint8_t *data, size_t size)
{
	struct mp__handle_wire wire = {.n_fds = 1};
	struct mp__handle *taken;
	mp_block *block;

	expect(mp_block_new(100, NULL, &block) == 0);
	wire.size = size < sizeof(wire.data) ? size : sizeof(wire.data);
	memcpy(wire.data, data, wire.size);
	wire.fds[0] = mp__fd_dup(block->seg.fd);
	if (mp__block_class.import(&wire, &taken) == 0)
		mp_block_close((mp_block *)taken);
	mp__fds_close(wire.fds, wire.n_fds);
	mp_block_close(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		try_block(data + 1, size - 1);
		break;
	case 1:
		try_list(data + 1, size - 1);
		break;
	default:
		try_wire(data + 1, size - 1);
		break;
	}
	return 0;
}
