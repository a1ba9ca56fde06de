/* SPDX-License-Identifier: MIT */
/* Keys of a dict that go by themselves: what others see, and what the store does with its time. */
#include <config.h>

#include "obj/wireformat.h"
#include "serve/expiry.h"
#include "serve/store.h"
#include "tests/support/daemon.h"

#include <mp.h>
#include <string.h>

T_SUITE(dict_expiry);
T_SUITE(store_expiry);

#define LONG_MS 60000
#define SHORT_MS 20
#define I(n) mp_i64(n)
#define S(text) mp_str(text)

static mp_manager *m;
static mp_dict *d;

static void open_dict(void)
{
	m = t_manager();
	d = t_dict(m, "d");
}

static void close_dict(void)
{
	mp_dict_close(d);
	mp_manager_close(m);
}

static void expect_items(mp_obj wanted)
{
	mp_obj items;

	T_OK(mp_dict_items(d, &items));
	t_expect_value(&items, wanted);
}

static int64_t rest_of(mp_obj key)
{
	int64_t ttl = 0;

	T_OK(mp_dict_ttl(d, key, &ttl));
	return ttl;
}

/* Until somebody, or time, has changed the dict. */
static void wait_for_change(int64_t version)
{
	T_OK(mp_dict_watch(d, version, LONG_MS, NULL));
}

static int64_t version_of(mp_dict *dict)
{
	int64_t version;

	T_OK(mp_dict_version(dict, &version));
	return version;
}

/* --- what clients see --------------------------------------------------------------------------- */

Test(dict_expiry, an_expired_key_was_never_there)
{
	mp_obj value;
	mp_obj keys;
	size_t n;

	open_dict();
	T_OK(mp_dict_set(d, S("stays"), I(1)));
	T_OK(mp_dict_set_for(d, S("goes"), I(2), SHORT_MS));
	while (mp_dict_contains(d, S("goes")) == 1)
		;
	T_RESULT(mp_dict_get(d, S("goes"), &value), -ENOENT);
	T_RESULT(mp_dict_pop(d, S("goes"), &value), -ENOENT);
	T_RESULT(mp_dict_ttl(d, S("goes"), &(int64_t){0}), -ENOENT);
	T_RESULT(mp_dict_persist(d, S("goes")), -ENOENT);
	T_RESULT(mp_dict_expire(d, S("goes"), LONG_MS), -ENOENT);
	T_RESULT(mp_dict_compare_and_swap(d, S("goes"), I(2), I(3)), -ENOENT);
	T_OK(mp_dict_len(d, &n));
	cr_assert_eq(n, 1);
	T_OK(mp_dict_keys(d, &keys));
	t_expect_value(&keys, MP_LIST(S("stays")));
	expect_items(MP_DICT(S("stays"), I(1)));
	T_OK(mp_dict_get_many(d, MP_LIST(S("goes"), S("stays")), &value));
	t_expect_value(&value, MP_DICT(S("stays"), I(1)));
	/* It begins anew, at the end of the order. */
	T_RESULT(mp_dict_setdefault(d, S("goes"), I(4), &value), 1);
	t_expect_value(&value, I(4));
	cr_assert_eq(rest_of(S("goes")), MP_FOREVER);
	T_OK(mp_dict_popitem(d, &value));
	t_expect_value(&value, MP_LIST(S("goes"), I(4)));
	close_dict();
}

/* Each of the methods is the first that looks. */
Test(dict_expiry, whoever_looks_first_does_not_see_it)
{
	mp_obj value;
	size_t n;

	open_dict();
	for (int look = 0; look < 6; look++) {
		T_OK(mp_dict_set(d, S("k"), I(7)));
		int64_t version = version_of(d);
		T_OK(mp_dict_expire(d, S("k"), 1));
		/* Another dict takes the time, so that nobody looks at this one. */
		mp_dict *other = t_dict(m, NULL);
		T_OK(mp_dict_set_for(other, I(1), I(1), SHORT_MS));
		while (mp_dict_contains(other, I(1)) == 1)
			;
		T_OK(mp_dict_close(other));
		switch (look) {
		case 0:
			T_RESULT(mp_dict_get(d, S("k"), &value), -ENOENT);
			break;
		case 1:
			T_OK(mp_dict_len(d, &n));
			cr_assert_eq(n, 0);
			break;
		case 2:
			T_RESULT(mp_dict_popitem(d, &value), -ENOENT);
			break;
		case 3:
			T_OK(mp_dict_add(d, S("k"), I(1), &value));
			cr_assert_eq(mp_obj_i64(&value), 1);
			break;
		case 4:
			T_OK(mp_dict_transact(d, MP_DICT_ANY_VERSION,
				&(mp_dict_step){MP_DICT_ABSENT, S("k"), mp_nil()}, 1));
			break;
		default:
			/* Once by expire(), once by the end. */
			cr_assert_eq(version_of(d), (version + 2) & INT64_MAX);
		}
		T_OK(mp_dict_clear(d));
	}
	close_dict();
}

