/* SPDX-License-Identifier: MIT */
/* apply, map and its kin, imap, progress. */
#include <config.h>

#include "tests/support/pool.h"

#include "base/fds.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

T_SUITE(pool_map);

static int add(int argc, const mp_obj *argv, mp_obj *ret)
{
	int64_t sum = 0;

	for (int i = 0; i < argc; i++)
		sum += mp_obj_i64(&argv[i]);
	*ret = mp_i64(sum);
	return 0;
}

static int kill_at_13(int argc, const mp_obj *argv, mp_obj *ret)
{
	if (mp_obj_i64(&argv[0]) % 13 == 12)
		raise(SIGKILL);
	return t_square(argc, argv, ret);
}

static void fill(mp_obj *items, int n)
{
	for (int i = 0; i < n; i++)
		items[i] = mp_i64(i);
}

static void expect_squares(const mp_obj *results, int n)
{
	for (int i = 0; i < n; i++)
		cr_assert_eq(mp_obj_i64(&results[i]), (int64_t)i * i);
}

/* --- apply -------------------------------------------------------------------------------------- */

Test(pool_map, test_apply)
{
	mp_pool *pool = t_pool(1);
	mp_obj result = mp_i64(77);
	int ends[2];

	T_OK(mp_pool_apply(pool, t_square, MP_ARGS(mp_i64(5)), T_TIMEOUT_MS, &result));
	cr_assert_eq(mp_obj_i64(&result), 25);
	T_OK(mp_pool_apply(pool, t_square, MP_ARGS(mp_i64(5)), T_TIMEOUT_MS, NULL));
	T_RESULT(mp_pool_apply(pool, t_fail_at_13, MP_ARGS(mp_i64(12)), T_TIMEOUT_MS, &result),
		-EDOM);
	cr_assert_str_eq(mp_error_detail(), "item 12 is bad");
	cr_assert_eq(mp_obj_i64(&result), 25);
	T_RESULT(mp_pool_apply(NULL, t_square, mp_nil(), 0, &result), -EINVAL);
	T_RESULT(mp_pool_apply(pool, t_square, mp_i64(1), 0, &result), -EINVAL);
	T_OK(pipe2(ends, O_CLOEXEC));
	mp_future *f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	T_RESULT(mp_pool_apply(pool, t_square, MP_ARGS(mp_i64(5)), 10, &result), -ETIMEDOUT);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	t_expect_i64(f, 'x');
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

/* --- map ---------------------------------------------------------------------------------------- */

Test(pool_map, test_starmap)
{
	mp_pool *pool = t_pool(2);
	mp_obj results[50];
	mp_obj items[50];
	mp_obj pairs[50][2];

	for (int i = 0; i < 50; i++) {
		pairs[i][0] = mp_i64(i);
		pairs[i][1] = mp_i64(1000);
		items[i] = mp_list_of(pairs[i], 2);
	}
	for (size_t chunk = 0; chunk < 30; chunk += 7) {
		T_OK(mp_pool_starmap(pool, add, items, 50, chunk, results));
		for (int i = 0; i < 50; i++)
			cr_assert_eq(mp_obj_i64(&results[i]), 1000 + i);
	}
	items[7] = mp_i64(3);
	T_RESULT(mp_pool_starmap(pool, add, items, 50, 1, results), -EINVAL);
	t_pool_end(pool);
}

Test(pool_map, test_map_chunksize_misuse)
{
	mp_pool *pool = t_pool(1);
	mp_obj item = mp_i64(3);
	mp_obj result;
	mp_future *f;
	mp_imap *imap;
	struct {
		mp_map_options options;
		int future_field;
	} newer = {.options = {.size = sizeof(newer)}, .future_field = 1};

	T_RESULT(mp_pool_map(pool, t_square, &item, 1, (size_t)-1, &result), -EINVAL);
	T_RESULT(mp_pool_map_with(pool, t_square, &item, 1, MP_MAP_OPTIONS(.flags = 1), &result),
		-EINVAL);
	T_RESULT(mp_pool_map_with(pool, t_square, &item, 1, &newer.options, &result), -E2BIG);
	T_RESULT(mp_pool_map_async(pool, t_square, &item, 1, NULL, NULL), -EINVAL);
	T_RESULT(mp_pool_map_async(pool, t_square, &item, 1, MP_MAP_OPTIONS(.timeout_ms = 1), &f),
		-EINVAL);
	T_RESULT(mp_pool_map_async(pool, NULL, &item, 1, NULL, &f), -EINVAL);
	T_RESULT(mp_pool_imap(pool, t_square, NULL, NULL, NULL, &imap), -EINVAL);
	T_RESULT(mp_imap_next(NULL, 0, &result), -EINVAL);
	T_OK(mp_imap_close(NULL));
	t_pool_end(pool);
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool));
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	T_RESULT(mp_pool_map(pool, t_square, &item, 1, 0, &result), -EPIPE);
	T_RESULT(mp_pool_map_async(pool, t_square, &item, 1, NULL, &f), -EPIPE);
	T_OK(mp_pool_close(pool));
}

