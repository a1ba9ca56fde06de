/* SPDX-License-Identifier: MIT */
/* A dict as it is sent between processes: to bytes and back. */
#include <config.h>

#include "bench/bench.h"

#include <jansson.h>
#include <mp.h>
#include <stdlib.h>
#include <string.h>

#define N_HOURS 24

/* --- libmp ------------------------------------------------------------------------------------ */

static mp_obj hours[N_HOURS];

static int obj_roundtrip(void *arg)
{
	mp_obj day = MP_DICT(mp_str("name"), mp_str("20150517.log"), mp_str("total"), mp_i64(1632),
		mp_str("ip"), mp_i64(341), mp_str("bytes"), mp_i64(105943720131), mp_str("ok"),
		mp_bool(true), mp_str("mean"), mp_f64(0.25), mp_str("hours"),
		mp_list_of(hours, N_HOURS));
	void *data;
	size_t size;
	mp_obj copy;

	(void)arg;
	int r = mp_obj_encode(day, &data, &size);
	if (r < 0)
		return bench_fail_mp("mp_obj_encode", r);
	r = mp_obj_decode(data, size, &copy);
	free(data);
	if (r < 0)
		return bench_fail_mp("mp_obj_decode", r);
	r = mp_obj_len(&copy) == 7 ? 0 : bench_fail("another dict came back");
	mp_obj_free(&copy);
	return r;
}

static int setup_obj(struct bench *b)
{
	(void)b;
	for (int i = 0; i < N_HOURS; i++)
		hours[i] = mp_i64(i);
	return 0;
}

static int run_obj(struct bench *b, double *ret_value)
{
	(void)b;
	return bench_rate(obj_roundtrip, NULL, 1, ret_value);
}

/* --- floor: the bytes, copied there and back ---------------------------------------------------- */

/* What the dict takes encoded, as an mp.Value. */
#define ENCODED_SIZE 208

static int copy_twice(void *arg)
{
	char(*memory)[ENCODED_SIZE] = arg;

	memcpy(memory[1], memory[0], ENCODED_SIZE);
	__asm__ volatile("" : : "r"(memory) : "memory"); /* or the compiler drops the copies */
	memcpy(memory[2], memory[1], ENCODED_SIZE);
	__asm__ volatile("" : : "r"(memory) : "memory");
	return 0;
}

static int run_floor(struct bench *b, double *ret_value)
{
	char memory[3][ENCODED_SIZE] = {{1}};

	(void)b;
	return bench_rate(copy_twice, memory, 1, ret_value);
}

/* --- jansson ----------------------------------------------------------------------------------- */

static int json_roundtrip(void *arg)
{
	json_t *day = arg;
	char *text = json_dumps(day, JSON_COMPACT);
	json_t *copy = text ? json_loads(text, 0, NULL) : NULL;
	int r = copy && json_object_size(copy) == json_object_size(day)
			? 0
			: bench_fail("another dict came back");

	json_decref(copy);
	free(text);
	return r;
}

static int setup_json(struct bench *b)
{
	json_t *list = json_array();

	for (int i = 0; i < N_HOURS; i++)
		json_array_append_new(list, json_integer(i));
	b->state = json_pack("{s:s, s:i, s:i, s:I, s:b, s:f, s:o}", "name", "20150517.log", "total",
		1632, "ip", 341, "bytes", (json_int_t)105943720131, "ok", 1, "mean", 0.25, "hours",
		list);
	bench_set_version("%s", JANSSON_VERSION);
	return b->state ? 0 : bench_fail("out of memory");
}

static int run_json(struct bench *b, double *ret_value)
{
	return bench_rate(json_roundtrip, b->state, 1, ret_value);
}

static void teardown_json(struct bench *b)
{
	json_decref(b->state);
}

const struct bench bench_obj[] = {
	{"obj_roundtrip", "libmp", setup_obj, run_obj, NULL, 0, NULL},
	{"obj_roundtrip", "floor", NULL, run_floor, NULL, 0, NULL},
	{"obj_roundtrip", "jansson", setup_json, run_json, teardown_json, 0, NULL},
	{NULL, NULL, NULL, NULL, NULL, 0, NULL},
};
