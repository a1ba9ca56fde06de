/* SPDX-License-Identifier: MIT */
/* Lists of fixed length in shared memory. */
#include <config.h>

#include "tests/support/starts.h"
#include "tests/support/support.h"

#include "base/cleanup.h"
#include "shm/block.h"
#include "shm/list_layout.h"

#include <mp.h>
#include <math.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

T_SUITE(shared_list);

static mp_shared_list *make(mp_obj items)
{
	mp_shared_list *list = NULL;

	T_OK(mp_shared_list_new(items, NULL, &list));
	return list;
}

static void expect(mp_shared_list *list, int64_t index, mp_obj wanted)
{
	mp_obj item;

	T_OK(mp_shared_list_get(list, index, &item));
	cr_assert_eq(item.type, wanted.type);
	cr_assert(mp_obj_equal(&item, &wanted), "item %d", (int)index);
	mp_obj_free(&item);
}

Test(shared_list, test_shared_memory_ShareableList_basics)
{
	mp_shared_list *list = make(MP_LIST(mp_str("howdy"), mp_bytes("HoWdY", 5), mp_f64(-273.154),
		mp_i64(100), mp_nil(), mp_bool(true), mp_i64(42)));
	mp_obj item = mp_i64(5);

	cr_assert_eq(mp_shared_list_len(list), 7);
	cr_assert_null(mp_shared_list_name(list));
	expect(list, 0, mp_str("howdy"));
	expect(list, 1, mp_bytes("HoWdY", 5));
	expect(list, 2, mp_f64(-273.154));
	expect(list, 3, mp_i64(100));
	expect(list, 4, mp_nil());
	expect(list, 5, mp_bool(true));
	expect(list, -1, mp_i64(42));
	expect(list, -7, mp_str("howdy"));
	T_RESULT(mp_shared_list_get(list, 7, &item), -ERANGE);
	T_RESULT(mp_shared_list_get(list, -8, &item), -ERANGE);
	T_RESULT(mp_shared_list_set(list, 7, mp_nil()), -ERANGE);
	T_RESULT(mp_shared_list_room(list, INT64_MIN), -ERANGE);
	cr_assert_eq(item.as.i64, 5);

	/* Types change; what is too long changes nothing, and does not spill. */
	T_OK(mp_shared_list_set(list, 3, mp_str("seventy8")));
	T_RESULT(mp_shared_list_set(list, 3, mp_str("seventy89")), -EMSGSIZE);
	T_RESULT(mp_shared_list_set(list, 3, mp_str("1234567\xc3\xa4")), -EMSGSIZE);
	T_RESULT(mp_shared_list_set(list, 3, mp_bytes("123456789", 9)), -EMSGSIZE);
	expect(list, 3, mp_str("seventy8"));
	expect(list, 4, mp_nil());
	T_RESULT(mp_shared_list_room(list, 3), 8);
	T_OK(mp_shared_list_set(list, 0, mp_f64(1.5)));
	expect(list, 0, mp_f64(1.5));

	T_RESULT(mp_shared_list_count(list, mp_i64(42)), 1);
	T_RESULT(mp_shared_list_count(list, mp_i64(43)), 0);
	T_RESULT(mp_shared_list_index(list, mp_i64(42)), 6);
	T_RESULT(mp_shared_list_index(list, mp_i64(43)), -ENOENT);
	mp_shared_list_close(list);
}

Test(shared_list, an_empty_one)
{
	mp_shared_list *list = make(MP_LIST());
	mp_obj item;

	cr_assert_eq(mp_shared_list_len(list), 0);
	T_RESULT(mp_shared_list_get(list, 0, &item), -ERANGE);
	T_RESULT(mp_shared_list_index(list, mp_nil()), -ENOENT);
	mp_shared_list_close(list);
}