Test(pool_map, map_with_a_deadline_cancels_what_has_not_begun)
{
	mp_pool *pool = t_pool(1);
	int ends[2];
	mp_obj items[10];
	mp_obj results[10];

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 10; i++)
		items[i] = mp_fd(ends[0]);
	T_RESULT(mp_pool_map_with(
			 pool, t_read_byte, items, 10, MP_MAP_OPTIONS(.timeout_ms = 20), results),
		-ETIMEDOUT);
	/* One at most has begun. */
	cr_assert_eq(write(ends[1], "xy", 2), 2);
	mp_future *f = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	mp_obj result;
	T_OK(mp_future_result(f, T_TIMEOUT_MS, &result));
	mp_future_close(f);
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
}

Test(pool_map, test_map_async)
{
	mp_pool *pool = t_pool(2);
	mp_obj items[300];
	mp_obj list;
	mp_future *f;

	fill(items, 300);
	for (size_t chunk = 0; chunk < 150; chunk += 49) {
		T_OK(mp_pool_map_async(
			pool, t_square, items, 300, MP_MAP_OPTIONS(.chunk = chunk), &f));
		cr_assert(mp_future_cancelled(f) == 0);
		for (int twice = 0; twice < 2; twice++) {
			T_OK(mp_future_result(f, T_TIMEOUT_MS, &list));
			T_RESULT(mp_obj_len(&list), 300);
			expect_squares(list.as.items, 300);
			mp_obj_free(&list);
		}
		T_RESULT(mp_future_state(f), MP_FUTURE_DONE);
		T_RESULT(mp_future_cancel(f, 0), -EALREADY);
		mp_future_close(f);
	}
	T_OK(mp_pool_map_async(pool, t_square, NULL, 0, NULL, &f));
	T_OK(mp_future_result(f, MP_NOWAIT, &list));
	T_RESULT(mp_obj_len(&list), 0);
	mp_obj_free(&list);
	mp_future_close(f);
	t_pool_end(pool);
}

static int called;

static void count_call(mp_future *future, void *data)
{
	called++;
	cr_assert_eq(mp_future_state(future), (int)(intptr_t)data);
}

Test(pool_map, test_map_async_callbacks)
{
	mp_pool *pool = t_pool(2);
	mp_obj items[100];
	mp_failure failure;
	mp_crash crash;
	mp_future *f;

	fill(items, 100);
	T_OK(mp_pool_map_async(pool, t_fail_at_13, items, 100, MP_MAP_OPTIONS(.chunk = 5), &f));
	T_OK(mp_future_add_done_callback(f, count_call, (void *)MP_FUTURE_FAILED));
	t_expect_error(f, -EDOM, MP_FUTURE_FAILED, "item 12");
	T_OK(mp_pool_map_async(pool, t_square, items, 100, NULL, &f));
	T_OK(mp_future_add_done_callback(f, count_call, (void *)MP_FUTURE_DONE));
	mp_future_close(f); /* nobody asks; the callback comes all the same */
	T_OK(mp_pool_map_async(pool, kill_at_13, items, 50, MP_MAP_OPTIONS(.chunk = 50), &f));
	T_RESULT(mp_future_error(f, T_TIMEOUT_MS, &failure), 1);
	cr_assert_eq(failure.code, -EOWNERDEAD);
	T_OK(mp_future_crash(f, 0, &crash));
	cr_assert_eq(crash.signal, SIGKILL);
	mp_future_close(f);
	for (int i = 0; i < 20; i++) {
		T_OK(mp_pool_map_async(pool, t_square, items, 100, NULL, &f));
		mp_future_close(f);
	}
	T_OK(mp_pool_join(pool, T_TIMEOUT_MS));
	cr_assert_eq(called, 2);
	T_OK(mp_pool_close(pool));
}

Test(pool_map, map_async_can_be_cancelled)
{
	mp_pool *pool = t_pool(1);
	int ends[2];
	mp_obj items[10];
	mp_future *f;

	T_OK(pipe2(ends, O_CLOEXEC));
	for (int i = 0; i < 10; i++)
		items[i] = mp_fd(ends[0]);
	mp_future *first = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	while (mp_future_running(first) != 1)
		sched_yield();
	T_OK(mp_pool_map_async(pool, t_read_byte, items, 10, NULL, &f));
	T_RESULT(mp_future_cancel(f, 0), 1);
	t_expect_error(f, -ECANCELED, MP_FUTURE_CANCELLED, "before it had begun");
	T_OK(mp_pool_map_async(pool, t_read_byte, items, 10, NULL, &f));
	cr_assert_eq(write(ends[1], "x", 1), 1);
	t_expect_i64(first, 'x');
	while (mp_future_running(f) != 1)
		sched_yield();
	T_OK(mp_pool_close(pool));
	t_expect_error(f, -ECANCELED, MP_FUTURE_CANCELLED, "closed");
	close(ends[0]);
	close(ends[1]);
}

