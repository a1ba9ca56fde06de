/* SPDX-License-Identifier: MIT */
/* Descriptors and libmp objects inside values. t_end() counts descriptors after every test. */
#include <config.h>

#include "tests/support/support.h"

#include "base/cleanup.h"
#include "obj/codec.h"
#include "obj/handle.h"

#include <fcntl.h>
#include <mp.h>
#include <sys/resource.h>
#include <sys/stat.h>

T_SUITE(obj_handle);

/* --- a class of our own: this program has its own table in place of src/handles.c ----------------- */

#define KIND ((enum mp__handle_kind)77)
#define HEAVY_KIND ((enum mp__handle_kind)78)

struct thing {
	struct mp__handle handle;
	int references;
	int fds[2];
};

static struct thing imported;

static void thing_ref(struct mp__handle *handle)
{
	((struct thing *)handle)->references++;
}

static void thing_unref(struct mp__handle *handle)
{
	struct thing *thing = (struct thing *)handle;

	if (--thing->references == 0 && thing == &imported)
		mp__fds_close(thing->fds, 2);
}

static int thing_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	const struct thing *thing = (struct thing *)handle;

	if (thing->references == 0)
		return mp_error_set(-EPIPE, "the thing is closed");
	memcpy(ret_wire->data, "thing", 5);
	ret_wire->size = 5;
	memcpy(ret_wire->fds, thing->fds, sizeof(thing->fds));
	ret_wire->n_fds = 2;
	return 0;
}

static const struct mp__handle_class thing_class;

/* Keeps the first descriptor; the second one is left to be closed. */
static int thing_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	if (wire->n_fds != 2 || wire->size != 5 || memcmp(wire->data, "thing", 5) != 0)
		return mp_error_set(-EBADMSG, "no thing");
	imported = (struct thing){
		.handle = {&thing_class}, .references = 1, .fds = {MP__TAKE_FD(wire->fds[0]), -1}};
	*ret_handle = &imported.handle;
	return 0;
}

static const struct mp__handle_class thing_class = {
	KIND, "thing", thing_ref, thing_unref, thing_export, thing_import};

/* As much as may travel. */
static int heavy_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	(void)handle;
	memset(ret_wire->data, 7, MP__HANDLE_DATA_MAX);
	ret_wire->size = MP__HANDLE_DATA_MAX;
	for (size_t i = 0; i < MP__HANDLE_FDS_MAX; i++)
		ret_wire->fds[i] = 0;
	ret_wire->n_fds = MP__HANDLE_FDS_MAX;
	return 0;
}

static const struct mp__handle_class heavy_class = {
	HEAVY_KIND, "heavy", thing_ref, thing_unref, heavy_export, thing_import};

const struct mp__handle_class *const mp__handle_classes[] = {&heavy_class, &thing_class, NULL};

/* --- descriptors ---------------------------------------------------------------------------------- */

