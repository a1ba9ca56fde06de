/* SPDX-License-Identifier: MIT */
/* Segments and the small objects in them: how they are made, travel, and are believed. */
#include <config.h>

#include "tests/support/starts.h"
#include "tests/support/support.h"

#include "base/cleanup.h"
#include "base/fds.h"
#include "shm/memory.h"
#include "shm/segment.h"
#include "shm/slab.h"

#include <mp.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

T_SUITE(slab);

/* The kind of objects of this test; nothing else in this program travels. */
struct thing {
	uint64_t magic;
	_Atomic uint64_t number;
	char rest[48];
};
#define THING UINT64_C(0x676e696874)

static int check_thing(const void *object, size_t size)
{
	const struct thing *thing = object;

	return size >= sizeof(*thing) && thing->magic == THING ? 0 : -EBADMSG;
}

MP__SLAB_TYPE(thing_type, MP__HANDLE_EVENT, "thing", check_thing)

/* In place of src/handles.c. */
const struct mp__handle_class *const mp__handle_classes[] = {&thing_type.class, NULL};

static struct thing *new_thing(uint64_t number)
{
	void *object;

	T_OK(mp__slab_alloc(sizeof(struct thing), MP__HANDLE_EVENT, &object));
	struct thing *thing = object;
	cr_assert_eq((uintptr_t)thing % MP__SLAB_ALIGN, 0);
	cr_assert_eq(thing->magic, 0);
	thing->magic = THING;
	thing->number = number;
	return thing;
}

/* As what another process would send: its own descriptor. */
static void export_thing(struct thing *thing, struct mp__handle_wire *wire)
{
	mp_obj value = mp__slab_handle(thing, MP__HANDLE_EVENT);

	cr_assert_eq(value.type, MP_TYPE_HANDLE);
	T_OK(mp__slab_export(value.as.handle, wire));
	wire->fds[0] = mp__fd_dup(wire->fds[0]);
	cr_assert_geq(wire->fds[0], 0);
}

static int import_thing(struct mp__handle_wire *wire, struct thing **ret_thing)
{
	struct mp__handle *handle;
	int r = mp__slab_import(&thing_type, wire, &handle);

	mp__fds_close(wire->fds, wire->n_fds);
	if (r == 0) {
		mp_obj value = mp__handle_obj(handle);
		*ret_thing = mp__slab_object(&value, MP__HANDLE_EVENT);
	}
	return r;
}

#define MANY 20000

Test(slab, thousands_take_one_descriptor)
{
	static struct thing *things[MANY];
	int before = t_count_fds();

	for (int i = 0; i < MANY; i++)
		things[i] = new_thing((uint64_t)i);
	cr_assert_eq(t_count_fds(), before + 1);
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(things[i]->number, (uint64_t)i);
	for (int i = 0; i < MANY; i++)
		cr_assert(mp__slab_unref(things[i]));
	cr_assert_eq(t_count_fds(), before);
}

Test(slab, closing_the_last_one_unmaps)
{
	struct thing *first = new_thing(1);
	struct thing *second = new_thing(2);
	unsigned char residency;

	cr_assert(mp__slab_ref(first));
	cr_assert(mp__slab_unref(first));
	cr_assert(mp__slab_unref(first));
	cr_assert_eq(second->number, 2);
	cr_assert_not(mp__slab_ref(first), "its place was given up");
	char *page = (char *)((uintptr_t)second & ~(uintptr_t)4095);
	cr_assert_eq(mincore(page, 4096, &residency), 0);
	cr_assert(mp__slab_unref(second));
	cr_assert_eq(mincore(page, 4096, &residency), -1);
	cr_assert_eq(errno, ENOMEM);
}

Test(slab, a_place_is_used_once)
{
	struct thing *first = new_thing(1);
	struct thing *keeper = new_thing(2);

	cr_assert(mp__slab_unref(first));
	struct thing *second = new_thing(3);
	cr_assert_neq(first, second);
	mp__slab_unref(second);
	mp__slab_unref(keeper);
}

