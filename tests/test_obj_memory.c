/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of the module fails once: nothing leaks, nothing changes, the error is -ENOMEM,
 * and what needs memory only to be fast gives the same answer without. The linker puts __wrap_malloc
 * in place of malloc in all of libmp that is linked here (--wrap).
 */
#include <config.h>

#include "tests/support/support.h"
#include "tests/support/values.h"

#include "obj/arena.h"
#include "obj/codec.h"

#include <mp.h>
#include <stdalign.h>

T_SUITE(obj_memory);

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

/* Allocations until one fails; below 0 none does. */
static int left = -1;
static int outstanding;

void *__wrap_malloc(size_t size)
{
	if (left == 0)
		return NULL;
	if (left > 0)
		left--;
	outstanding++;
	return __real_malloc(size);
}

void __wrap_free(void *p)
{
	outstanding -= p != NULL;
	__real_free(p);
}

/* Too large for the arenas on the stack. */
#define ITEMS 2000

static mp_obj large_value(mp_obj items[ITEMS], const char *text)
{
	for (size_t i = 0; i < ITEMS; i++)
		items[i] = i % 2 ? mp_str(text) : mp_u64(i);
	return mp_dict_of(items, ITEMS);
}

/* Run `call` with its first, second, ... allocation failing, until it makes no more of them. */
#define EACH_FAILS(call, release)                                                   \
	do {                                                                        \
		int r = -ENOMEM;                                                    \
		int n = 0;                                                          \
		for (; r == -ENOMEM; n++) {                                         \
			int before = outstanding;                                   \
			left = n;                                                   \
			r = (call);                                                 \
			left = -1;                                                  \
			if (r == 0)                                                 \
				release;                                            \
			cr_assert(outstanding == before, "allocation %d leaks", n); \
		}                                                                   \
		T_OK(r);                                                            \
		cr_assert_gt(n, 1, #call " allocates nothing");                     \
	} while (0)

Test(obj_memory, copy_survives_each_failure)
{
	mp_obj items[ITEMS];
	mp_obj value = large_value(items, "text");
	mp_obj copy = mp_i64(1);

	EACH_FAILS(mp_obj_copy(value, &copy), mp_obj_free(&copy));
}

Test(obj_memory, copy_of_descriptors_survives_each_failure)
{
	mp_obj copy;

	EACH_FAILS(mp_obj_copy(MP_LIST(mp_fd(0), mp_fd(1)), &copy), mp_obj_free(&copy));
}

Test(obj_memory, encode_and_decode_survive_each_failure)
{
	mp_obj items[ITEMS];
	mp_obj value = large_value(items, "text");
	void *data = NULL;
	size_t size = 0;
	mp_obj back;

	EACH_FAILS(mp_obj_encode(value, &data, &size), free(data));
	T_OK(mp_obj_encode(value, &data, &size));
	EACH_FAILS(mp_obj_decode(data, size, &back), mp_obj_free(&back));
	free(data);
	/* A string that does not fit into the arena on the stack, in a list. */
	static char text[5000];
	memset(text, 'x', sizeof(text) - 1);
	EACH_FAILS(mp_obj_encode(MP_LIST(mp_str(text)), &data, &size), free(data));
}

Test(obj_memory, decode_with_descriptors_survives_each_failure)
{
	static const uint8_t two[] = {0x42, 0x10, 0x0a, 0x06, 0x52, 0x04, 0x08, 0x01, 0x18, 0x01,
		0x0a, 0x06, 0x52, 0x04, 0x08, 0x01, 0x18, 0x01};
	int fds[] = {mp__fd_dup(0), mp__fd_dup(0)};
	struct mp__cargo cargo = {.fds = fds, .n_fds = 2};
	mp_obj value;

	left = 0;
	int r = mp__obj_decode(two, sizeof(two), &cargo, &value);
	left = -1;
	T_RESULT(r, -ENOMEM);
	cr_assert(cargo.fds[0] >= 0 && cargo.fds[1] >= 0, "the caller still has them");
	T_OK(mp__obj_decode(two, sizeof(two), &cargo, &value));
	mp_obj_free(&value);
}

Test(obj_memory, small_values_are_encoded_and_decoded_without_malloc)
{
	mp_obj values[] = {mp_nil(), mp_bool(true), mp_i64(-5), mp_u64(5), mp_f64(0.5),
		mp_str("a short string"), MP_LIST(mp_i64(1), mp_i64(2), mp_str("three"))};
	uint8_t buffer[128];

	left = 0;
	for (size_t i = 0; i < 7; i++) {
		mp_obj back;
		ssize_t size = mp__obj_encode_into(&values[i], NULL, buffer, sizeof(buffer));
		int r = i < 5 ? mp_obj_decode(buffer, (size_t)size, &back) : 0;
		if (size < 0 || r < 0) {
			left = -1;
			cr_assert(false, "value %zu needs memory", i);
		}
	}
	left = -1;
}

Test(obj_memory, equality_without_memory_is_the_same)
{
	mp_obj a_items[ITEMS];
	mp_obj b_items[ITEMS];
	mp_obj a = large_value(a_items, "text");
	mp_obj b = large_value(b_items, "text");

	for (size_t i = 0; i < ITEMS; i += 2)
		b_items[i] = mp_u64(ITEMS - 2 - i);
	for (int n = 0; n < 8; n++) {
		left = n;
		bool equal = mp_obj_equal(&a, &b);
		b_items[1] = mp_nil();
		bool differ = !mp_obj_equal(&a, &b);
		b_items[1] = mp_str("text");
		left = -1;
		cr_assert(equal && differ, "with %d allocations", n);
	}
	cr_assert_eq(outstanding, 0);
}

Test(obj_memory, an_arena_gives_what_the_budget_allows)
{
	alignas(max_align_t) char block[256];
	struct mp__arena arena;

	mp__arena_init(&arena, block, sizeof(block));
	mp__arena_reset(&arena, 0);
	cr_assert(mp__arena_alloc(&arena, 1) == block);
	cr_assert(mp__arena_alloc(&arena, 16) == block + 16);
	cr_assert_null(mp__arena_alloc(&arena, 256));
	mp__arena_reset(&arena, 64 << 10);
	char *large = mp__arena_alloc(&arena, 40 << 10);
	cr_assert_not_null(large);
	memset(large, 1, 40 << 10);
	cr_assert(mp__arena_alloc(&arena, 200) == block);
	for (int i = 0; i < 10; i++)
		cr_assert_not_null(mp__arena_alloc(&arena, 1000));
	cr_assert_null(mp__arena_alloc(&arena, 40 << 10));
	cr_assert_null(mp__arena_alloc(&arena, SIZE_MAX));
	mp__arena_release(&arena);
}