/* --- imap --------------------------------------------------------------------------------------- */

struct numbers {
	int64_t next;
	int64_t end;
	int error; /* in place of an end */
};

static int pull(void *data, mp_obj *ret_item)
{
	struct numbers *n = data;

	if (n->next == n->end)
		return n->error ? mp_error_set(n->error, "no more paper") : 0;
	*ret_item = mp_i64(n->next++);
	return 1;
}

Test(pool_map, test_imap)
{
	mp_pool *pool = t_pool(2);
	mp_obj result;

	for (size_t chunk = 0; chunk < 50; chunk += 16) {
		struct numbers n = {.end = 1000};
		mp_imap *imap;
		T_OK(mp_pool_imap(
			pool, t_square, pull, &n, MP_IMAP_OPTIONS(.chunk = chunk), &imap));
		for (int i = 0; i < 1000; i++) {
			T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 1);
			cr_assert_eq(mp_obj_i64(&result), (int64_t)i * i);
			mp_obj_free(&result);
			/* Pulled as results are consumed: the window is all that is ahead. */
			size_t ahead = (size_t)(n.next - i - 1);
			cr_assert(ahead <= 4 * (chunk ? chunk : 1), "%zu ahead", ahead);
		}
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 0);
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 0);
		T_OK(mp_imap_close(imap));
	}
	t_pool_end(pool);
}

Test(pool_map, test_imap_unordered)
{
	mp_pool *pool = t_pool(3);
	struct numbers n = {.end = 1000};
	bool seen[1000] = {false};
	mp_obj result;
	mp_imap *imap;

	T_OK(mp_pool_imap(pool, t_square, pull, &n,
		MP_IMAP_OPTIONS(.unordered = true, .chunk = 3, .window = 5), &imap));
	for (int i = 0; i < 1000; i++) {
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 1);
		int64_t root = 0;
		while (root * root < mp_obj_i64(&result))
			root++;
		cr_assert(root < 1000 && !seen[root]);
		seen[root] = true;
	}
	T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 0);
	T_OK(mp_imap_close(imap));
	t_pool_end(pool);
}

struct source {
	mp_obj *items;
	int at;
};

static int next_fd(void *data, mp_obj *ret_item)
{
	struct source *s = data;

	if (s->at == 2)
		return 0;
	*ret_item = s->items[s->at++];
	return 1;
}

Test(pool_map, imap_unordered_gives_first_what_is_ready_first)
{
	mp_pool *pool = t_pool(2);
	int ends[2][2];
	mp_obj result;
	mp_imap *imap;

	for (int i = 0; i < 2; i++)
		T_OK(pipe2(ends[i], O_CLOEXEC));
	mp_obj fds[] = {mp_fd(ends[0][0]), mp_fd(ends[1][0])};
	struct source source = {fds, 0};
	T_OK(mp_pool_imap(
		pool, t_read_byte, next_fd, &source, MP_IMAP_OPTIONS(.unordered = true), &imap));
	T_RESULT(mp_imap_next(imap, 10, &result), -ETIMEDOUT);
	for (int i = 1; i >= 0; i--) {
		cr_assert_eq(write(ends[i][1], &"ab"[i], 1), 1);
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 1);
		cr_assert_eq(mp_obj_i64(&result), 'a' + i);
	}
	T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 0);
	T_OK(mp_imap_close(imap));
	t_pool_end(pool);
	for (int i = 0; i < 2; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
}

Test(pool_map, test_imap_handle_iterable_exception)
{
	mp_pool *pool = t_pool(2);
	mp_obj result;

	for (int unordered = 0; unordered < 2; unordered++) {
		struct numbers n = {.end = 7, .error = -EIO};
		mp_imap *imap;
		T_OK(mp_pool_imap(pool, t_square, pull, &n,
			MP_IMAP_OPTIONS(.chunk = 2, .unordered = unordered), &imap));
		for (int i = 0; i < 7; i++)
			T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 1);
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), -EIO);
		cr_assert_str_eq(mp_error_detail(), "no more paper");
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 0);
		T_OK(mp_imap_close(imap));
	}
	t_pool_end(pool);
}