Test(slab, what_no_slab_has_is_left_alone)
{
	struct thing *thing = new_thing(1);
	struct thing mine;

	cr_assert_not(mp__slab_ref(&mine));
	cr_assert_not(mp__slab_unref(&mine));
	cr_assert_not(mp__slab_unref(NULL));
	cr_assert_not(mp__slab_unref((char *)thing + 8));
	cr_assert_eq(mp__slab_handle(&mine, MP__HANDLE_EVENT).type, MP_TYPE_NIL);
	cr_assert_eq(mp__slab_handle(NULL, MP__HANDLE_EVENT).type, MP_TYPE_NIL);
	cr_assert_eq(mp__slab_handle(thing, MP__HANDLE_LOCK).type, MP_TYPE_NIL);
	mp_obj value = mp_i64(1);
	cr_assert_null(mp__slab_object(&value, MP__HANDLE_EVENT));
	mp__slab_unref(thing);
}

Test(slab, sizes)
{
	void *object = &object;
	int before = t_count_fds();

	T_RESULT(mp__slab_alloc(0, MP__HANDLE_EVENT, &object), -EINVAL);
	T_RESULT(mp__slab_alloc(MP__SLAB_OBJECT_MAX + 1, MP__HANDLE_EVENT, &object), -EINVAL);
	cr_assert_eq(object, &object);
	T_OK(mp__slab_alloc(MP__SLAB_OBJECT_MAX, MP__HANDLE_EVENT, &object));
	memset(object, 1, MP__SLAB_OBJECT_MAX);
	mp__slab_unref(object);
	T_OK(mp__slab_alloc(20000, MP__HANDLE_EVENT, &object));
	memset(object, 1, 20000);
	mp__slab_unref(object);
	cr_assert_eq(t_count_fds(), before);
}

Test(slab, slabs_follow_each_other_when_they_are_full)
{
	static void *objects[1200];
	int before = t_count_fds();

	for (int i = 0; i < 1200; i++) {
		T_OK(mp__slab_alloc(30000, MP__HANDLE_EVENT, &objects[i]));
		memset(objects[i], i, 30000);
	}
	cr_assert_eq(t_count_fds(), before + 3);
	for (int i = 0; i < 1200; i++)
		mp__slab_unref(objects[i]);
	cr_assert_eq(t_count_fds(), before);
}

/* --- travelling -------------------------------------------------------------------------------- */

static int count_up(int argc, const mp_obj *argv)
{
	struct thing *first = mp__slab_object(&argv[0], MP__HANDLE_EVENT);
	struct thing *again = mp__slab_object(&argv[1], MP__HANDLE_EVENT);
	struct thing *second = mp__slab_object(&argv[2], MP__HANDLE_EVENT);

	T_CHECK(argc == 3 && first && again == first && second);
	T_CHECK(second == first + 1 && second->number == 20);
	first->number++;
	T_CHECK(mp__slab_ref(first));
	T_CHECK(mp__slab_unref(first));
	return 0;
}

EACH_METHOD_AND_THREAD(slab, objects_travel_as_arguments)
{
	struct thing *first = new_thing(10);
	struct thing *second = new_thing(20);
	mp_obj handle = mp__slab_handle(first, MP__HANDLE_EVENT);

	finish(start(count_up, MP_ARGS(handle, handle, mp__slab_handle(second, MP__HANDLE_EVENT)),
		       BY(method)),
		0);
	cr_assert_eq(first->number, 11);
	mp__slab_unref(first);
	mp__slab_unref(second);
}

static int use_inherited(void *argument)
{
	struct thing *thing = argument;
	struct mp__handle_wire wire;
	struct thing *again;
	void *own;

	thing->number++;
	T_CHECK(mp__slab_ref(thing));
	mp_obj value = mp__slab_handle(thing, MP__HANDLE_EVENT);
	T_CHECK(mp__slab_export(value.as.handle, &wire) == 0);
	wire.fds[0] = mp__fd_dup(wire.fds[0]);
	T_CHECK(import_thing(&wire, &again) == 0 && again == thing);
	/* What the child makes is not where its parent makes something. */
	T_CHECK(mp__slab_alloc(64, MP__HANDLE_EVENT, &own) == 0);
	T_CHECK(own < (void *)thing || (char *)own >= (char *)thing + 65536);
	T_CHECK(mp__slab_unref(own));
	for (int i = 0; i < 3; i++)
		T_CHECK(mp__slab_unref(thing));
	T_CHECK(!mp__slab_unref(thing));
	return 0;
}