Test(dict_expiry, who_watches_sees_a_deletion)
{
	mp_obj value;

	open_dict();
	T_OK(mp_dict_set_for(d, S("k"), I(1), SHORT_MS));
	int64_t version = version_of(d);
	if (mp_dict_contains(d, S("k")) == 1)
		wait_for_change(version);
	T_RESULT(mp_dict_get(d, S("k"), &value), -ENOENT);
	close_dict();
}

Test(dict_expiry, each_key_has_its_own_time)
{
	int64_t version;

	open_dict();
	T_OK(mp_dict_set_for(d, S("long"), I(1), LONG_MS));
	T_OK(mp_dict_set_for(d, S("first"), I(2), SHORT_MS));
	T_OK(mp_dict_set_for(d, S("second"), I(3), 4 * SHORT_MS));
	do {
		version = version_of(d);
		if (mp_dict_contains(d, S("second")) == 0)
			break;
		wait_for_change(version);
	} while (true);
	T_RESULT(mp_dict_contains(d, S("first")), 0);
	expect_items(MP_DICT(S("long"), I(1)));
	int64_t rest = rest_of(S("long"));
	cr_assert(rest > 0 && rest <= LONG_MS);
	close_dict();
}

/* As Redis has it: a new value has no end, a changed one keeps it. */
Test(dict_expiry, what_changes_the_time)
{
	mp_obj value;

	open_dict();
	T_OK(mp_dict_set_for(d, S("k"), I(1), LONG_MS));
	T_OK(mp_dict_add(d, S("k"), I(1), NULL));
	cr_assert(rest_of(S("k")) > 0);
	T_RESULT(mp_dict_compare_and_swap(d, S("k"), I(2), I(3)), 1);
	cr_assert(rest_of(S("k")) > 0);
	T_RESULT(mp_dict_setdefault(d, S("k"), I(9), &value), 0);
	t_expect_value(&value, I(3));
	cr_assert(rest_of(S("k")) > 0);
	T_OK(mp_dict_expire(d, S("k"), 1000L * LONG_MS));
	cr_assert(rest_of(S("k")) > LONG_MS);
	T_RESULT(mp_dict_persist(d, S("k")), 1);
	T_RESULT(mp_dict_persist(d, S("k")), 0);
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);

	T_OK(mp_dict_expire(d, S("k"), LONG_MS));
	T_OK(mp_dict_set(d, S("k"), I(4)));
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);
	T_OK(mp_dict_expire(d, S("k"), LONG_MS));
	T_OK(mp_dict_set(d, S("k"), S("one that needs a place of its own")));
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);
	T_OK(mp_dict_expire(d, S("k"), LONG_MS));
	T_OK(mp_dict_update(d, MP_DICT(S("k"), I(5))));
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);

	T_OK(mp_dict_expire(d, S("k"), LONG_MS));
	T_OK(mp_dict_pop(d, S("k"), NULL));
	T_OK(mp_dict_set(d, S("k"), I(6)));
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);
	T_OK(mp_dict_expire(d, S("k"), LONG_MS));
	T_OK(mp_dict_clear(d));
	T_RESULT(mp_dict_setdefault(d, S("k"), I(7), &value), 1);
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);
	close_dict();
}

