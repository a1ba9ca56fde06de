/* SPDX-License-Identifier: MIT */
/*
 * mp/obj.h - mp_obj, the one value type.
 *
 * What Python pickles, libmp carries as an mp_obj: process arguments, task arguments and results,
 * messages, and keys and values of managerd are all the same type. It is a small struct, passed by
 * value.
 *
 * Ownership. Constructors borrow: an mp_obj made by mp_str(s) is valid as long as s is, one made by
 * MP_LIST(...) as long as the block in which it is written. What a libmp call returns through a
 * ret_ parameter owns one block of memory with everything inside, and is released by mp_obj_free();
 * its items, keys and strings live as long as it does and are never freed on their own.
 *
 *	mp_obj day = MP_DICT(mp_str("total"), mp_i64(1632), mp_str("ip"), mp_i64(341));
 *
 * In C++ use mp_list_of() and mp_dict_of(); the MP_ macros are compound literals, which C++ lacks.
 */
#ifndef MP_OBJ_H
#define MP_OBJ_H

#include <mp/cdefs.h>

#ifndef __cplusplus
#include <stdbool.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

MP__BEGIN_DECLS

enum mp_type {
	MP_TYPE_NIL,
	MP_TYPE_BOOL,
	MP_TYPE_I64,
	MP_TYPE_U64,
	MP_TYPE_F64,
	MP_TYPE_STR, /* UTF-8 without NUL bytes inside; other bytes are MP_TYPE_BYTES */
	MP_TYPE_BYTES,
	MP_TYPE_LIST,
	MP_TYPE_DICT,
	MP_TYPE_HANDLE, /* a libmp object or a file descriptor, see mp/handle.h */
};

/* Lists and dicts may be nested this deep (a scalar has depth 0, a list of scalars 1). */
#define MP_OBJ_MAX_DEPTH 64

typedef struct mp_obj mp_obj;
struct mp_obj {
	/*
	 * What mp_obj_free() releases; NULL when borrowed. It stands first so that a compiler says
	 * something about MP_ARGS(5) and MP_ARGS("text"), which lack mp_i64() and mp_str().
	 */
	struct mp__block *block;
	uint32_t type; /* enum mp_type */
	uint32_t kind; /* of a handle; otherwise 0 */
	size_t count;  /* STR, BYTES: bytes; LIST: items; DICT: items, that is keys plus values;
			  HANDLE: the library's own business, as is as.handle; otherwise 0 */
	union {
		bool boolean;
		int64_t i64;
		uint64_t u64;
		double f64;
		const char *str;
		const void *bytes;
		const mp_obj *items; /* of a dict: key, value, key, value, ... */
		void *handle;
	} as;
};

/* --- making ---------------------------------------------------------------------------------- */

static inline mp_obj mp__obj_of(enum mp_type type)
{
	mp_obj o;

	memset(&o, 0, sizeof(o));
	o.type = type;
	return o;
}

static inline mp_obj mp_nil(void)
{
	return mp__obj_of(MP_TYPE_NIL);
}

static inline mp_obj mp_bool(bool value)
{
	mp_obj o = mp__obj_of(MP_TYPE_BOOL);
	o.as.boolean = value;
	return o;
}

static inline mp_obj mp_i64(int64_t value)
{
	mp_obj o = mp__obj_of(MP_TYPE_I64);
	o.as.i64 = value;
	return o;
}

static inline mp_obj mp_u64(uint64_t value)
{
	mp_obj o = mp__obj_of(MP_TYPE_U64);
	o.as.u64 = value;
	return o;
}

static inline mp_obj mp_f64(double value)
{
	mp_obj o = mp__obj_of(MP_TYPE_F64);
	o.as.f64 = value;
	return o;
}

/* `length` bytes of a string that need not be NUL-terminated. */
static inline mp_obj mp_strn(const char *value, size_t length)
{
	mp_obj o = mp__obj_of(MP_TYPE_STR);
	o.count = length;
	o.as.str = value;
	return o;
}

/* A NUL-terminated string; NULL gives nil. */
static inline mp_obj mp_str(const char *value)
{
	return value ? mp_strn(value, strlen(value)) : mp_nil();
}

static inline mp_obj mp_bytes(const void *value, size_t length)
{
	mp_obj o = mp__obj_of(MP_TYPE_BYTES);
	o.count = length;
	o.as.bytes = value;
	return o;
}

static inline mp_obj mp_list_of(const mp_obj *items, size_t count)
{
	mp_obj o = mp__obj_of(MP_TYPE_LIST);
	o.count = count;
	o.as.items = items;
	return o;
}

/* `count` items, that is twice the pairs. An odd count is -EINVAL wherever the dict is used. */
static inline mp_obj mp_dict_of(const mp_obj *items, size_t count)
{
	mp_obj o = mp_list_of(items, count);
	o.type = MP_TYPE_DICT;
	return o;
}