Test(slab, a_forked_child_uses_refers_and_closes)
{
	struct thing *thing = new_thing(1);

	for (int i = 0; i < 3; i++) {
		struct t_child child = t_spawn(use_inherited, thing);
		t_expect_exit(&child, 0);
	}
	cr_assert_eq(thing->number, 4);
	cr_assert(mp__slab_unref(thing));
}

Test(slab, what_comes_back_is_the_same_object)
{
	struct thing *first = new_thing(1);
	struct thing *second = new_thing(2);
	int before = t_count_fds();

	for (int i = 0; i < 2; i++) {
		struct thing *original = i == 0 ? first : second;
		struct mp__handle_wire wire;
		struct thing *again;
		export_thing(original, &wire);
		T_OK(import_thing(&wire, &again));
		cr_assert_eq(again, original);
		cr_assert(mp__slab_unref(again));
	}
	cr_assert_eq(t_count_fds(), before);
	mp__slab_unref(first);
	mp__slab_unref(second);
}

static int take_apart(void *argument)
{
	struct mp__handle_wire *wires = argument;
	struct thing *things[2];
	int before = t_count_fds();

	/* Twice the same slab: mapped once, one descriptor kept. */
	T_CHECK(import_thing(&wires[0], &things[0]) == 0);
	T_CHECK(import_thing(&wires[1], &things[1]) == 0);
	T_CHECK(things[1] == things[0] + 1);
	T_CHECK(things[0]->number == 1 && things[1]->number == 2);
	T_CHECK(t_count_fds() == before - 1);
	T_CHECK(mp__slab_unref(things[0]) && mp__slab_unref(things[1]));
	T_CHECK(t_count_fds() == before - 2);
	return 0;
}

static int forget_and_take_apart(void *argument)
{
	struct mp__handle_wire wires[2];
	struct thing **things = argument;

	for (int i = 0; i < 2; i++)
		export_thing(things[i], &wires[i]);
	T_CHECK(mp__slab_unref(things[0]) && mp__slab_unref(things[1]));
	return take_apart(wires);
}

Test(slab, the_same_slab_twice_is_mapped_once)
{
	struct thing *things[2] = {new_thing(1), new_thing(2)};

	struct t_child child = t_spawn(forget_and_take_apart, things);
	t_expect_exit(&child, 0);
	mp__slab_unref(things[0]);
	mp__slab_unref(things[1]);
}

/* --- hostile handles --------------------------------------------------------------------------- */

static void spoil(struct thing *thing, size_t at, uint64_t value, int expected)
{
	struct mp__handle_wire wire;
	struct thing *again;

	export_thing(thing, &wire);
	memcpy(wire.data + at, &value, sizeof(value));
	T_RESULT(import_thing(&wire, &again), expected);
}

Test(slab, handles_that_lead_elsewhere)
{
	struct thing *thing = new_thing(1);
	struct mp__handle_wire wire;
	struct thing *again;

	spoil(thing, 0, 0, -EBADMSG);               /* the header */
	spoil(thing, 0, 65, -EBADMSG);              /* not aligned */
	spoil(thing, 0, 128, -EBADMSG);             /* nothing there */
	spoil(thing, 0, 65536, -EBADMSG);           /* behind the end */
	spoil(thing, 0, UINT64_MAX - 63, -EBADMSG); /* over the end of the numbers */
	spoil(thing, 8, 8, 0);                      /* known here: the size is ours */
	spoil(thing, 0, 128, -EBADMSG);
	cr_assert(mp__slab_unref(thing), "the reference of the import that worked");
	export_thing(thing, &wire);
	wire.size--;
	T_RESULT(import_thing(&wire, &again), -EBADMSG);
	export_thing(thing, &wire);
	mp__fds_close(wire.fds, 1);
	wire.n_fds = 0;
	T_RESULT(import_thing(&wire, &again), -EBADMSG);
	mp__slab_unref(thing);
}

/* A slab that this process does not know yet: a copy of one, spoilt in between. */
static int foreign_slab(const struct thing *thing, size_t spoil_at, uint64_t value)
{
	char *start = (char *)thing - sizeof(struct mp__segment_header);
	int fd = mp__memory_new("foreign", 0, 65536, 65536, F_SEAL_SHRINK, "a test");

	cr_assert(fd >= 0);
	cr_assert_eq(pwrite(fd, start, 4096, 0), 4096);
	if (spoil_at < 4096)
		cr_assert_eq(pwrite(fd, &value, sizeof(value), (off_t)spoil_at), 8);
	return fd;
}

