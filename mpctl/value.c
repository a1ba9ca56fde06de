/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <mp/error.h>
#include <mp/proxy.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_BYTES "$bytes"
#define KEY_DICT "$dict"
#define KEY_F64 "$f64"
#define KEY_OBJECT "$object"

/* --- out -------------------------------------------------------------------------------------- */

/*
 * The control character at the start of the text; -1 there is none. Those above ASCII count too, and
 * take two bytes in UTF-8: to some terminals U+009B is as good as ESC [.
 */
static int control_at(const char *text, size_t size)
{
	unsigned char c = (unsigned char)text[0];

	if (c < ' ' || c == 0x7f)
		return c;
	unsigned char next = c == 0xc2 && size > 1 ? (unsigned char)text[1] : 0;
	return next >= 0x80 && next < 0xa0 ? next : -1;
}

static void write_string(FILE *to, const char *text, size_t size)
{
	putc('"', to);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		int control = control_at(text + i, size - i);
		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", to);
		else if (c == '\t')
			fputs("\\t", to);
		else if (control >= 0)
			fprintf(to, "\\u%04x", (unsigned)control);
		else
			putc(c, to);
		i += control > 0x7f;
	}
	putc('"', to);
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void write_bytes(FILE *to, const uint8_t *data, size_t size)
{
	fputs("{\"" KEY_BYTES "\": \"", to);
	for (size_t i = 0; i < size; i += 3) {
		uint32_t three = (uint32_t)data[i] << 16;
		three |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
		three |= i + 2 < size ? data[i + 2] : 0;
		putc(base64[three >> 18], to);
		putc(base64[three >> 12 & 63], to);
		putc(i + 1 < size ? base64[three >> 6 & 63] : '=', to);
		putc(i + 2 < size ? base64[three & 63] : '=', to);
	}
	fputs("\"}", to);
}

