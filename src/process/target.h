/* SPDX-License-Identifier: MIT */
/*
 * process/target.h - which function is that, in another process?
 *
 * A function is named by the file that contains it and its offset from where that file is loaded,
 * so that static functions and shared objects work, and nothing has to be registered or exported.
 * The file is known by its GNU build id, or without one by path, size and time of change: two
 * builds of the same program never mistake each other's functions.
 */
#ifndef MP_PROCESS_TARGET_H
#define MP_PROCESS_TARGET_H

#include <stddef.h>
#include <stdint.h>

#define MP__TARGET_ID_MAX 32
#define MP__TARGET_PATH_SIZE 464

/* What the id is. */
enum mp__target_id_kind {
	MP__TARGET_BUILD_ID = 1,
	MP__TARGET_STAMP = 2, /* size and time of the file */
};

/*
 * Flat, so that it may stand in shared memory and in messages; only the first
 * mp__target_ref_size() bytes count. The path is that of a shared object, for a process that has
 * not loaded it yet; "" is the program itself.
 */
struct mp__target_ref {
	uint64_t offset;
	uint8_t id_kind; /* enum mp__target_id_kind */
	uint8_t id_size;
	uint8_t reserved[6];
	uint8_t id[MP__TARGET_ID_MAX];
	char path[MP__TARGET_PATH_SIZE];
};
_Static_assert(sizeof(struct mp__target_ref) == 512, "stands in shared memory");

/* Any function; cast to it and back. */
typedef void mp__any_function(void);

/*
 * Name a function of this process. -ENOEXEC it is in no loaded file, or not in the part of it that
 * is code, or the path of the file is too long. Any thread; repeating it costs next to nothing.
 */
int mp__target_describe(mp__any_function *function, struct mp__target_ref *ret_ref);

/*
 * Find it in this process; a shared object that is not loaded is loaded. The ref may be hostile
 * (-EBADMSG it is malformed); it is read once. -ENOEXEC no such file, or it is not the same build,
 * or the offset is not in its code. Any thread; repeating it costs next to nothing.
 */
int mp__target_resolve(const struct mp__target_ref *ref, mp__any_function **ret_function);

/* How much of the ref means something: from its start up to the NUL of the path. */
size_t mp__target_ref_size(const struct mp__target_ref *ref);

#endif