Test(shared_list, bytes_come_back_as_they_went)
{
	char large[3001];

	memset(large, 'x', sizeof(large));
	mp_shared_list *list = make(MP_LIST(mp_bytes("a\0b\0\0\0", 6), mp_str(""), mp_bytes("", 0),
		mp_str("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"), mp_strn(large, 3001),
		mp_f64(INFINITY), mp_i64(INT64_MIN), mp_u64(INT64_MAX)));

	expect(list, 0, mp_bytes("a\0b\0\0\0", 6));
	expect(list, 1, mp_str(""));
	expect(list, 2, mp_bytes("", 0));
	expect(list, 3, mp_str("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"));
	expect(list, 4, mp_strn(large, 3001));
	expect(list, 5, mp_f64(INFINITY));
	expect(list, 6, mp_i64(INT64_MIN));
	expect(list, 7, mp_i64(INT64_MAX));
	T_OK(mp_shared_list_set(list, 4, mp_strn(large, 3000)));
	expect(list, 4, mp_strn(large, 3000));
	mp_shared_list_close(list);
}

Test(shared_list, what_cannot_stand_in_one)
{
	mp_shared_list *list = NULL;
	mp_obj item;

	T_RESULT(mp_shared_list_new(mp_i64(1), NULL, &list), -EINVAL);
	T_RESULT(mp_shared_list_new(MP_LIST(MP_LIST()), NULL, &list), -EINVAL);
	T_RESULT(mp_shared_list_new(MP_LIST(mp_u64(UINT64_MAX)), NULL, &list), -ERANGE);
	T_RESULT(mp_shared_list_new(MP_LIST(mp_str("\xff")), NULL, &list), -EILSEQ);
	T_RESULT(mp_shared_list_new(MP_LIST(), MP_BLOCK_OPTIONS(.max_size = 100000), &list),
		-EINVAL);
	T_RESULT(mp_shared_list_new(MP_LIST(), MP_BLOCK_OPTIONS(.flags = 1), &list), -EINVAL);
	T_RESULT(mp_shared_list_new(MP_LIST(), NULL, NULL), -EINVAL);
	struct {
		mp_block_options known;
		uint64_t unknown;
	} newer = {.known = {.size = sizeof(newer)}, .unknown = 1};
	T_RESULT(mp_shared_list_new(MP_LIST(), &newer.known, &list), -E2BIG);
	cr_assert_null(list);
	list = make(MP_LIST(mp_nil()));
	T_RESULT(mp_shared_list_set(list, 0, MP_DICT()), -EINVAL);
	T_RESULT(mp_shared_list_set(list, 0, mp_u64(UINT64_MAX)), -ERANGE);
	T_RESULT(mp_shared_list_set(list, 0, mp_str("\xff")), -EILSEQ);
	T_RESULT(mp_shared_list_get(list, 0, NULL), -EINVAL);
	mp_shared_list_close(list);
	T_RESULT(mp_shared_list_get(NULL, 0, &item), -EINVAL);
	T_RESULT(mp_shared_list_set(NULL, 0, mp_nil()), -EINVAL);
	T_RESULT(mp_shared_list_count(NULL, mp_nil()), -EINVAL);
	T_RESULT(mp_shared_list_index(NULL, mp_nil()), -EINVAL);
	cr_assert_eq(mp_shared_list_len(NULL), 0);
	cr_assert_null(mp_shared_list_name(NULL));
	cr_assert_null(mp_shared_list_ref(NULL));
	mp_shared_list_close(NULL);
}

static int with_limits(void *argument)
{
	struct rlimit files = {.rlim_cur = 1000, .rlim_max = 1000};
	mp_shared_list *list;

	(void)argument;
	while (dup(0) >= 0)
		;
	T_CHECK(mp_shared_list_new(MP_LIST(), NULL, &list) == -EMFILE);
	close(50);
	close(51);
	T_CHECK(setrlimit(RLIMIT_FSIZE, &files) == 0);
	T_CHECK(mp_shared_list_new(MP_LIST(), NULL, &list) == -ENOSPC);
	return 0;
}