Test(pool_map, failed_item_of_imap_costs_itself_alone)
{
	mp_pool *pool = t_pool(2);
	mp_obj result;

	for (size_t chunk = 1; chunk < 30; chunk += 9) {
		struct numbers n = {.end = 100};
		mp_imap *imap;
		T_OK(mp_pool_imap(
			pool, t_fail_at_13, pull, &n, MP_IMAP_OPTIONS(.chunk = chunk), &imap));
		for (int i = 0; i < 100; i++) {
			int r = mp_imap_next(imap, T_TIMEOUT_MS, &result);
			cr_assert_eq(r, i % 13 == 12 ? -EDOM : 1);
			if (r == 1)
				cr_assert_eq(mp_obj_i64(&result), (int64_t)i * i);
			else
				cr_assert(strstr(mp_error_detail(), "is bad"));
		}
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 0);
		T_OK(mp_imap_close(imap));
	}
	t_pool_end(pool);
}

Test(pool_map, crash_in_imap_is_the_error_of_its_item)
{
	mp_pool *pool = t_pool(2);
	struct numbers n = {.end = 40};
	mp_obj result;
	mp_imap *imap;

	T_OK(mp_pool_imap(pool, kill_at_13, pull, &n, NULL, &imap));
	for (int i = 0; i < 40; i++)
		T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), i % 13 == 12 ? -EOWNERDEAD : 1);
	T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 0);
	T_OK(mp_imap_close(imap));
	t_pool_end(pool);
}

Test(pool_map, imap_may_be_given_up)
{
	mp_pool *pool = t_pool(2);
	mp_obj result;

	for (int i = 0; i < 5; i++) {
		struct numbers n = {.end = -1}; /* without end */
		mp_imap *imap;
		T_OK(mp_pool_imap(pool, t_square, pull, &n,
			MP_IMAP_OPTIONS(.unordered = i % 2, .chunk = 4), &imap));
		for (int k = 0; k < i; k++)
			T_RESULT(mp_imap_next(imap, T_TIMEOUT_MS, &result), 1);
		T_OK(mp_imap_close(imap));
	}
	t_pool_end(pool);
}

/* --- progress ------------------------------------------------------------------------------------ */

struct seen {
	int n;
	mp_progress last;
};

static void see(const mp_progress *progress, void *data)
{
	struct seen *s = data;

	cr_assert(progress->done >= s->last.done && progress->elapsed >= s->last.elapsed);
	s->last = *progress;
	s->n++;
}

Test(pool_map, progress_is_told)
{
	mp_pool *pool = t_pool(2);
	struct seen seen = {0};
	struct numbers n = {.end = 500};
	mp_obj items[2000];
	mp_obj results[2000];
	mp_imap *imap;

	fill(items, 2000);
	T_OK(mp_pool_map_with(pool, t_square, items, 2000,
		MP_MAP_OPTIONS(.chunk = 1, .progress = see, .progress_data = &seen,
			.progress_ms = 1),
		results));
	expect_squares(results, 2000);
	cr_assert(seen.n >= 1 && seen.last.done == 2000 && seen.last.total == 2000);
	cr_assert(seen.last.rate > 0 && seen.last.eta >= 0 && seen.last.eta < 1e-6);
	seen = (struct seen){0};
	T_OK(mp_pool_imap(pool, t_square, pull, &n,
		MP_IMAP_OPTIONS(.total = 500, .progress = see, .progress_data = &seen,
			.progress_ms = 1),
		&imap));
	while (mp_imap_next(imap, T_TIMEOUT_MS, &results[0]) == 1)
		;
	cr_assert(seen.n >= 1 && seen.last.done == 500 && seen.last.total == 500);
	T_OK(mp_imap_close(imap));
	t_pool_end(pool);
}

static int draw(void *fd)
{
	mp_progress p = {.done = 50, .total = 100, .elapsed = 2, .rate = 25, .eta = 2};

	T_CHECK(dup2(*(int *)fd, STDERR_FILENO) >= 0);
	static char label[] = "work";
	mp_progress_bar(&p, label);
	p.done = 100;
	mp_progress_bar(&p, NULL);
	p.total = 0;
	mp_progress_bar(&p, NULL);
	mp_progress_bar(NULL, NULL);
	return 0;
}

Test(pool_map, progress_bar_is_for_terminals)
{
	char text[4096] = "";
	int ends[2];
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	cr_assert(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
	int terminal = open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert(terminal >= 0);
	struct t_child child = t_spawn(draw, &terminal);
	t_expect_exit(&child, 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	cr_assert(n > 0);
	cr_assert(strstr(text, "work [###############...............] 50/100, 25/s, left 2 s"),
		"%s", text);
	cr_assert(strstr(text, "100/100"));
	close(fd);
	close(terminal);

	T_OK(pipe2(ends, O_CLOEXEC));
	child = t_spawn(draw, &ends[1]);
	t_expect_exit(&child, 0);
	close(ends[1]);
	cr_assert_eq(read(ends[0], text, sizeof(text)), 0);
	close(ends[0]);
}