static int import_foreign(const struct thing *thing, size_t spoil_at, uint64_t value, uint64_t size)
{
	struct mp__handle_wire wire = {.size = 16, .n_fds = 1};
	uint64_t travel[2] = {sizeof(struct mp__segment_header), size};
	struct thing *again;

	memcpy(wire.data, travel, sizeof(travel));
	wire.fds[0] = foreign_slab(thing, spoil_at, value);
	int r = import_thing(&wire, &again);
	if (r == 0)
		cr_assert(mp__slab_unref(again));
	return r;
}

#define NOTHING 4096

Test(slab, damaged_slabs_are_refused)
{
	struct thing *thing = new_thing(1);
	int before = t_count_fds();

	T_OK(import_foreign(thing, NOTHING, 0, 64));
	T_RESULT(import_foreign(thing, NOTHING, 0, 0), -EBADMSG);
	T_RESULT(import_foreign(thing, NOTHING, 0, 63), -EBADMSG);
	T_RESULT(import_foreign(thing, NOTHING, 0, 65536), -EBADMSG);
	T_RESULT(import_foreign(thing, NOTHING, 0, MP__SLAB_OBJECT_MAX + 1), -EBADMSG);
	T_RESULT(import_foreign(thing, NOTHING, 0, UINT64_MAX), -EBADMSG);
	for (size_t at = 0; at < 24; at += 4)
		T_RESULT(import_foreign(thing, at, UINT64_C(0x1234567812345678), 64), -EBADMSG);
	T_RESULT(import_foreign(thing, offsetof(struct mp__segment_header, size), 65537, 64),
		-EBADMSG);
	T_RESULT(import_foreign(thing, offsetof(struct mp__segment_header, size), 0, 64), -EBADMSG);
	T_RESULT(import_foreign(thing, offsetof(struct mp__segment_header, max_size), 65535, 64),
		-EBADMSG);
	T_RESULT(import_foreign(
			 thing, offsetof(struct mp__segment_header, max_size), UINT64_MAX, 64),
		-EBADMSG);
	T_RESULT(import_foreign(thing, sizeof(struct mp__segment_header), 7, 64), -EBADMSG);
	cr_assert_eq(t_count_fds(), before);
	mp__slab_unref(thing);
}

Test(slab, foreign_descriptors_are_refused)
{
	struct thing *thing = new_thing(1);
	struct thing *again;
	struct mp__handle_wire wire;
	int ends[2];
	int before = t_count_fds();

	export_thing(thing, &wire);
	mp__fds_close(wire.fds, 1);
	wire.fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	T_RESULT(import_thing(&wire, &again), -EBADMSG);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	wire.fds[0] = ends[0];
	T_RESULT(import_thing(&wire, &again), -EBADMSG);
	close(ends[1]);
	wire.fds[0] = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	T_RESULT(import_thing(&wire, &again), -EBADMSG);
	wire.fds[0] = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(fcntl(wire.fds[0], F_ADD_SEALS, F_SEAL_SHRINK), 0);
	T_RESULT(import_thing(&wire, &again), -EBADMSG);
	cr_assert_eq(t_count_fds(), before);
	mp__slab_unref(thing);
}

/* --- no memory --------------------------------------------------------------------------------- */

static int with_small_files(void *argument)
{
	struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
	void *object = &limit;
	int n = 0;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	T_CHECK(mp__slab_alloc(200000, MP__HANDLE_EVENT, &object) == -ENOSPC);
	T_CHECK(object == &limit);
	while (mp__slab_alloc(4096, MP__HANDLE_EVENT, &object) == 0)
		n++;
	T_CHECK(n == 15 && mp__slab_alloc(4096, MP__HANDLE_EVENT, &object) == -ENOSPC);
	limit.rlim_cur = 1000;
	T_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	struct mp__segment seg;
	struct mp__segment_type type = {.kind = MP__SEGMENT_BLOCK, .name = "t", .what = "a test"};
	T_CHECK(mp__segment_create(&type, 4096, 0, 0, &seg) == -ENOSPC);
	return 0;
}