static bool is_same_file(int a, int b)
{
	struct stat sa;
	struct stat sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino &&
	       sa.st_dev == sb.st_dev;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void make_pipe(int ends[2])
{
	cr_assert(pipe2(ends, O_CLOEXEC) == 0);
}

Test(obj_handle, fd_is_borrowed_by_its_constructor)
{
	int ends[2];

	make_pipe(ends);
	mp_obj value = mp_fd(ends[0]);
	T_RESULT(mp_obj_fd(&value), ends[0]);
	T_RESULT(mp_obj_take_fd(&value), -EPERM);
	mp_obj_free(&value);
	cr_assert(is_open(ends[0]));
	mp__fds_close(ends, 2);
}

Test(obj_handle, fd_is_asked_of_the_wrong_value)
{
	mp_obj number = mp_i64(3);
	mp_obj negative = mp_fd(-1);
	struct thing thing = {.handle = {&thing_class}, .references = 1};
	mp_obj other = mp__handle_obj(&thing.handle);

	T_RESULT(mp_obj_fd(&number), -EINVAL);
	cr_assert_str_eq(mp_error_detail(), "a descriptor was asked for, the value is i64");
	T_RESULT(mp_obj_take_fd(&number), -EINVAL);
	T_RESULT(mp_obj_fd(NULL), -EINVAL);
	T_RESULT(mp_obj_take_fd(NULL), -EINVAL);
	T_RESULT(mp_obj_fd(&other), -EINVAL);
	T_RESULT(mp_obj_take_fd(&other), -EINVAL);
	T_RESULT(mp_obj_fd(&negative), -EBADF);
	T_RESULT(mp_obj_take_fd(&negative), -EPERM);
}

Test(obj_handle, copy_of_an_fd_is_another_number_for_the_same_file)
{
	int ends[2];
	mp_obj copy;
	mp_obj second;

	make_pipe(ends);
	T_OK(mp_obj_copy(MP_LIST(mp_i64(1), mp_fd(ends[0])), &copy));
	int fd = mp_obj_fd(mp_obj_at(&copy, 1));
	cr_assert(fd > 2 && fd != ends[0] && is_same_file(fd, ends[0]));
	cr_assert(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	T_OK(mp_obj_copy(copy, &second));
	mp_obj_free(&copy);
	cr_assert(!is_open(fd), "closed with the value");
	cr_assert(is_same_file(mp_obj_fd(mp_obj_at(&second, 1)), ends[0]));
	mp_obj_free(&second);
	mp__fds_close(ends, 2);
}

Test(obj_handle, fd_is_taken_once)
{
	int ends[2];
	mp_obj copy;
	mp_obj again;
	char text[32];

	make_pipe(ends);
	T_OK(mp_obj_copy(MP_LIST(mp_fd(ends[0])), &copy));
	mp_obj item = *mp_obj_at(&copy, 0);
	int fd = mp_obj_take_fd(mp_obj_at(&copy, 0));
	cr_assert(is_same_file(fd, ends[0]));
	/* A copy of the struct speaks of the same descriptor. */
	T_RESULT(mp_obj_take_fd(&item), -EBADF);
	T_RESULT(mp_obj_fd(&item), -EBADF);
	T_RESULT(mp_obj_copy(copy, &again), -EBADF);
	mp_obj_format(&copy, text, sizeof(text));
	cr_assert_str_eq(text, "[<fd taken>]");
	mp_obj_free(&copy);
	cr_assert(is_open(fd), "it is the taker's now");
	close(fd);

	T_OK(mp_obj_copy(mp_fd(ends[1]), &copy));
	fd = mp_obj_take_fd(&copy);
	cr_assert(fd > 2);
	mp_obj_free(&copy);
	cr_assert(is_open(fd));
	close(fd);
	mp__fds_close(ends, 2);
}

Test(obj_handle, copy_that_fails_half_way_keeps_no_fd)
{
	int ends[2];
	mp_obj copy;
	struct rlimit old;

	make_pipe(ends);
	T_RESULT(mp_obj_copy(MP_LIST(mp_fd(ends[0]), mp_fd(-1)), &copy), -EBADF);
	T_RESULT(mp_obj_copy(MP_LIST(mp_fd(ends[0]), mp_fd(99999)), &copy), -EBADF);
	T_RESULT(mp_obj_copy(MP_LIST(mp_fd(ends[0]), mp_str("\xff")), &copy), -EILSEQ);
	cr_assert(getrlimit(RLIMIT_NOFILE, &old) == 0);
	int first_free = dup(0);
	cr_assert(first_free >= 0);
	close(first_free);
	struct rlimit low = {(rlim_t)first_free + 1, old.rlim_max};
	cr_assert(setrlimit(RLIMIT_NOFILE, &low) == 0);
	int before = mp_obj_copy(MP_LIST(mp_fd(ends[0]), mp_fd(ends[1])), &copy);
	setrlimit(RLIMIT_NOFILE, &old);
	T_RESULT(before, -EMFILE);
	cr_assert(!is_open(first_free));
	mp__fds_close(ends, 2);
}

Test(obj_handle, fds_compare_by_number)
{
	mp_obj a = mp_fd(3);
	mp_obj b = mp_fd(4);
	struct thing thing = {.handle = {&thing_class}, .references = 1};
	struct thing twin = thing;
	mp_obj t1 = mp__handle_obj(&thing.handle);
	mp_obj t2 = mp__handle_obj(&twin.handle);
	char text[32];

	cr_assert(mp_obj_equal(&a, &a) && !mp_obj_equal(&a, &b));
	cr_assert_eq(mp_obj_compare(&a, &b), -1);
	cr_assert(mp_obj_equal(&t1, &t1) && !mp_obj_equal(&t1, &t2) && !mp_obj_equal(&t1, &a));
	cr_assert_eq(mp_obj_compare(&t1, &t2), -mp_obj_compare(&t2, &t1));
	mp_obj_format(&b, text, sizeof(text));
	cr_assert_str_eq(text, "<fd 4>");
	mp_obj_format(&t1, text, sizeof(text));
	cr_assert_str_eq(text, "<thing>");
}

/* --- descriptors in a cargo --------------------------------------------------------------------------- */

/* What a channel does: the receiver's descriptors are other numbers. */
static void deliver(struct mp__cargo *cargo)
{
	for (size_t i = 0; i < cargo->n_fds; i++) {
		cargo->fds[i] = mp__fd_dup(cargo->fds[i]);
		cr_assert(cargo->fds[i] >= 0);
	}
}

static void load(struct mp__cargo *cargo, size_t n)
{
	cargo->n_fds = n;
	memset(cargo->fds, 0, n * sizeof(int));
	deliver(cargo);
}

Test(obj_handle, fds_travel_in_the_order_of_the_message)
{
	int ends[2];
	MP__CARGO(cargo);
	uint8_t bytes[64];
	mp_obj value;

	make_pipe(ends);
	mp_obj sent = MP_LIST(mp_fd(ends[1]), mp_str("between"), mp_fd(ends[0]));
	ssize_t size = mp__obj_encode_into(&sent, &cargo, bytes, sizeof(bytes));
	cr_assert(size > 0 && cargo.n_fds == 2);
	cr_assert(cargo.fds[0] == ends[1] && cargo.fds[1] == ends[0], "lent, not duplicated");
	deliver(&cargo);
	T_OK(mp__obj_decode(bytes, (size_t)size, &cargo, &value));
	cr_assert(cargo.fds[0] == -1 && cargo.fds[1] == -1, "taken out");
	/* Through the pipe, to be sure which is which. */
	cr_assert(write(mp_obj_fd(mp_obj_at(&value, 0)), "x", 1) == 1);
	cr_assert(read(mp_obj_fd(mp_obj_at(&value, 2)), bytes, 1) == 1 && bytes[0] == 'x');
	mp_obj_free(&value);
	mp__fds_close(ends, 2);
}

Test(obj_handle, several_values_share_a_cargo)
{
	int ends[2];
	MP__CARGO(cargo);
	uint8_t first[16];
	uint8_t second[16];
	mp_obj a;
	mp_obj b;

	make_pipe(ends);
	mp_obj one = mp_fd(ends[0]);
	mp_obj other = mp_fd(ends[1]);
	ssize_t n = mp__obj_encode_into(&one, &cargo, first, sizeof(first));
	cr_assert(n > 0);
	T_RESULT(mp__obj_encode_into(&other, &cargo, second, 0), n);
	cr_assert_eq(cargo.n_fds, 1, "nothing written, nothing loaded");
	T_RESULT(mp__obj_encode_into(&other, &cargo, second, sizeof(second)), n);
	cr_assert_eq(cargo.n_fds, 2);
	deliver(&cargo);
	T_OK(mp__obj_decode(first, (size_t)n, &cargo, &a));
	T_OK(mp__obj_decode(second, (size_t)n, &cargo, &b));
	cr_assert(write(mp_obj_fd(&b), "x", 1) == 1);
	cr_assert(read(mp_obj_fd(&a), first, 1) == 1);
	mp_obj_free(&a);
	mp_obj_free(&b);
	mp__fds_close(ends, 2);
}

Test(obj_handle, decode_that_fails_keeps_no_fd)
{
	/* [fd, fd] but only one came; [fd, thing of wrong data]; [fd, unknown kind]. */
	static const uint8_t two[] = {0x42, 0x10, 0x0a, 0x06, 0x52, 0x04, 0x08, 0x01, 0x18, 0x01,
		0x0a, 0x06, 0x52, 0x04, 0x08, 0x01, 0x18, 0x01};
	static const uint8_t bad_thing[] = {0x42, 0x10, 0x0a, 0x06, 0x52, 0x04, 0x08, 0x01, 0x18,
		0x01, 0x0a, 0x06, 0x52, 0x04, 0x08, 77, 0x18, 0x02};
	static const uint8_t unknown[] = {0x42, 0x0e, 0x0a, 0x06, 0x52, 0x04, 0x08, 0x01, 0x18,
		0x01, 0x0a, 0x04, 0x52, 0x02, 0x08, 0x79};
	mp_obj value = mp_i64(1);
	MP__CARGO(cargo);

	load(&cargo, 1);
	T_RESULT(mp__obj_decode(two, sizeof(two), &cargo, &value), -EBADMSG);
	cr_assert_eq(cargo.fds[0], -1);

	load(&cargo, 3);
	T_RESULT(mp__obj_decode(bad_thing, sizeof(bad_thing), &cargo, &value), -EBADMSG);
	cr_assert_str_eq(mp_error_detail(), "no thing");
	cr_assert(cargo.fds[0] == -1 && cargo.fds[1] == -1 && cargo.fds[2] == -1);

	load(&cargo, 1);
	T_RESULT(mp__obj_decode(unknown, sizeof(unknown), &cargo, &value), -ENOTSUP);
	T_RESULT(mp__obj_decode(two, sizeof(two), NULL, &value), -ENOTSUP);
	/* Not valid at all: nothing is taken, the rest stays with the caller. */
	load(&cargo, 1);
	T_RESULT(mp__obj_decode(two, sizeof(two) - 1, &cargo, &value), -EBADMSG);
	cr_assert(cargo.fds[0] >= 0);
	mp__fds_close(cargo.fds, cargo.n_fds);
	cr_assert_eq(value.as.i64, 1, "untouched on failure");
}

Test(obj_handle, cargo_has_a_limit)
{
	static mp_obj items[MP__FDS_MAX + 1];
	MP__CARGO(cargo);
	void *data = NULL;
	size_t size;

	for (size_t i = 0; i <= MP__FDS_MAX; i++)
		items[i] = mp_fd(0);
	mp_obj many = mp_list_of(items, MP__FDS_MAX + 1);
	T_RESULT(mp__obj_encode(&many, 0, &cargo, &data, &size), -EMSGSIZE);
	cr_assert(cargo.n_fds == 0 && !data, "as it was");
	many.count--;
	T_OK(mp__obj_encode(&many, 0, &cargo, &data, &size));
	cr_assert_eq(cargo.n_fds, MP__FDS_MAX);
	free(data);
	mp_obj negative = mp_fd(-1);
	T_RESULT(mp__obj_encode(&negative, 0, &cargo, &data, &size), -EBADF);
	/* Unless it grows. */
	struct mp__cargo large = {.grows = true};
	for (int i = 0; i < 3; i++) {
		T_OK(mp__obj_encode(&many, 0, &large, &data, &size));
		free(data);
	}
	cr_assert_eq(large.n_fds, 3 * MP__FDS_MAX);
	for (size_t i = 0; i < large.n_fds; i++)
		cr_assert_eq(large.fds[i], 0);
	free(large.fds);
}

/* --- objects ---------------------------------------------------------------------------------------- */

Test(obj_handle, copies_hold_references)
{
	struct thing thing = {.handle = {&thing_class}, .references = 1};
	mp_obj value = mp__handle_obj(&thing.handle);
	mp_obj copy;
	mp_obj second;

	cr_assert_eq(mp__handle_obj(NULL).type, MP_TYPE_NIL);
	T_OK(mp_obj_copy(MP_LIST(value, value), &copy));
	cr_assert_eq(thing.references, 3);
	cr_assert(mp__obj_handle(mp_obj_at(&copy, 1), KIND) == &thing.handle);
	cr_assert_null(mp__obj_handle(mp_obj_at(&copy, 1), HEAVY_KIND));
	T_OK(mp_obj_copy(copy, &second));
	cr_assert_eq(thing.references, 5);
	mp_obj_free(&copy);
	mp_obj_free(&second);
	cr_assert_eq(thing.references, 1);
	T_RESULT(mp_obj_copy(MP_LIST(value, mp_fd(-1)), &copy), -EBADF);
	cr_assert_eq(thing.references, 1, "a copy that failed holds nothing");
	value.kind = HEAVY_KIND;
	T_RESULT(mp_obj_copy(value, &copy), -EINVAL);
	value.as.handle = NULL;
	T_RESULT(mp_obj_copy(value, &copy), -EINVAL);
	T_RESULT(mp_obj_encode(value, &(void *){NULL}, &(size_t){0}), -EINVAL);
}

Test(obj_handle, objects_travel_by_export_and_import)
{
	struct thing thing = {.handle = {&thing_class}, .references = 1};
	MP__CARGO(cargo);
	void *data;
	size_t size;
	mp_obj value;

	make_pipe(thing.fds);
	mp_obj sent = MP_LIST(mp_fd(thing.fds[0]), mp__handle_obj(&thing.handle));
	T_RESULT(mp_obj_encode(sent, &data, &size), -ENOTSUP);
	T_OK(mp__obj_encode(&sent, 0, &cargo, &data, &size));
	cr_assert_eq(cargo.n_fds, 3);
	deliver(&cargo);
	T_OK(mp__obj_decode(data, size, &cargo, &value));
	cr_assert(mp__obj_handle(mp_obj_at(&value, 1), KIND) == &imported.handle);
	cr_assert(is_same_file(imported.fds[0], thing.fds[0]));
	mp_obj_free(&value);
	cr_assert_eq(imported.references, 0);
	free(data);

	cargo.n_fds = 0;
	thing.references = 0;
	T_RESULT(mp__obj_encode(&sent, 0, &cargo, &data, &size), -EPIPE);
	cr_assert_eq(cargo.n_fds, 0);
	mp__fds_close(thing.fds, 2);
}

Test(obj_handle, objects_travel_with_all_that_is_allowed)
{
	struct thing thing = {.handle = {&heavy_class}, .references = 1};
	mp_obj sent = mp__handle_obj(&thing.handle);
	MP__CARGO(cargo);
	struct mp__value_info info;
	mp_obj value;
	void *data;
	size_t size;

	T_OK(mp__obj_encode(&sent, 0, &cargo, &data, &size));
	T_OK(mp__value_check(data, size, &info));
	cr_assert(info.handles == 1 && info.type == MP_TYPE_HANDLE);
	deliver(&cargo);
	T_RESULT(mp__obj_decode(data, size, &cargo, &value), -EBADMSG);
	free(data);
}