static void write_f64(FILE *to, double value)
{
	char text[32];

	if (!isfinite(value)) {
		fprintf(to, "{\"" KEY_F64 "\": \"%s\"}",
			isnan(value) ? "nan"
			: value < 0  ? "-inf"
				     : "inf");
		return;
	}
	/* As few digits as bring it back; and never without a point, else it would be an integer. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	fprintf(to, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void write_list(FILE *to, const mp_obj *items, size_t n)
{
	putc('[', to);
	for (size_t i = 0; i < n; i++) {
		fputs(i > 0 ? ", " : "", to);
		value_write_json(to, &items[i]);
	}
	putc(']', to);
}

static void write_dict(FILE *to, const mp_obj *dict)
{
	const mp_obj *pairs = dict->as.items;
	bool strings = true;

	for (size_t i = 0; i < dict->count; i += 2)
		strings = strings && pairs[i].type == MP_TYPE_STR;
	fputs(strings ? "{" : "{\"" KEY_DICT "\": [", to);
	for (size_t i = 0; i < dict->count; i += 2) {
		fputs(i > 0 ? ", " : "", to);
		if (!strings) {
			write_list(to, &pairs[i], 2);
			continue;
		}
		value_write_json(to, &pairs[i]);
		fputs(": ", to);
		value_write_json(to, &pairs[i + 1]);
	}
	fputs(strings ? "}" : "]}", to);
}

static void write_handle(FILE *to, const mp_obj *value)
{
	const char *class_name = mp_proxy_type(mp_obj_proxy(value));

	fputs("{\"" KEY_OBJECT "\": ", to);
	class_name = class_name ? class_name : "handle";
	write_string(to, class_name, strlen(class_name));
	putc('}', to);
}

void value_write_json(FILE *to, const mp_obj *value)
{
	switch (value->type) {
	case MP_TYPE_BOOL:
		fputs(value->as.boolean ? "true" : "false", to);
		break;
	case MP_TYPE_I64:
		fprintf(to, "%" PRId64, value->as.i64);
		break;
	case MP_TYPE_U64:
		fprintf(to, "%" PRIu64, value->as.u64);
		break;
	case MP_TYPE_F64:
		write_f64(to, value->as.f64);
		break;
	case MP_TYPE_STR:
		write_string(to, value->as.str, value->count);
		break;
	case MP_TYPE_BYTES:
		write_bytes(to, value->as.bytes, value->count);
		break;
	case MP_TYPE_LIST:
		write_list(to, value->as.items, value->count);
		break;
	case MP_TYPE_DICT:
		write_dict(to, value);
		break;
	case MP_TYPE_HANDLE:
		write_handle(to, value);
		break;
	default:
		fputs("null", to);
	}
}

/* On a terminal what others have stored must not be able to command it. */
static void print_text(const char *text, size_t size)
{
	bool terminal = isatty(STDOUT_FILENO);

	for (size_t i = 0; i < size; i++) {
		int control = terminal ? control_at(text + i, size - i) : -1;
		if (control < 0 || control == '\n' || control == '\t')
			putchar((unsigned char)text[i]);
		else
			printf("\\x%02x", (unsigned)control);
		i += control > 0x7f;
	}
}

void value_print(const struct line *line, const mp_obj *value)
{
	if (!line->json && value->type == MP_TYPE_STR)
		print_text(value->as.str, value->count);
	else if (!line->json && value->type == MP_TYPE_BYTES && !isatty(STDOUT_FILENO)) {
		fwrite(value->as.bytes, 1, value->count, stdout);
		return; /* as it is: nothing is added */
	} else
		value_write_json(stdout, value);
	putchar('\n');
}

/* --- in: from JSON ---------------------------------------------------------------------------- */

/* Values that borrow their strings from the JSON, with arrays of their own. */
static int convert(const json_t *json, mp_obj *ret);

static void release(mp_obj *value)
{
	if (value->type == MP_TYPE_LIST || value->type == MP_TYPE_DICT) {
		for (size_t i = 0; i < value->count; i++)
			release((mp_obj *)&value->as.items[i]);
		free((void *)value->as.items);
	} else if (value->type == MP_TYPE_BYTES) {
		free((void *)value->as.bytes);
	}
	*value = mp_nil();
}

static int convert_list(const json_t *json, mp_obj *ret)
{
	size_t n = json_array_size(json);
	mp_obj *items = calloc(n + 1, sizeof(*items));

	*ret = mp_list_of(items, items ? n : 0);
	if (!items)
		return mp_error_set(-ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		int r = convert(json_array_get(json, i), &items[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* {"$dict": [[KEY, VALUE], ...]} */
static int convert_pairs(const json_t *json, mp_obj *ret)
{
	size_t n = json_array_size(json);
	mp_obj *pairs = calloc(2 * n + 1, sizeof(*pairs));

	*ret = mp_dict_of(pairs, pairs ? 2 * n : 0);
	if (!pairs)
		return mp_error_set(-ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(json, i);
		if (json_array_size(pair) != 2)
			return mp_error_set(
				-EINVAL, KEY_DICT " is a list of lists of key and value");
		int r = convert(json_array_get(pair, 0), &pairs[2 * i]);
		r = r < 0 ? r : convert(json_array_get(pair, 1), &pairs[2 * i + 1]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int convert_bytes(const json_t *json, mp_obj *ret)
{
	const char *text = json_string_value(json);
	size_t length = json_string_length(json);
	uint8_t *data = malloc(length + 1);
	uint32_t bits = 0;
	size_t n = 0;
	size_t i = 0;

	if (!data)
		return mp_error_set(-ENOMEM, "out of memory");
	for (; i < length && text[i] != '='; i++) {
		const char *digit = strchr(base64, text[i]);
		if (!digit)
			break;
		bits = bits << 6 | (uint32_t)(digit - base64);
		if (i % 4 != 0)
			data[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	/* One digit is no byte; what is missing of the last four is filled up. */
	if (length % 4 != 0 || strspn(text + i, "=") != length - i || length - i > 2) {
		free(data);
		return mp_error_set(-EINVAL, KEY_BYTES " is followed by a string in base64");
	}
	*ret = mp_bytes(data, n);
	return 0;
}

static int convert_dict(json_t *json, mp_obj *ret)
{
	size_t n = json_object_size(json);
	const char *key;
	json_t *value;
	size_t i = 0;

	if (n == 1 && json_is_string(json_object_get(json, KEY_BYTES)))
		return convert_bytes(json_object_get(json, KEY_BYTES), ret);
	if (n == 1 && json_is_array(json_object_get(json, KEY_DICT)))
		return convert_pairs(json_object_get(json, KEY_DICT), ret);
	mp_obj *pairs = calloc(2 * n + 1, sizeof(*pairs));
	*ret = mp_dict_of(pairs, pairs ? 2 * n : 0);
	if (!pairs)
		return mp_error_set(-ENOMEM, "out of memory");
	json_object_foreach(json, key, value)
	{
		pairs[i++] = mp_str(key);
		int r = convert(value, &pairs[i++]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int convert(const json_t *json, mp_obj *ret)
{
	*ret = mp_nil();
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return convert_dict((json_t *)json, ret);
	case JSON_ARRAY:
		return convert_list(json, ret);
	case JSON_STRING:
		*ret = mp_strn(json_string_value(json), json_string_length(json));
		return 0;
	case JSON_INTEGER:
		*ret = mp_i64(json_integer_value(json));
		return 0;
	case JSON_REAL:
		*ret = mp_f64(json_real_value(json));
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		*ret = mp_bool(json_is_true(json));
		return 0;
	default:
		return 0;
	}
}

/* --- in: from text ---------------------------------------------------------------------------- */

/* JSON has larger integers than its library. */
static bool is_u64(const char *text, size_t size, mp_obj *ret)
{
	char digits[24];
	char *end;

	if (size == 0 || size >= sizeof(digits) || !isdigit((unsigned char)text[0]))
		return false;
	memcpy(digits, text, size);
	digits[size] = '\0';
	errno = 0;
	uint64_t number = strtoull(digits, &end, 10);
	if (*end != '\0' || errno != 0 || number <= INT64_MAX || text[0] == '0')
		return false;
	*ret = mp_u64(number);
	return true;
}

static int copy(mp_obj value, mp_obj *ret, struct line *line)
{
	int r = mp_obj_copy(value, ret);

	if (r == 0)
		return MPCTL_OK;
	fprintf(stderr, "mpctl %s: %s\n", line->command->name, mp_error_detail());
	return r == -ENOMEM ? MPCTL_FAILED : MPCTL_USAGE;
}

static int read_json(struct line *line, json_t *json, mp_obj *ret)
{
	mp_obj value;
	int code = MPCTL_USAGE;

	if (convert(json, &value) < 0)
		fprintf(stderr, "mpctl %s: %s\n", line->command->name, mp_error_detail());
	else
		code = copy(value, ret, line);
	release(&value);
	json_decref(json);
	return code;
}

static int read_text(struct line *line, const char *text, size_t size, mp_obj *ret)
{
	json_error_t error;

	if (line->bytes)
		return copy(mp_bytes(text, size), ret, line);
	if (line->string)
		return copy(mp_strn(text, size), ret, line);
	if (is_u64(text, size, ret))
		return MPCTL_OK;
	json_t *json = json_loadb(text, size, JSON_DECODE_ANY, &error);
	if (json)
		return read_json(line, json, ret);
	if (size > 0 && strchr("[{\"", text[0]))
		return mpctl_usage(line->command,
			"it begins like JSON, and is none: %s (--string takes it as it is)",
			error.text);
	return copy(mp_strn(text, size), ret, line);
}

/* A file ends with a newline, which is nobody's, unless every byte is meant. */
static int read_input(struct line *line, const char *text, size_t size, mp_obj *ret)
{
	while (!line->string && !line->bytes && size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	return read_text(line, text, size, ret);
}

/* All of it, for free(). NULL: what went wrong has been said. */
static char *read_stdin(struct line *line, size_t *ret_size)
{
	char *text = NULL;

	*ret_size = 0;
	for (size_t room = 0;;) {
		if (*ret_size == room) {
			room = room ? room * 2 : BUFSIZ;
			char *more = realloc(text, room);
			if (!more)
				break;
			text = more;
		}
		size_t n = fread(text + *ret_size, 1, room - *ret_size, stdin);
		*ret_size += n;
		if (n == 0 && !ferror(stdin))
			return text;
		if (n == 0)
			break;
	}
	fprintf(stderr, "mpctl %s: standard input: %s\n", line->command->name, strerror(errno));
	free(text);
	return NULL;
}

bool value_is_stdin(const char *text)
{
	return strcmp(text, "-") == 0;
}

int value_read(struct line *line, const char *text, mp_obj *ret)
{
	size_t size;

	if (!value_is_stdin(text))
		return read_text(line, text, strlen(text), ret);
	char *all = read_stdin(line, &size);
	if (!all)
		return MPCTL_FAILED;
	int code = read_input(line, all, size, ret);
	free(all);
	return code;
}

int value_read_line(struct line *line, bool *ret_end, mp_obj *ret)
{
	char *text = NULL;
	size_t room = 0;
	int code = MPCTL_OK;
	ssize_t n = getline(&text, &room, stdin);

	*ret_end = n < 0;
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n >= 0) {
		code = read_input(line, text, (size_t)n, ret);
	} else if (ferror(stdin)) {
		fprintf(stderr, "mpctl %s: standard input: %s\n", line->command->name,
			strerror(errno));
		code = MPCTL_FAILED;
	}
	free(text);
	return code;
}

int value_read_key(struct line *line, const char *text, mp_obj *ret)
{
	struct line as_key = *line;

	as_key.bytes = false;
	return read_text(&as_key, text, strlen(text), ret);
}
