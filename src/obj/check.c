/* SPDX-License-Identifier: MIT */
/*
 * Is this an mp.Value? The rules are those of proto/value.proto.
 *
 * A Value is one tag and one payload that fills it to its last byte; the payload of a list or dict is
 * a row of items. So one walk from left to right does, with a stack of the lists that are open:
 * every byte is looked at once, nothing is allocated, and no depth of nesting costs C stack.
 */
#include <config.h>

#include "obj/codec.h"

#include "base/error.h"
#include "obj/handle.h"
#include "obj/measure.h"
#include "obj/utf8.h"
#include "obj/wireformat.h"

struct open_list {
	const uint8_t *end;
	size_t items;
	bool is_dict;
};

struct walk {
	const uint8_t *begin;
	const uint8_t *at;
	const uint8_t *end; /* of what is being read */
	struct open_list open[MP_OBJ_MAX_DEPTH];
	struct mp__value_info info;
};

static int bad(const struct walk *w, const char *what)
{
	return mp_error_set(
		-EBADMSG, "not a valid mp.Value: %s at byte %zu", what, (size_t)(w->at - w->begin));
}

static int read_varint(struct walk *w, size_t max_bytes, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (size_t i = 0; i < max_bytes; i++) {
		if (w->at + i == w->end)
			return bad(w, "a number is cut off");
		uint8_t byte = w->at[i];
		if (i == MP__VARINT64_BYTES - 1 && byte > 1)
			return bad(w, "a number has more than 64 bits");
		number |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			w->at += i + 1;
			*ret_number = number;
			return 0;
		}
	}
	return bad(w, "a number is too long");
}

static int read_number32(struct walk *w, uint32_t *ret_number)
{
	uint64_t number = 0;

	int r = read_varint(w, MP__VARINT32_BYTES, &number);
	if (r < 0)
		return r;
	if (number > UINT32_MAX)
		return bad(w, "a number has more than 32 bits");
	*ret_number = (uint32_t)number;
	return 0;
}

/* A length that the rest of what is being read can hold. */
static int read_length(struct walk *w, size_t *ret_length)
{
	uint32_t length = 0;

	int r = read_number32(w, &length);
	if (r < 0)
		return r;
	if (length > (size_t)(w->end - w->at))
		return bad(w, "a length reaches beyond the end");
	*ret_length = length;
	return 0;
}

/* The payload of a kind fills its Value: `length` bytes, no more and no less. */
static int read_whole_length(struct walk *w, size_t *ret_length)
{
	int r = read_length(w, ret_length);

	if (r < 0)
		return r;
	return *ret_length == (size_t)(w->end - w->at) ? 0 : bad(w, "a value has a second kind");
}

static int check_number(struct walk *w, uint32_t type, uint64_t max)
{
	uint64_t number = 0;

	w->info.type = type;
	int r = read_varint(w, MP__VARINT64_BYTES, &number);
	if (r < 0)
		return r;
	if (number > max)
		return bad(w, "nil or a bool is out of range");
	return w->at == w->end ? 0 : bad(w, "a value has a second kind");
}

static int check_f64(struct walk *w)
{
	w->info.type = MP_TYPE_F64;
	if (w->end - w->at < (ptrdiff_t)sizeof(double))
		return bad(w, "an f64 is cut off");
	w->at += sizeof(double);
	return w->at == w->end ? 0 : bad(w, "a value has a second kind");
}

static int check_text(struct walk *w, uint32_t type)
{
	size_t length = 0;

	w->info.type = type;
	int r = read_whole_length(w, &length);
	if (r < 0)
		return r;
	if (type == MP_TYPE_STR) {
		if (!mp__utf8_valid((const char *)w->at, length))
			return bad(w, "a string is not UTF-8 or has a NUL inside");
		w->info.strings++;
	}
	w->info.text += length;
	w->at += length;
	return 0;
}

static int check_handle(struct walk *w)
{
	uint32_t kind = 0;
	uint32_t descriptors = 0;
	size_t data = 0;
	unsigned int seen = 0;
	int r;

	w->info.type = MP_TYPE_HANDLE;
	r = read_whole_length(w, &(size_t){0});
	while (r == 0 && w->at < w->end) {
		uint8_t tag = *w->at++;
		unsigned int bit = 1U << (tag >> 3);
		if (seen & bit)
			return bad(w, "a field of a handle occurs twice");
		seen |= bit;
		if (tag == MP__TAG_HANDLE_KIND) {
			r = read_number32(w, &kind);
		} else if (tag == MP__TAG_HANDLE_DATA) {
			r = read_length(w, &data);
			w->at += r == 0 ? data : 0;
		} else if (tag == MP__TAG_HANDLE_DESCRIPTORS) {
			r = read_number32(w, &descriptors);
		} else {
			return bad(w, "an unknown field in a handle");
		}
	}
	if (r < 0)
		return r;
	if (kind == 0 || data > MP__HANDLE_DATA_MAX || descriptors > MP__HANDLE_FDS_MAX ||
		(kind == MP__HANDLE_FD && (data > 0 || descriptors != 1)))
		return bad(w, "a handle of a shape that does not exist");
	w->info.handles++;
	return 0;
}