Test(dict_expiry, what_transactions_do_with_the_time)
{
	const mp_dict_step add[] = {{MP_DICT_ADD, S("k"), I(1)}};
	const mp_dict_step set[] = {{MP_DICT_SET, S("k"), I(1)}, {MP_DICT_ADD, S("k"), I(1)}};
	const mp_dict_step anew[] = {
		{MP_DICT_DELETE, S("k"), mp_nil()}, {MP_DICT_ADD, S("k"), I(1)}};

	open_dict();
	T_OK(mp_dict_set_for(d, S("k"), I(1), LONG_MS));
	T_OK(mp_dict_transact(d, MP_DICT_ANY_VERSION, add, 1));
	cr_assert(rest_of(S("k")) > 0);
	T_OK(mp_dict_transact(d, MP_DICT_ANY_VERSION, set, 2));
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);
	T_OK(mp_dict_expire(d, S("k"), LONG_MS));
	T_OK(mp_dict_transact(d, MP_DICT_ANY_VERSION, anew, 2));
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);
	t_expect_get(d, S("k"), I(1));
	close_dict();
}

Test(dict_expiry, an_object_inside_goes_with_its_key)
{
	mp_proxy *counter;
	mp_obj value;

	open_dict();
	T_OK(mp_manager_counter(m, NULL, 5, &counter));
	T_OK(mp_dict_set_for(d, S("c"), mp_handle(counter), 1000L * LONG_MS));
	T_OK(mp_proxy_close(counter));
	T_OK(mp_dict_get(d, S("c"), &value));
	T_OK(mp_counter_add(mp_obj_proxy(&value), 1, NULL));
	mp_obj_free(&value);
	int64_t version = version_of(d);
	T_OK(mp_dict_expire(d, S("c"), SHORT_MS));
	while (mp_dict_contains(d, S("c")) == 1)
		wait_for_change(version++);
	close_dict();
}

/* A dict that is in itself alone, and goes when its alarm does. */
Test(dict_expiry, a_dict_that_nothing_else_keeps_goes_with_its_key)
{
	mp_dict *other;

	open_dict();
	other = t_dict(m, NULL);
	T_OK(mp_dict_set_for(other, S("me"), mp_handle(other), SHORT_MS));
	T_OK(mp_dict_close(other));
	T_OK(mp_dict_set_for(d, S("k"), I(1), 4 * SHORT_MS));
	while (mp_dict_contains(d, S("k")) == 1)
		;
	T_OK(mp_manager_ping(m));
	close_dict();
}

Test(dict_expiry, many_keys_at_once)
{
	enum { N = 3000 };
	size_t n;

	open_dict();
	for (int i = 0; i < N; i++)
		T_OK(mp_dict_set_for(d, I(i), I(i), i % 3 == 0 ? LONG_MS : SHORT_MS + i % 7));
	int64_t version;
	do {
		version = version_of(d);
		T_OK(mp_dict_len(d, &n));
		if (n > N / 3)
			wait_for_change(version);
	} while (n > N / 3);
	cr_assert_eq(n, N / 3);
	T_RESULT(mp_dict_contains(d, I(3)), 1);
	T_RESULT(mp_dict_contains(d, I(4)), 0);
	close_dict();
}

Test(dict_expiry, mistakes_have_their_errors)
{
	int64_t ttl = 42;

	open_dict();
	T_OK(mp_dict_set(d, S("k"), I(1)));
	T_RESULT(mp_dict_set_for(d, S("k"), I(2), 0), -EINVAL);
	T_RESULT(mp_dict_set_for(d, S("k"), I(2), -1), -EINVAL);
	T_RESULT(mp_dict_set_for(d, S("k"), I(2), INT64_MAX), -EINVAL);
	T_RESULT(mp_dict_set_for(d, MP_LIST(), I(2), 1), -EINVAL);
	T_RESULT(mp_dict_set_for(d, S("k"), mp_fd(0), 1), -ENOTSUP);
	T_RESULT(mp_dict_set_for(NULL, S("k"), I(2), 1), -EINVAL);
	T_RESULT(mp_dict_expire(d, S("k"), 0), -EINVAL);
	T_RESULT(mp_dict_expire(d, mp_nil(), 1), -EINVAL);
	T_RESULT(mp_dict_expire(NULL, S("k"), 1), -EINVAL);
	T_RESULT(mp_dict_expire(d, S("none"), 1), -ENOENT);
	T_RESULT(mp_dict_persist(NULL, S("k")), -EINVAL);
	T_RESULT(mp_dict_persist(d, MP_DICT()), -EINVAL);
	T_RESULT(mp_dict_ttl(d, S("k"), NULL), -EINVAL);
	T_RESULT(mp_dict_ttl(NULL, S("k"), &ttl), -EINVAL);
	T_RESULT(mp_dict_ttl(d, mp_nil(), &ttl), -EINVAL);
	T_RESULT(mp_dict_ttl(d, S("none"), &ttl), -ENOENT);
	cr_assert_eq(ttl, 42);
	expect_items(MP_DICT(S("k"), I(1)));
	cr_assert_eq(rest_of(S("k")), MP_FOREVER);
	close_dict();
}

