/* SPDX-License-Identifier: MIT */
/*
 * Objects of sync, values and arrays whose bytes a hostile peer has changed, used after that. Each
 * stands at the very end of its memory, so that a step beyond is a crash. Every call must come back,
 * with whatever result. Input: which kind, whether it is imported, and whether calls wait for a while or
 * not at all (most inputs: sleeping finds nothing), then (offset, byte) triples.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "base/fds.h"
#include "sync/barrier_round.h"
#include "sync/cells.h"
#include "sync/condition.h"
#include "sync/event.h"
#include "sync/lock.h"
#include "sync/rwlock.h"
#include "sync/semaphore.h"

#include <mp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM 8192
/* Of 128 numbers of kinds these wait for a millisecond. */
#define PATIENT 0x78

static int patience = MP_NOWAIT;

/* A predicate that is never true, and an action that does nothing. */
static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* --- the kinds -------------------------------------------------------------------------------------- */

static int make_lock(void *at)
{
	return mp_lock_init(at, MP_LOCK_OPTIONS(.name = "fuzz"));
}

static void use_lock(void *at)
{
	if (mp_lock_acquire(at, MP_NOWAIT) >= 0)
		mp_lock_release(at);
	mp_lock_acquire(at, patience);
	mp_lock_locked(at);
	mp_lock_owner(at);
	mp_lock_release(at);
	mp_lock_destroy(at);
}

static int make_rlock(void *at)
{
	return mp_rlock_init(at, NULL);
}

static void use_rlock(void *at)
{
	for (int i = 0; i < 3; i++)
		mp_rlock_acquire(at, MP_NOWAIT);
	for (int i = 0; i < 4; i++)
		mp_rlock_release(at);
	mp_rlock_destroy(at);
}

static int make_rwlock(void *at)
{
	return mp_rwlock_init(at, NULL);
}

static void use_rwlock(void *at)
{
	mp_rwlock_acquire_read(at, MP_NOWAIT);
	mp_rwlock_acquire_read(at, patience);
	mp_rwlock_readers(at);
	mp_rwlock_release_read(at);
	mp_rwlock_release_read(at);
	mp_rwlock_acquire_write(at, patience);
	mp_rwlock_writer(at);
	mp_rwlock_downgrade(at);
	mp_rwlock_release_read(at);
	mp_rwlock_release_write(at);
	mp_rwlock_destroy(at);
}

static int make_semaphore(void *at)
{
	return mp_semaphore_init(at, 3, MP_SEMAPHORE_OPTIONS(.bounded = true));
}

static void use_semaphore(void *at)
{
	mp_semaphore_acquire(at, MP_NOWAIT);
	mp_semaphore_acquire(at, patience);
	mp_semaphore_value(at);
	mp_semaphore_release(at);
	mp_semaphore_release_n(at, 2);
	mp_semaphore_destroy(at);
}

static int make_event(void *at)
{
	return mp_event_init(at, NULL);
}

static void use_event(void *at)
{
	mp_event_is_set(at);
	mp_event_wait(at, MP_NOWAIT);
	mp_event_wait(at, patience);
	mp_event_set(at);
	mp_event_wait(at, patience);
	mp_event_clear(at);
	mp_event_destroy(at);
}

static int make_condition(void *at)
{
	return mp_condition_init(at, NULL);
}

/* Not destroyed: that waits for a sign of life of waiters that only seem to be. */
static void use_condition(void *at)
{
	mp_lock lock;

	expect(mp_lock_init(&lock, NULL) == 0 && mp_lock_acquire(&lock, MP_NOWAIT) == 0);
	mp_condition_notify(at, 1);
	mp_condition_notify_all(at);
	mp_condition_wait(at, &lock, MP_NOWAIT);
	mp_condition_wait(at, &lock, patience);
	mp_condition_wait_for(at, &lock, nothing, NULL, patience);
}

static int make_barrier(void *at)
{
	return mp_barrier_init(at, 3, MP_BARRIER_OPTIONS(.name = "fuzz"));
}

/* Not destroyed: as conditions. */
static void use_barrier(void *at)
{
	mp_barrier_party by;

	mp_barrier_join(at);
	mp_barrier_wait(at, MP_NOWAIT);
	mp_barrier_wait_action(at, nothing, NULL, patience);
	mp_barrier_waiting(at);
	mp_barrier_parties(at);
	mp_barrier_broken(at, &by);
	mp_barrier_abort(at);
	mp_barrier_reset(at);
	mp_barrier_leave(at);
}

