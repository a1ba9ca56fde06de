/* SPDX-License-Identifier: MIT */
/*
 * obj/handle.h - what an object must offer to stand inside an mp_obj.
 *
 * A type whose handles travel begins with struct mp__handle and has one class. The module obj knows
 * nothing of those types: the table of all classes is src/handles.c, the only file that sees all.
 */
#ifndef MP_OBJ_HANDLE_H
#define MP_OBJ_HANDLE_H

#include <mp/obj.h>

#include <stddef.h>
#include <stdint.h>

/* Numbers on the wire (Handle.kind of proto/value.proto): never change, never used again. */
enum mp__handle_kind {
	MP__HANDLE_FD = 1, /* a bare descriptor: no class; ask mp_obj_fd(), see obj/block.h */
	MP__HANDLE_MANAGER = 2,
	MP__HANDLE_DICT = 3,
	MP__HANDLE_LOCK = 4,
	MP__HANDLE_RLOCK = 5,
	MP__HANDLE_SEMAPHORE = 6,
	MP__HANDLE_CONDITION = 7,
	MP__HANDLE_EVENT = 8,
	MP__HANDLE_BARRIER = 9,
	MP__HANDLE_RWLOCK = 10,
	MP__HANDLE_VALUE = 11,
	MP__HANDLE_ARRAY = 12,
	MP__HANDLE_BLOCK = 13,
	MP__HANDLE_HEAP = 14,
	MP__HANDLE_QUEUE = 15,
	MP__HANDLE_CONNECTION = 16,
	MP__HANDLE_SHARED_LIST = 17,
	MP__HANDLE_PROXY = 18,
	MP__HANDLE_SERVED = 19, /* travels as a reference only: see server/served.h */
};

struct mp__handle {
	const struct mp__handle_class *class;
};

/*
 * A handle on its way to another process: bytes that only its class understands, and descriptors.
 * Descriptors on their way stand in a cargo (obj/codec.h), in the order of their handles.
 * Exporting lends both (they stay valid as long as the handle does); importing gives: what import
 * wants to keep, it takes out and sets to -1, and the rest is closed.
 */
#define MP__HANDLE_DATA_MAX 512
#define MP__HANDLE_FDS_MAX 4
struct mp__handle_wire {
	uint8_t data[MP__HANDLE_DATA_MAX];
	size_t size;
	int fds[MP__HANDLE_FDS_MAX];
	size_t n_fds;
};

struct mp__handle_class {
	enum mp__handle_kind kind;
	const char *name; /* in mp_obj_format(): <name> */
	void (*ref)(struct mp__handle *handle);
	void (*unref)(struct mp__handle *handle);
	int (*export)(struct mp__handle *handle, struct mp__handle_wire *ret_wire);
	/* `wire` came from another process: hostile. -EBADMSG. */
	int (*import)(struct mp__handle_wire *wire, struct mp__handle **ret_handle);
};

/*
 * An object of a managerd, as it stands in values that are stored there (mp.Reference). The module
 * manager makes these of handles, and handles of these.
 */
#define MP__REFERENCE_TOKEN 16
#define MP__REFERENCE_CLASS_MAX 63
struct mp__reference {
	uint8_t token[MP__REFERENCE_TOKEN];
	char class_name[MP__REFERENCE_CLASS_MAX + 1];
};

/* Who carries references: embedded in what it needs for that. */
struct mp__referrer {
	/* -ENOTSUP: the handle is of something else than an object of that managerd. */
	int (*refer)(struct mp__referrer *referrer, struct mp__handle *handle,
		struct mp__reference *ret_reference);
	/* Called once for each reference, in order. Gives a reference of the handle. */
	int (*resolve)(struct mp__referrer *referrer, const struct mp__reference *reference,
		struct mp__handle **ret_handle);
};

/* All classes, ended by NULL. */
extern const struct mp__handle_class *const mp__handle_classes[];

/* The value of a handle, for mp_<type>_handle(); nil for NULL. */
static inline mp_obj mp__handle_obj(struct mp__handle *handle)
{
	mp_obj o = {0};
	if (handle) {
		o.type = MP_TYPE_HANDLE;
		o.kind = handle->class->kind;
		o.as.handle = handle;
	}
	return o;
}

/* The handle in a value, for mp_obj_<type>(), or NULL if it is of another kind. */
static inline struct mp__handle *mp__obj_handle(const mp_obj *value, enum mp__handle_kind kind)
{
	if (!value || value->type != MP_TYPE_HANDLE || value->kind != (uint32_t)kind)
		return NULL;
	return value->as.handle;
}

#endif