/* --- named objects ------------------------------------------------------------------------------ */

T_SUITE(object_expiry);

static int64_t rest_of_object(mp_proxy *proxy)
{
	int64_t ttl = 0;

	T_OK(mp_proxy_ttl(proxy, &ttl));
	return ttl;
}

Test(object_expiry, a_name_is_free_afterwards_and_who_has_the_object_keeps_it)
{
	mp_proxy *old;
	mp_proxy *other;
	int64_t n;

	m = t_manager();
	T_OK(mp_manager_counter(m, "n", 5, &old));
	cr_assert_eq(rest_of_object(old), MP_FOREVER);
	T_OK(mp_proxy_expire(old, 1000L * LONG_MS));
	cr_assert(rest_of_object(old) > LONG_MS);
	T_OK(mp_proxy_expire(old, SHORT_MS));
	/* Of another type, and the name is taken until it goes. */
	int r;
	while ((r = mp_manager_lock(m, "n", &other)) == -EEXIST)
		;
	T_OK(r);
	T_OK(mp_counter_add(old, 1, &n));
	cr_assert_eq(n, 6);
	T_RESULT(mp_proxy_ttl(old, &n), -EINVAL);
	T_RESULT(mp_proxy_expire(old, SHORT_MS), -EINVAL);
	T_RESULT(mp_proxy_persist(old), -EINVAL);
	cr_assert_eq(rest_of_object(other), MP_FOREVER);
	mp_proxy_close(old);
	mp_proxy_close(other);
	/* Nobody has it open: it goes with its name, and what is inside with it. */
	T_OK(mp_manager_open(m, "dict", "d", mp_nil(), &old));
	T_OK(mp_proxy_expire(old, SHORT_MS));
	mp_proxy_close(old);
	while ((r = mp_manager_lock(m, "d", &other)) == -EEXIST)
		;
	T_OK(r);
	mp_proxy_close(other);
	mp_manager_close(m);
}

Test(object_expiry, it_stays_after_all)
{
	mp_proxy *list;
	mp_proxy *same;

	m = t_manager();
	T_OK(mp_manager_list(m, "l", &list));
	T_RESULT(mp_proxy_persist(list), 0);
	T_OK(mp_proxy_expire(list, LONG_MS));
	T_RESULT(mp_proxy_persist(list), 1);
	cr_assert_eq(rest_of_object(list), MP_FOREVER);
	/* Each kind of object has it, a dict beside that of its keys. */
	T_OK(mp_manager_open(m, "dict", "d", mp_nil(), &same));
	T_OK(mp_proxy_expire(same, LONG_MS));
	cr_assert(rest_of_object(same) > 0);
	mp_proxy_close(same);
	T_OK(mp_manager_open(m, NULL, "l", mp_nil(), &same));
	T_RESULT(mp_proxy_equal(list, same), 1);
	mp_proxy_close(same);
	mp_proxy_close(list);
	mp_manager_close(m);
}

Test(object_expiry, mistakes_have_their_errors)
{
	mp_proxy *named;
	mp_proxy *nameless;
	int64_t ttl;

	m = t_manager();
	T_OK(mp_manager_counter(m, "n", 0, &named));
	T_OK(mp_manager_counter(m, NULL, 0, &nameless));
	T_RESULT(mp_proxy_expire(named, 0), -EINVAL);
	T_RESULT(mp_proxy_expire(named, INT64_MAX), -EINVAL);
	T_RESULT(mp_proxy_expire(nameless, LONG_MS), -EINVAL);
	T_RESULT(mp_proxy_persist(nameless), -EINVAL);
	T_RESULT(mp_proxy_ttl(nameless, &ttl), -EINVAL);
	T_RESULT(mp_proxy_ttl(named, NULL), -EINVAL);
	T_RESULT(mp_proxy_ttl(NULL, &ttl), -EINVAL);
	T_RESULT(mp_proxy_expire(NULL, 1), -EINVAL);
	T_RESULT(mp_proxy_persist(NULL), -EINVAL);
	mp_proxy_close(named);
	mp_proxy_close(nameless);
	mp_manager_close(m);
}