Test(shared_list, limits)
{
	struct rlimit before;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, before.rlim_max}), 0);
	struct t_child child = t_spawn(with_limits, NULL);
	t_expect_exit(&child, 0);
}

Test(shared_list, by_name)
{
	mp_shared_list *list;
	mp_shared_list *other;
	mp_block *block;
	char name[64];

	snprintf(name, sizeof(name), "list-%d", getpid());
	T_OK(mp_shared_list_create(name, MP_LIST(mp_i64(1)), NULL, &list));
	cr_assert_str_eq(mp_shared_list_name(list), name);
	T_RESULT(mp_shared_list_create(name, MP_LIST(mp_i64(1)), NULL, &other), -EEXIST);
	T_RESULT(mp_block_open(name, NULL, &block), -EBADMSG);
	T_OK(mp_shared_list_open(name, NULL, &other));
	T_OK(mp_shared_list_set(other, 0, mp_i64(2)));
	expect(list, 0, mp_i64(2));
	mp_shared_list_close(other);
	T_OK(mp_shared_list_open(name, MP_BLOCK_OPTIONS(.readonly = true), &other));
	expect(other, 0, mp_i64(2));
	T_RESULT(mp_shared_list_set(other, 0, mp_i64(3)), -EPERM);
	mp_shared_list_close(other);
	mp_shared_list_close(list);
	T_RESULT(mp_shared_list_open(name, NULL, &list), -ENOENT);
	T_OK(mp_block_create(name, 100, NULL, &block));
	T_RESULT(mp_shared_list_open(name, NULL, &list), -EBADMSG);
	mp_block_close(block);
}

static int change(int argc, const mp_obj *argv)
{
	mp_shared_list *list = mp_obj_shared_list(&argv[0]);

	T_CHECK(argc == 1 && list && mp_shared_list_len(list) == 2);
	T_CHECK(mp_shared_list_set(list, 0, mp_str("child")) == 0);
	T_CHECK(mp_shared_list_ref(list) == list);
	mp_shared_list_close(list);
	return 0;
}

EACH_METHOD_AND_THREAD(shared_list, test_shared_memory_ShareableList_pickling)
{
	mp_shared_list *list = make(MP_LIST(mp_i64(1), mp_i64(2)));

	finish(start(change, MP_ARGS(mp_handle(list)), BY(method)), 0);
	expect(list, 0, mp_str("child"));
	expect(list, 1, mp_i64(2));
	mp_shared_list_close(list);
}

/* --- several at once ----------------------------------------------------------------------------- */

#define ROUNDS 20000
#define LONG_ITEM 200

static int write_rows(void *argument)
{
	char text[LONG_ITEM];

	for (int i = 0; i < ROUNDS; i++) {
		memset(text, 'a' + i % 26, sizeof(text));
		T_CHECK(mp_shared_list_set(argument, 0,
				mp_strn(text, (size_t)(1 + (i * 7) % LONG_ITEM))) == 0);
	}
	return 0;
}

static int read_rows(void *argument)
{
	for (int i = 0; i < ROUNDS; i++) {
		mp_obj item;
		T_CHECK(mp_shared_list_get(argument, 0, &item) == 0);
		for (size_t c = 0; c < item.count; c++)
			T_CHECK(item.as.str[c] == item.as.str[0]);
		T_CHECK(item.count >= 1 && item.as.str[0] >= 'a');
		mp_obj_free(&item);
	}
	return 0;
}

Test(shared_list, items_are_never_torn)
{
	struct t_child children[4];
	char text[LONG_ITEM];

	memset(text, 'a', sizeof(text));
	mp_shared_list *list = make(MP_LIST(mp_strn(text, sizeof(text))));
	for (int i = 0; i < 4; i++)
		children[i] = t_spawn(i < 2 ? write_rows : read_rows, list);
	for (int i = 0; i < 4; i++)
		t_expect_exit(&children[i], 0);
	mp_shared_list_close(list);
}