static int check_reference(struct walk *w)
{
	size_t token = 0;
	size_t name = 0;

	w->info.type = MP_TYPE_HANDLE;
	int r = read_whole_length(w, &(size_t){0});
	if (r < 0)
		return r;
	if (w->at == w->end || *w->at++ != MP__TAG_REFERENCE_TOKEN)
		return bad(w, "a reference does not begin with a token");
	r = read_length(w, &token);
	if (r < 0)
		return r;
	w->at += token;
	if (token != MP__REFERENCE_TOKEN || w->at == w->end || *w->at++ != MP__TAG_REFERENCE_CLASS)
		return bad(w, "a reference has a wrong token, or no class");
	r = read_length(w, &name);
	if (r < 0)
		return r;
	if (name == 0 || name > MP__REFERENCE_CLASS_MAX ||
		!mp__utf8_valid((const char *)w->at, name))
		return bad(w, "the class of a reference is no name");
	w->at += name;
	w->info.references++;
	return w->at == w->end ? 0 : bad(w, "an unknown field in a reference");
}

/* Enter a list; its items are read by the walk itself. */
static int enter_list(struct walk *w, size_t *depth, uint32_t type)
{
	size_t length = 0;

	w->info.type = type;
	if (*depth == MP_OBJ_MAX_DEPTH)
		return mp_error_set(-EOVERFLOW, "an mp.Value nested deeper than %d, at byte %zu",
			MP_OBJ_MAX_DEPTH, (size_t)(w->at - w->begin));
	int r = read_whole_length(w, &length);
	if (r < 0)
		return r;
	w->open[*depth] = (struct open_list){w->end, 0, type == MP_TYPE_DICT};
	if (++*depth > w->info.depth)
		w->info.depth = *depth;
	return 0;
}

/* One Value from w->at to w->end, or the beginning of one that is a list. */
static int check_value(struct walk *w, size_t *depth)
{
	w->info.nodes++;
	if (w->at == w->end)
		return bad(w, "a value without a kind");
	switch (*w->at++) {
	case MP__TAG_NIL:
		return check_number(w, MP_TYPE_NIL, 0);
	case MP__TAG_BOOLEAN:
		return check_number(w, MP_TYPE_BOOL, 1);
	case MP__TAG_I64:
		return check_number(w, MP_TYPE_I64, UINT64_MAX);
	case MP__TAG_U64:
		return check_number(w, MP_TYPE_U64, UINT64_MAX);
	case MP__TAG_F64:
		return check_f64(w);
	case MP__TAG_STR:
		return check_text(w, MP_TYPE_STR);
	case MP__TAG_BYTES:
		return check_text(w, MP_TYPE_BYTES);
	case MP__TAG_LIST:
		return enter_list(w, depth, MP_TYPE_LIST);
	case MP__TAG_DICT:
		return enter_list(w, depth, MP_TYPE_DICT);
	case MP__TAG_HANDLE:
		return check_handle(w);
	case MP__TAG_REFERENCE:
		return check_reference(w);
	default:
		w->at--;
		return bad(w, "an unknown field or a wrong wire type");
	}
}

/* Leave the lists that end here, and point the walk at the next item if one is left. */
static int next_item(struct walk *w, size_t *depth)
{
	while (*depth > 0) {
		struct open_list *list = &w->open[*depth - 1];
		w->end = list->end;
		if (w->at < list->end) {
			if (*w->at != MP__TAG_ITEM)
				return bad(w, "an unknown field in a list or dict");
			w->at++;
			list->items++;
			size_t length = 0;
			int r = read_length(w, &length);
			if (r == 0)
				w->end = w->at + length;
			return r;
		}
		if (list->is_dict && list->items % 2 != 0)
			return bad(w, "a dict ends with a key without a value");
		--*depth;
	}
	return 0;
}

int mp__value_check(const void *data, size_t size, struct mp__value_info *ret_info)
{
	struct walk w;
	size_t depth = 0;
	uint32_t outermost;
	int r;

	if (size == 0 || !data)
		return mp_error_set(-EBADMSG, "not a valid mp.Value: no bytes");
	if (size > INT32_MAX)
		return mp_error_set(-EBADMSG, "not a valid mp.Value: more than 2 GiB - 1");
	w.begin = w.at = data;
	w.end = w.begin + size;
	w.info = (struct mp__value_info){0};
	r = check_value(&w, &depth);
	outermost = w.info.type;
	if (r == 0)
		r = next_item(&w, &depth);
	while (r == 0 && depth > 0) {
		r = check_value(&w, &depth);
		if (r == 0)
			r = next_item(&w, &depth);
	}
	if (r < 0)
		return r;
	w.info.type = outermost;
	*ret_info = w.info;
	return 0;
}