static const struct kind {
	size_t size;
	int (*make)(void *at);
	void (*use)(void *at);
	const struct mp__slab_type *type;
	bool guarded; /* a guard that somebody living has is waited for: not what is looked for here */
} kinds[] = {
	{sizeof(mp_lock), make_lock, use_lock, &mp__lock_type, false},
	{sizeof(mp_rlock), make_rlock, use_rlock, &mp__rlock_type, false},
	{sizeof(mp_rwlock), make_rwlock, use_rwlock, &mp__rwlock_type, false},
	{sizeof(mp_event), make_event, use_event, &mp__event_type, false},
	{sizeof(mp_semaphore), make_semaphore, use_semaphore, &mp__semaphore_type, true},
	{sizeof(mp_condition), make_condition, use_condition, &mp__condition_type, true},
	{sizeof(mp_barrier), make_barrier, use_barrier, &mp__barrier_type, true},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* --- one input --------------------------------------------------------------------------------------- */

static void mutate(char *at, size_t room, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 3 <= size; i += 3)
		at[(size_t)(data[i] | data[i + 1] << 8) % room] = (char)data[i + 2];
}

/* In memory of the program's own; `arrives`: only what an import lets in is used. */
static void try_in_place(const struct kind *k, bool arrives, const uint8_t *data, size_t size)
{
	static char *room;

	if (!room) {
		room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
		expect(room != MAP_FAILED && mprotect(room + ROOM, 4096, PROT_NONE) == 0);
	}
	char *at = room + ROOM - k->size;
	memset(at, 0, k->size);
	expect(k->make(at) == 0);
	mutate(at, k->size, data, size);
	if (k->guarded)
		memset(at + sizeof(struct mp__sync_head), 0, sizeof(mp__guard));
	if (!arrives || k->type->check(at, k->size) == 0)
		k->use(at);
}

/* With more cells than the public struct has. */
static void try_large(bool barrier, const uint8_t *data, size_t size)
{
	mp_semaphore *semaphore = NULL;
	mp_barrier *b = NULL;
	void *at;

	if (barrier)
		expect(mp_barrier_new(100, NULL, &b) == 0);
	else
		expect(mp_semaphore_new(2, MP_SEMAPHORE_OPTIONS(.holders = 100), &semaphore) == 0);
	at = barrier ? (void *)b : (void *)semaphore;
	mutate(at, mp__slab_size(at), data, size);
	memset((char *)at + sizeof(struct mp__sync_head), 0, sizeof(mp__guard));
	if (barrier)
		use_barrier(at);
	else
		use_semaphore(at);
	mp_barrier_close(b);
	mp_semaphore_close(semaphore);
}

/* As if another process had sent it. */
static int take(struct mp__handle *from, struct mp__handle **ret)
{
	struct mp__handle_wire wire;

	expect(from->class->export(from, &wire) == 0);
	wire.fds[0] = mp__fd_dup(wire.fds[0]);
	expect(wire.fds[0] >= 0);
	int r = from->class->import(&wire, ret);
	mp__fds_close(wire.fds, wire.n_fds);
	return r;
}

static void use_value(mp_value *v)
{
	int number = 1;

	mp_value_get(v, &number, sizeof(number), MP_NOWAIT);
	mp_value_set(v, &number, sizeof(number), patience);
	mp_value_add_i64(v, 1, NULL);
	mp_value_add_f64(v, 1, NULL);
	memset(mp_value_data(v), 1, mp_value_size(v));
}

static void use_array(mp_array *a)
{
	int items[4] = {0};
	void *item;
	size_t length = mp_array_length(a);

	mp_array_get(a, -1, items, sizeof(int), MP_NOWAIT);
	mp_array_set(a, 0, items, sizeof(int), patience);
	mp_array_get_slice(a, MP_SLICE(-4, MP_SLICE_OPEN), items, sizeof(items), MP_NOWAIT, NULL);
	if (length > 0 && mp_array_at(a, (int64_t)length - 1, &item) == 0)
		memset(item, 1, mp_array_item_size(a));
}

static void try_cells(bool array, const uint8_t *data, size_t size)
{
	struct mp__handle *taken;
	mp_value *v = NULL;
	mp_array *a = NULL;

	if (array)
		expect(mp_array_new('i', 10000, NULL, NULL, &a) == 0);
	else
		expect(mp_value_new('i', NULL, NULL, &v) == 0);
	struct mp__cells *cells = array ? (struct mp__cells *)a : (struct mp__cells *)v;
	mutate((char *)cells->shared, sizeof(*cells->shared) + 8, data, size);
	if (take(&cells->handle, &taken) == 0) {
		if (array)
			use_array((mp_array *)taken);
		else
			use_value((mp_value *)taken);
		mp__cells_close((struct mp__cells *)taken);
	}
	/* And as one who had it before. */
	if (array)
		use_array(a);
	else
		use_value(v);
	mp__cells_close(cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	unsigned which = data[0] & 0x7f;
	patience = which >= PATIENT ? 1 : MP_NOWAIT;
	which %= N_KINDS + 4;
	if (which < N_KINDS)
		try_in_place(&kinds[which], data[0] & 0x80, data + 1, size - 1);
	else if (which < N_KINDS + 2)
		try_large(which == N_KINDS, data + 1, size - 1);
	else
		try_cells(which == N_KINDS + 2, data + 1, size - 1);
	return 0;
}