static int write_one(void *argument)
{
	T_CHECK(mp_shared_list_set(argument, 0, mp_str("new")) == 0);
	return 0;
}

Test(shared_list, a_killed_writer_has_done_all_or_nothing)
{
	const char *points[] = {"list.written", "list.changed"};

	for (int i = 0; i < 2; i++) {
		mp_shared_list *list = make(MP_LIST(mp_str("old"), mp_nil()));
		t_arm(points[i], "kill");
		struct t_child child = t_spawn(write_one, list);
		t_expect_signal(&child, SIGKILL);
		cr_assert(t_fired());
		t_disarm();
		expect(list, 0, mp_str(i == 0 ? "old" : "new"));
		T_OK(mp_shared_list_set(list, 1, mp_str("next")));
		T_OK(mp_shared_list_set(list, 0, mp_str("last")));
		expect(list, 0, mp_str("last"));
		expect(list, 1, mp_str("next"));
		mp_shared_list_close(list);
	}
}

Test(shared_list, a_stopped_writer_stops_no_reader)
{
	mp_shared_list *list = make(MP_LIST(mp_str("old"), mp_nil()));

	t_arm("list.written", "stop");
	struct t_child child = t_spawn(write_one, list);
	while (!t_fired())
		sched_yield();
	t_disarm();
	siginfo_t info;
	cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED | WNOWAIT), 0);
	expect(list, 0, mp_str("old"));
	mp__guard_patience_ns = INT64_C(2000000000);
	T_RESULT(mp_shared_list_set(list, 1, mp_i64(1)), -ETIMEDOUT);
	t_kill(&child, SIGKILL);
	T_OK(mp_shared_list_set(list, 1, mp_i64(1)));
	mp_shared_list_close(list);
}

/* As if a signal handler had interrupted this thread in a write. */
Test(shared_list, a_write_inside_a_write)
{
	mp_shared_list *list = make(MP_LIST(mp_i64(1)));
	struct mp__list_header *h = mp_block_data((mp_block *)list);

	h->guard = mp__stamp_self();
	T_RESULT(mp_shared_list_set(list, 0, mp_i64(2)), -EDEADLK);
	expect(list, 0, mp_i64(1));
	h->guard = 0;
	T_OK(mp_shared_list_set(list, 0, mp_i64(2)));
	mp_shared_list_close(list);
}

Test(shared_list, damage_is_an_error)
{
	mp_shared_list *list = make(MP_LIST(mp_str("abc"), mp_i64(1)));
	struct mp__list_header *h = mp_block_data((mp_block *)list);
	uint64_t *cell = (uint64_t *)((char *)h + h->slots[0].at);
	struct mp__list_slot slot;
	mp_obj item;

	memcpy(&slot, (void *)&h->slots[0], sizeof(slot));
	h->slots[0].at = 4;
	T_RESULT(mp_shared_list_get(list, 0, &item), -EBADMSG);
	h->slots[0].at = UINT64_MAX - 7;
	T_RESULT(mp_shared_list_set(list, 0, mp_nil()), -EBADMSG);
	h->slots[0].at = slot.at;
	h->slots[0].room = 0xfffffff8;
	T_RESULT(mp_shared_list_room(list, 0), -EBADMSG);
	h->slots[0].room = slot.room;
	cell[0] = MP_TYPE_STR | 9 << 8;
	T_RESULT(mp_shared_list_get(list, 0, &item), -EBADMSG);
	cell[0] = MP_TYPE_DICT | 8 << 8;
	T_RESULT(mp_shared_list_get(list, 0, &item), -EBADMSG);
	cell[0] = MP_TYPE_STR | 3 << 8;
	cell[1] = 0xff;
	T_RESULT(mp_shared_list_count(list, mp_nil()), -EBADMSG);
	h->n = UINT64_MAX;
	cr_assert_eq(mp_shared_list_len(list), 0);
	T_RESULT(mp_shared_list_get(list, 0, &item), -ERANGE);
	mp_shared_list_close(list);
}