/* --- the store: the time is what the test says ---------------------------------------------------- */

static struct serve_store *store;

static struct serve_bytes text(const char *bytes)
{
	return (struct serve_bytes){(void *)bytes, strlen(bytes)};
}

static void put(const char *key, int64_t expires_ns)
{
	T_OK(store->class->apply(store,
		&(struct serve_change){
			.key = text(key), .value = text("value"), .expires_ns = expires_ns},
		1));
}

static int64_t end_of(const char *key)
{
	int64_t end = -1;

	return store->class->expires(store, text(key), &end) == 0 ? end : -1;
}

Test(store_expiry, keys_go_in_the_order_of_their_ends)
{
	T_OK(serve_store_memory_new(&store));
	cr_assert(store->class->next_expiry(store) == SERVE_NEVER);
	uint64_t empty = store->class->bytes(store);
	put("stays", 0);
	put("c", 30);
	put("a", 10);
	put("b", 20);
	cr_assert(store->class->next_expiry(store) == 10);
	cr_assert(store->class->expire(store, 9, SIZE_MAX) == 0);
	cr_assert(store->class->expire(store, 25, 1) == 1);
	cr_assert(end_of("a") == -1 && end_of("b") == 20 && end_of("stays") == 0);
	cr_assert(store->class->expire(store, 25, SIZE_MAX) == 1);
	cr_assert(store->class->next_expiry(store) == 30);
	T_OK(store->class->expire_at(store, text("c"), 50));
	T_OK(store->class->expire_at(store, text("stays"), 40));
	cr_assert(store->class->expire_at(store, text("a"), 40) == SERVE_STORE_E_NOT_FOUND);
	cr_assert(store->class->next_expiry(store) == 40);
	put("stays", SERVE_STORE_AS_BEFORE);
	cr_assert(end_of("stays") == 40);
	put("stays", 0);
	cr_assert(store->class->next_expiry(store) == 50);
	cr_assert(store->class->expire(store, 60, SIZE_MAX) == 1);
	cr_assert(store->class->count(store) == 1);
	T_OK(store->class->clear(store));
	cr_assert(store->class->bytes(store) == empty);
	put("a", 70);
	store->class->free(store);
}

/* As popitem does: the bytes of the key are the entry's own, and go with it. */
Test(store_expiry, a_key_can_be_removed_by_its_own_bytes)
{
	struct serve_change change = {.remove = true};
	struct serve_bytes value;

	T_OK(serve_store_memory_new(&store));
	put("stays", 0);
	put("later", 30);
	put("a", 10);
	T_OK(store->class->last(store, &change.key, &value));
	T_OK(store->class->apply(store, &change, 1));
	cr_assert(store->class->next_expiry(store) == 30);
	cr_assert(store->class->expire(store, 20, SIZE_MAX) == 0);
	cr_assert(store->class->expire(store, 30, SIZE_MAX) == 1);
	cr_assert(store->class->count(store) == 1);
	store->class->free(store);
}

/* Equal keys in one batch: the last one counts, whatever those before it have needed. */
Test(store_expiry, a_batch_may_have_a_key_twice)
{
	struct serve_change twice[] = {
		{.key = text("k"), .value = text("1"), .expires_ns = 10},
		{.key = text("k"), .value = text("2"), .expires_ns = 20},
		{.key = text("k"), .value = text("3"), .expires_ns = 0},
	};

	T_OK(serve_store_memory_new(&store));
	for (int i = 0; i < 2; i++) {
		T_OK(store->class->apply(store, twice, 2));
		cr_assert(end_of("k") == 20);
		T_OK(store->class->apply(store, twice, 3));
		cr_assert(end_of("k") == 0);
	}
	cr_assert(store->class->next_expiry(store) == SERVE_NEVER);
	store->class->free(store);
}