#ifndef __cplusplus
/* The nil in front keeps an empty list valid C. */
#define MP__COUNT(...) (sizeof((const mp_obj[]){mp_nil(), __VA_ARGS__}) / sizeof(mp_obj) - 1)
#define MP__ITEMS(...) ((const mp_obj[]){mp_nil(), __VA_ARGS__} + 1)

/* A list, and a dict written as key, value, key, value, ...; both may be empty. */
#define MP_LIST(...) mp_list_of(MP__ITEMS(__VA_ARGS__), MP__COUNT(__VA_ARGS__))
#define MP_DICT(...) mp_dict_of(MP__ITEMS(__VA_ARGS__), MP__COUNT(__VA_ARGS__))

/* The arguments of a target or task: the same as a list. */
#define MP_ARGS(...) MP_LIST(__VA_ARGS__)
#endif

/*
 * A copy that owns everything inside; handles in it gain a reference, descriptors are duplicated.
 * -EINVAL not a value (unknown type, odd dict, nil pointer with a count), -EILSEQ a string that is
 * not UTF-8 or has a NUL inside, -EOVERFLOW nested deeper than MP_OBJ_MAX_DEPTH, -EBADF a descriptor
 * that is not open or was taken, -EMFILE, -ENOMEM.
 */
int mp_obj_copy(mp_obj value, mp_obj *ret_copy);

/*
 * Release what a libmp call returned, and make it nil. NULL, borrowed objects and scalars, which
 * own nothing, are left alone. Free one of the copies of the struct, not each.
 */
void mp_obj_free(mp_obj *value);

/* --- looking inside -------------------------------------------------------------------------- */

/*
 * The value as another type, checked: -EINVAL it is of another kind, -ERANGE it does not fit.
 * Integers convert between i64 and u64 where the value fits; integers convert to f64 where that is
 * exact. Nothing else converts.
 */
int mp_obj_to_bool(const mp_obj *value, bool *ret_value);
int mp_obj_to_i64(const mp_obj *value, int64_t *ret_value);
int mp_obj_to_u64(const mp_obj *value, uint64_t *ret_value);
int mp_obj_to_f64(const mp_obj *value, double *ret_value);

/*
 * The same for values that you know: what they hold, or 0 / NULL when they are of another kind or
 * do not fit.
 */
int64_t mp_obj_i64(const mp_obj *value);
double mp_obj_f64(const mp_obj *value);
const char *mp_obj_str(const mp_obj *value); /* NUL-terminated unless it came from mp_strn() */

/* How many bytes, list items or dict pairs; 0 for everything else. */
size_t mp_obj_len(const mp_obj *value);

/*
 * Item of a list, and value under a key of a dict: NULL when there is none or `value` is no list or
 * dict. Keys compare as in mp_obj_equal(); of equal keys the last one counts. A dict is searched
 * from its end, in time that grows with its length.
 */
const mp_obj *mp_obj_at(const mp_obj *list, size_t index);
const mp_obj *mp_obj_get(const mp_obj *dict, mp_obj key);

/*
 * Equality and order. Integers compare by value, whether i64 or u64; otherwise kinds order as in
 * enum mp_type and are never equal to each other. f64 orders by IEEE totalOrder, so that NaN equals
 * itself. Strings and bytes order bytewise. Lists and dicts order item by item; the order of a
 * dict's pairs counts for mp_obj_compare() and not for mp_obj_equal(); there, of pairs with equal
 * keys the last counts. Handles are equal when they are the same object or descriptor number. NULL
 * equals NULL alone and orders first.
 */
bool mp_obj_equal(const mp_obj *a, const mp_obj *b);
int mp_obj_compare(const mp_obj *a, const mp_obj *b);

/*
 * The value as text, in the notation of Python's repr() with nil, true and false: [1, "a", b"\x00"].
 * Like snprintf: at most `size` bytes with the NUL, returns the length it wanted to write. Controls
 * and invalid UTF-8 are escaped. What is nested too deeply ends in "...".
 */
size_t mp_obj_format(const mp_obj *value, char *buffer, size_t size);

/* --- as bytes -------------------------------------------------------------------------------- */

/*
 * Encode as the protobuf message mp.Value of proto/value.proto. *ret_data is malloc'ed: free() it.
 * Errors as mp_obj_copy(), and -ENOTSUP: handles travel only in channels that can carry them, not
 * in bytes; -EMSGSIZE: more than 2 GiB - 1.
 */
int mp_obj_encode(mp_obj value, void **ret_data, size_t *ret_size);

/*
 * Decode hostile bytes. *ret_value owns its content. -EBADMSG the bytes are no valid mp.Value (the
 * detail says what and where), -EOVERFLOW nested too deeply, -ENOTSUP a handle inside, -ENOMEM.
 */
int mp_obj_decode(const void *data, size_t size, mp_obj *ret_value);

MP__END_DECLS

#endif
