/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/values.h"

#include "base/cleanup.h"

#include <stdlib.h>

uint64_t t_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static mp_obj random_text(uint64_t *state, struct mp__arena *arena, bool is_str)
{
	static const char *const chars[] = {"a", "Z", "\"", "\n", "\x01", "\xc3\xbc",
		"\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
	size_t n = t_random(state) % 20;
	char *text = must(mp__arena_alloc(arena, 4 * n + 1));
	size_t length = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_str) {
			const char *c = chars[t_random(state) % MP__COUNT_OF(chars)];
			memcpy(text + length, c, strlen(c));
			length += strlen(c);
		} else {
			text[length++] = (char)t_random(state);
		}
	}
	/* No NUL behind it: nobody may rely on one. */
	text[length] = 'X';
	return is_str ? mp_strn(text, length) : mp_bytes(text, length);
}

/* Numbers near the places where something happens. */
static uint64_t random_number(uint64_t *state)
{
	uint64_t number = t_random(state) >> (t_random(state) % 64);

	return t_random(state) % 2 ? number : -number;
}

static mp_obj random_f64(uint64_t *state)
{
	static const double special[] = {0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, 1.0 / 3};
	uint64_t bits = t_random(state);
	double number;

	memcpy(&number, &bits, sizeof(number));
	return mp_f64(bits % 2 ? number : special[bits / 2 % MP__COUNT_OF(special)]);
}

mp_obj t_random_value(uint64_t *state, struct mp__arena *arena, unsigned int depth)
{
	enum mp_type type = t_random(state) % (depth > 0 ? MP_TYPE_HANDLE : MP_TYPE_LIST);

	switch (type) {
	case MP_TYPE_NIL:
		return mp_nil();
	case MP_TYPE_BOOL:
		return mp_bool(t_random(state) % 2);
	case MP_TYPE_I64:
		return mp_i64((int64_t)random_number(state));
	case MP_TYPE_U64:
		return mp_u64(random_number(state));
	case MP_TYPE_F64:
		return random_f64(state);
	case MP_TYPE_STR:
	case MP_TYPE_BYTES:
		return random_text(state, arena, type == MP_TYPE_STR);
	default:
		break;
	}
	size_t count = t_random(state) % 7;
	if (type == MP_TYPE_DICT)
		count *= 2;
	mp_obj *items = must(mp__arena_array(arena, count, sizeof(*items)));
	for (size_t i = 0; i < count; i++)
		items[i] = t_random_value(state, arena, depth - 1);
	return type == MP_TYPE_DICT ? mp_dict_of(items, count) : mp_list_of(items, count);
}

static mp_obj shuffled_dict(uint64_t *state, struct mp__arena *arena, const mp_obj *dict)
{
	size_t n = dict->count / 2;
	/* First a copy of the keys with other values: all are hidden by what follows. */
	mp_obj *items = must(mp__arena_array(arena, 2 * dict->count, sizeof(*items)));
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		items[2 * i] = t_shuffled_value(state, arena, &dict->as.items[2 * i]);
		items[2 * i + 1] = mp_str("hidden");
	}
	mp_obj *pairs = items + dict->count;
	for (size_t i = 0; i < n; i++) {
		const mp_obj *key = &dict->as.items[2 * i];
		/* Of equal keys the last must stay the last: take only those that count. */
		if (mp_obj_get(dict, *key) != key + 1)
			continue;
		size_t at = t_random(state) % (kept + 1);
		memmove(pairs + 2 * at + 2, pairs + 2 * at, 2 * (kept - at) * sizeof(*pairs));
		pairs[2 * at] = t_shuffled_value(state, arena, key);
		pairs[2 * at + 1] = t_shuffled_value(state, arena, key + 1);
		kept++;
	}
	return mp_dict_of(items, dict->count + 2 * kept);
}

mp_obj t_shuffled_value(uint64_t *state, struct mp__arena *arena, const mp_obj *value)
{
	if (value->type == MP_TYPE_DICT)
		return shuffled_dict(state, arena, value);
	if (value->type != MP_TYPE_LIST)
		return *value;
	mp_obj *items = must(mp__arena_array(arena, value->count, sizeof(*items)));
	for (size_t i = 0; i < value->count; i++)
		items[i] = t_shuffled_value(state, arena, &value->as.items[i]);
	return mp_list_of(items, value->count);
}

mp_obj t_rich_value(void)
{
	static mp_obj inner[3];
	static mp_obj pairs[8];
	static mp_obj items[9];

	inner[0] = mp_list_of(NULL, 0);
	inner[1] = mp_dict_of(NULL, 0);
	inner[2] = mp_str("");
	pairs[0] = mp_str("total");
	pairs[1] = mp_i64(1632);
	pairs[2] = mp_i64(7);
	pairs[3] = mp_list_of(inner, 3);
	pairs[4] = mp_nil();
	pairs[5] = mp_bytes(NULL, 0);
	pairs[6] = mp_list_of(inner, 1);
	pairs[7] = mp_f64(-0.0);
	items[0] = mp_nil();
	items[1] = mp_bool(true);
	items[2] = mp_i64(INT64_MIN);
	items[3] = mp_u64(UINT64_MAX);
	items[4] = mp_f64(0.1);
	items[5] = mp_str("Gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
	items[6] = mp_bytes("\0\xff", 2);
	items[7] = mp_dict_of(pairs, 8);
	items[8] = mp_list_of(inner, 3);
	return mp_list_of(items, 9);
}
