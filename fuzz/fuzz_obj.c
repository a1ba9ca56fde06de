/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an mp.Value: what the check calls valid decodes, encodes to a valid value again, and
 * is equal to it then, to its copy too; what it calls invalid does not decode.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "base/error.h"
#include "obj/codec.h"
#include "obj/compare.h"
#include "obj/handle.h"

#include <fcntl.h>
#include <mp.h>
#include <stdlib.h>
#include <unistd.h>

/* More than this, and the quadratic equality takes longer than fuzzing should. */
#define FEW_NODES 200

/* --- one class, in place of src/handles.c: it keeps what came and sends that again ------------- */

struct echo {
	struct mp__handle handle;
	struct mp__handle_wire wire;
	int references;
};

static void echo_ref(struct mp__handle *handle)
{
	((struct echo *)handle)->references++;
}

static void echo_unref(struct mp__handle *handle)
{
	struct echo *echo = (struct echo *)handle;

	if (--echo->references > 0)
		return;
	mp__fds_close(echo->wire.fds, echo->wire.n_fds);
	free(echo);
}

static int echo_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	*ret_wire = ((struct echo *)handle)->wire;
	return 0;
}

static const struct mp__handle_class echo_class;

static int echo_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	if (wire->size > 0 && wire->data[0] == 'x')
		return mp_error_set(-EBADMSG, "no echo");
	struct echo *echo = malloc(sizeof(*echo));
	expect(echo != NULL);
	*echo = (struct echo){.handle = {&echo_class}, .wire = *wire, .references = 1};
	for (size_t i = 0; i < wire->n_fds; i++)
		wire->fds[i] = -1;
	*ret_handle = &echo->handle;
	return 0;
}

static const struct mp__handle_class echo_class = {
	MP__HANDLE_MANAGER, "echo", echo_ref, echo_unref, echo_export, echo_import};

const struct mp__handle_class *const mp__handle_classes[] = {&echo_class, NULL};

/* --- the target ------------------------------------------------------------------------------------ */

/* As a channel does: the receiver's descriptors are its own. */
static void load(struct mp__cargo *cargo, size_t n)
{
	for (cargo->n_fds = 0; cargo->n_fds < n; cargo->n_fds++) {
		cargo->fds[cargo->n_fds] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		expect(cargo->fds[cargo->n_fds] >= 0);
	}
}

static void inspect(const mp_obj *value, const struct mp__value_info *info)
{
	char text[64];
	mp_obj copy;

	expect(value->type == info->type);
	mp_obj_format(value, text, sizeof(text));
	expect(mp_obj_copy(*value, &copy) == 0);
	/* The descriptors of a copy have other numbers. */
	expect(info->handles > 0 || mp_obj_compare(value, &copy) == 0);
	expect(info->handles > 0 || mp_obj_equal(value, &copy));
	expect(info->handles > 0 || info->nodes > FEW_NODES || mp__obj_equal_slowly(value, &copy));
	mp_obj_free(&copy);
}

static void round_trip(const mp_obj *value, const struct mp__value_info *info)
{
	MP__CARGO(cargo);
	struct mp__value_info again;
	mp_obj back;
	void *data;
	size_t size;

	expect(mp__obj_encode(value, 0, &cargo, &data, &size) == 0);
	expect(mp__value_check(data, size, &again) == 0);
	expect(again.nodes == info->nodes && again.text == info->text &&
		again.depth == info->depth);
	load(&cargo, cargo.n_fds);
	expect(mp__obj_decode(data, size, &cargo, &back) == 0);
	expect(info->handles > 0 || mp_obj_compare(value, &back) == 0);
	mp_obj_free(&back);
	free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MP__CARGO(cargo);
	struct mp__value_info info = {0};
	mp_obj value;

	int checked = mp__value_check(data, size, &info);
	load(&cargo, info.handles * MP__HANDLE_FDS_MAX < MP__FDS_MAX
			     ? info.handles * MP__HANDLE_FDS_MAX
			     : MP__FDS_MAX);
	int r = mp__obj_decode(data, size, &cargo, &value);
	if (checked < 0) {
		expect((checked == -EBADMSG || checked == -EOVERFLOW) && r == checked);
		expect(mp_error_detail()[0] != '\0');
	} else if (r == 0) {
		inspect(&value, &info);
		round_trip(&value, &info);
		mp_obj_free(&value);
	} else {
		/* An unknown kind, a handle that its class refuses, or too few descriptors. */
		expect(info.handles > 0 && (r == -ENOTSUP || r == -EBADMSG));
	}
	mp__fds_close(cargo.fds, cargo.n_fds);
	return 0;
}
