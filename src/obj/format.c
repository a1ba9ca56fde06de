/* SPDX-License-Identifier: MIT */
/* A value as text, in the notation of Python's repr(). */
#include <config.h>

#include "obj/block.h"
#include "obj/utf8.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct writer {
	char *buffer;
	size_t size;
	size_t length; /* wanted so far; what is beyond the buffer is only counted */
	bool stopped;  /* nested too deeply: nothing more is written */
};

static void put(struct writer *w, const char *text, size_t length)
{
	if (w->stopped)
		return;
	if (w->length + 1 < w->size) {
		size_t room = w->size - 1 - w->length;
		memcpy(w->buffer + w->length, text, length < room ? length : room);
	}
	w->length += length;
}

static void puts_text(struct writer *w, const char *text)
{
	put(w, text, strlen(text));
}

static void put_format(struct writer *w, const char *format, ...) MP__PRINTF(2, 3);

static void put_format(struct writer *w, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	puts_text(w, text);
}

/* --- f64 ------------------------------------------------------------------------------------------ */

/*
 * The fewest digits that read back as the same number, and the exponent of the first one.
 * snprintf() writes the decimal point of the locale: all but the digits is skipped.
 */
static int shortest_digits(double number, char digits[static 18])
{
	char text[64];
	char *exponent;
	int n = 0;

	/* 15 digits survive the way there and back, except for subnormal numbers. */
	for (int precision = number < DBL_MIN ? 0 : 14; precision <= 16; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, number);
		if (strtod(text, NULL) == number)
			break;
	}
	exponent = strchr(text, 'e');
	for (const char *c = text; c < exponent && n < 17; c++) {
		if (*c >= '0' && *c <= '9')
			digits[n++] = *c;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return atoi(exponent + 1);
}

static void put_zeros(struct writer *w, int n)
{
	while (n-- > 0)
		put(w, "0", 1);
}

static void put_f64(struct writer *w, double number)
{
	char digits[18];

	if (signbit(number))
		put(w, "-", 1);
	if (isnan(number) || isinf(number)) {
		puts_text(w, isnan(number) ? "nan" : "inf");
		return;
	}
	int exponent = shortest_digits(fabs(number), digits);
	int n = (int)strlen(digits);

	if (exponent < -4 || exponent >= 16) {
		put(w, digits, 1);
		if (n > 1)
			put(w, ".", 1);
		puts_text(w, digits + 1);
		put_format(w, "e%+03d", exponent);
	} else if (exponent < 0) {
		puts_text(w, "0.");
		put_zeros(w, -exponent - 1);
		puts_text(w, digits);
	} else {
		int whole = n < exponent + 1 ? n : exponent + 1;
		put(w, digits, (size_t)whole);
		put_zeros(w, exponent + 1 - whole);
		put(w, ".", 1);
		puts_text(w, n > whole ? digits + whole : "0");
	}
}

/* --- strings and bytes ------------------------------------------------------------------------------ */

static bool put_escape(struct writer *w, unsigned char c)
{
	switch (c) {
	case '\\':
		puts_text(w, "\\\\");
		return true;
	case '"':
		puts_text(w, "\\\"");
		return true;
	case '\n':
		puts_text(w, "\\n");
		return true;
	case '\r':
		puts_text(w, "\\r");
		return true;
	case '\t':
		puts_text(w, "\\t");
		return true;
	default:
		if (c >= 0x20 && c < 0x7f)
			return false;
		put_format(w, "\\x%02x", c);
		return true;
	}
}

/* The controls U+0080 to U+009F: a terminal would act on them. */
static bool is_c1_control(const char *text, size_t n)
{
	return n == 2 && (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0;
}

static void put_str(struct writer *w, const char *text, size_t length)
{
	put(w, "\"", 1);
	for (size_t i = 0; i < length && !w->stopped;) {
		size_t n = mp__utf8_char(text + i, length - i);
		if (is_c1_control(text + i, n))
			put_format(w, "\\x%02x", (unsigned char)text[i + 1]);
		else if (n > 1)
			put(w, text + i, n);
		else if (!put_escape(w, (unsigned char)text[i]))
			put(w, text + i, 1);
		i += n > 1 ? n : 1;
	}
	put(w, "\"", 1);
}

static void put_bytes(struct writer *w, const char *data, size_t length)
{
	puts_text(w, "b\"");
	for (size_t i = 0; i < length; i++) {
		if (!put_escape(w, (unsigned char)data[i]))
			put(w, data + i, 1);
	}
	put(w, "\"", 1);
}

/* --- the rest ----------------------------------------------------------------------------------------- */

static void put_handle(struct writer *w, const mp_obj *value)
{
	if (value->kind != MP__HANDLE_FD) {
		const struct mp__handle *handle = value->as.handle;
		put_format(w, "<%s>", handle ? handle->class->name : "invalid");
		return;
	}
	const struct mp__held *held = mp__held_fd(value);
	int fd = held ? atomic_load(&held->fd) : (int)value->as.i64;
	if (held && fd < 0)
		puts_text(w, "<fd taken>");
	else
		put_format(w, "<fd %d>", fd);
}

static void put_value(struct writer *w, const mp_obj *value, size_t depth);

static void put_items(struct writer *w, const mp_obj *value, size_t depth)
{
	bool is_dict = value->type == MP_TYPE_DICT;

	put(w, is_dict ? "{" : "[", 1);
	if (depth == MP_OBJ_MAX_DEPTH) {
		/* No value: it may contain itself, and would never end. */
		puts_text(w, "...");
		w->stopped = true;
		return;
	}
	for (size_t i = 0; i < value->count && !w->stopped; i++) {
		if (i > 0)
			puts_text(w, is_dict && i % 2 != 0 ? ": " : ", ");
		put_value(w, &value->as.items[i], depth + 1);
	}
	put(w, is_dict ? "}" : "]", 1);
}

static void put_value(struct writer *w, const mp_obj *value, size_t depth)
{
	switch (value->type) {
	case MP_TYPE_NIL:
		puts_text(w, "nil");
		break;
	case MP_TYPE_BOOL:
		puts_text(w, value->as.boolean ? "true" : "false");
		break;
	case MP_TYPE_I64:
		put_format(w, "%" PRId64, value->as.i64);
		break;
	case MP_TYPE_U64:
		put_format(w, "%" PRIu64, value->as.u64);
		break;
	case MP_TYPE_F64:
		put_f64(w, value->as.f64);
		break;
	case MP_TYPE_STR:
		put_str(w, value->as.str, value->count);
		break;
	case MP_TYPE_BYTES:
		put_bytes(w, value->as.bytes, value->count);
		break;
	case MP_TYPE_LIST:
	case MP_TYPE_DICT:
		put_items(w, value, depth);
		break;
	case MP_TYPE_HANDLE:
		put_handle(w, value);
		break;
	default:
		puts_text(w, "<invalid>");
	}
}

size_t mp_obj_format(const mp_obj *value, char *buffer, size_t size)
{
	struct writer w = {.buffer = buffer, .size = size};

	if (value)
		put_value(&w, value, 0);
	else
		puts_text(&w, "NULL");
	if (size > 0)
		buffer[w.length < size ? w.length : size - 1] = '\0';
	return w.length;
}