Test(slab, a_full_memory_is_an_error_and_no_signal)
{
	struct t_child child = t_spawn(with_small_files, NULL);
	t_expect_exit(&child, 0);
}

static int without_descriptors(void *argument)
{
	struct rlimit limit = {.rlim_cur = (rlim_t)t_count_fds() + 3, .rlim_max = 1000};
	void *object;

	(void)argument;
	T_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while (dup(0) >= 0)
		;
	T_CHECK(mp__slab_alloc(64, MP__HANDLE_EVENT, &object) == -EMFILE);
	return 0;
}

Test(slab, no_descriptor_left)
{
	struct t_child child = t_spawn(without_descriptors, NULL);
	t_expect_exit(&child, 0);
}

/* --- threads and forks ------------------------------------------------------------------------- */

static _Atomic bool enough;

static void *allocate_and_close(void *argument)
{
	void *objects[8];

	(void)argument;
	while (!enough) {
		for (int i = 0; i < 8; i++)
			T_CHECK(mp__slab_alloc(64, MP__HANDLE_EVENT, &objects[i]) == 0);
		for (int i = 0; i < 8; i++)
			T_CHECK(mp__slab_unref(objects[i]));
	}
	return NULL;
}

Test(slab, fork_while_others_allocate)
{
	struct thing *thing = new_thing(1);
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, allocate_and_close, NULL), 0);
	for (int i = 0; i < 50; i++) {
		struct t_child child = t_spawn(use_inherited, thing);
		t_expect_exit(&child, 0);
	}
	enough = true;
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(thing->number, 51);
	mp__slab_unref(thing);
}

/* --- segments ---------------------------------------------------------------------------------- */

static const struct mp__segment_type a_type = {
	.kind = MP__SEGMENT_BLOCK,
	.fingerprint = 7,
	.name = "mp-test",
	.what = "a test",
};

Test(slab, segments_grow_where_they_are)
{
	struct mp__segment mine;
	struct mp__segment other;

	T_OK(mp__segment_create(&a_type, 4096, 1 << 20, 0, &mine));
	int fd = mp__fd_dup(mine.fd);
	T_RESULT(mp__segment_attach(&a_type, fd, 0, &other), -EBADMSG);
	mp__segment_publish(&mine);
	T_OK(mp__segment_attach(&a_type, fd, 0, &other));
	T_OK(mp__segment_refresh(&other));
	T_OK(mp__segment_grow(&mine, 1 << 20, "a test"));
	((char *)mine.header)[(1 << 20) - 1] = 5;
	T_RESULT(mp__segment_refresh(&other), 1);
	cr_assert_eq(other.size, 1 << 20);
	cr_assert_eq(((char *)other.header)[(1 << 20) - 1], 5);
	T_RESULT(mp__segment_grow(&other, (1 << 20) + 1, "a test"), -ENOSPC);
	mine.header->size = 4096;
	T_RESULT(mp__segment_refresh(&other), -EBADMSG);
	mine.header->size = UINT64_C(1) << 40;
	T_RESULT(mp__segment_refresh(&other), -EBADMSG);
	mp__segment_close(&other);
	mp__segment_close(&mine);
	mp__segment_close(&mine);
}

Test(slab, segments_of_another_kind_or_build_are_refused)
{
	struct mp__segment_type other_kind = a_type;
	struct mp__segment_type other_build = a_type;
	struct mp__segment mine;
	struct mp__segment other;

	other_kind.kind = MP__SEGMENT_HEAP;
	other_build.fingerprint = 8;
	T_OK(mp__segment_create(&a_type, 4096, 0, 0, &mine));
	mp__segment_publish(&mine);
	T_RESULT(mp__segment_attach(&other_kind, mine.fd, 0, &other), -EBADMSG);
	T_RESULT(mp__segment_attach(&other_build, mine.fd, 0, &other), -EBADMSG);
	cr_assert_eq(ftruncate(mine.fd, 0), -1, "sealed");
	cr_assert_eq(ftruncate(mine.fd, 8192), -1, "sealed");
	T_RESULT(mp__segment_create(&a_type, UINT64_C(1) << 60, 0, 0, &other), -ENOSPC);
	T_RESULT(mp__segment_create(&a_type, UINT64_C(1) << 45, 0, 0, &other), -ENOSPC);
	mp__segment_close(&mine);
}
