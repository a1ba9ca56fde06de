/* SPDX-License-Identifier: MIT */
/* The timeline of MP_POOL_TRACE: complete, and whole whoever is killed. */
#include <config.h>

#include "tests/support/pool.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <mp/log.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>

T_SUITE(pool_trace);

static char path[64];
static char text[1 << 20];

static void trace_to_file(void)
{
	snprintf(path, sizeof(path), "/tmp/mp-test-trace-%d", getpid());
	unlink(path);
	T_OK(setenv("MP_POOL_TRACE", path, 1));
}

static void read_trace(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	cr_assert(n > 0);
	text[n] = '\0';
	close(fd);
	unlink(path);
}

/* An object with nothing open at its end, and nothing behind it but a comma. */
static bool is_object(const char *line, size_t n)
{
	int depth = 0;
	bool quoted = false;

	if (n > 0 && line[n - 1] == ',')
		n--;
	for (size_t i = 0; i < n; i++) {
		if (quoted && line[i] == '\\')
			i++;
		else if (line[i] == '"')
			quoted = !quoted;
		else if (!quoted && line[i] == '{')
			depth++;
		else if (!quoted && line[i] == '}' && --depth == 0)
			return i + 1 == n;
	}
	return false;
}

/* Each line is an event; how many have all of these words. */
static int count_events(const char *a, const char *b)
{
	int count = 0;

	cr_assert(strncmp(text, "[\n{", 3) == 0, "%.20s", text);
	for (const char *line = text + 2; line;) {
		const char *end = strchr(line, '\n');
		size_t n = end ? (size_t)(end - line) : strlen(line);
		char copy[700];
		snprintf(copy, sizeof(copy), "%.*s", (int)n, line);
		cr_assert(is_object(line, n), "no event: %s", copy);
		count += strstr(copy, a) && strstr(copy, b);
		line = end ? end + 1 : NULL;
	}
	return count;
}

static int kill_self(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argc, (void)argv, (void)ret;
	raise(SIGKILL);
	return 0;
}

Test(pool_trace, each_task_has_its_submission_its_end_and_its_outcome)
{
	mp_pool *pool;
	mp_future *f;
	int ends[2];

	trace_to_file();
	T_OK(pipe2(ends, O_CLOEXEC));
	T_OK(mp_pool_new(MP_POOL_OPTIONS(.workers = 1, .name = "with \"quotes\"\n"), &pool));
	for (int i = 0; i < 20; i++)
		t_expect_i64(t_submit(pool, t_square, MP_ARGS(mp_i64(i))), i * i);
	t_expect_error(
		t_submit(pool, t_fail_at_13, MP_ARGS(mp_i64(12))), -EDOM, MP_FUTURE_FAILED, "item");
	T_OK(mp_pool_submit_with(pool, kill_self, mp_nil(), MP_TASK_OPTIONS(.name = "poison"), &f));
	t_expect_error(f, -EOWNERDEAD, MP_FUTURE_CRASHED, "");
	mp_future *running = t_submit(pool, t_read_byte, MP_ARGS(mp_fd(ends[0])));
	while (mp_future_running(running) != 1)
		sched_yield();
	f = t_submit(pool, t_square, MP_ARGS(mp_i64(1)));
	T_RESULT(mp_future_cancel(f, 0), 1);
	mp_future_close(f);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	t_expect_i64(running, 'x');
	t_pool_end(pool);
	close(ends[0]);
	close(ends[1]);
	read_trace();
	T_RESULT(count_events("\"i\"", "submitted"), 24);
	T_RESULT(count_events("\"X\"", "\"done\""), 21);
	T_RESULT(count_events("\"X\"", "\"failed\""), 1);
	T_RESULT(count_events("\"X\"", "\"result\":-33"), 1);
	T_RESULT(count_events("\"poison\"", "crashed: signal 9"), 1);
	T_RESULT(count_events("\"i\"", "cancelled"), 1);
	T_RESULT(count_events("process_name", "with \\\"quotes\\\"\\u000a"), 1);
	unsetenv("MP_POOL_TRACE");
}

static int own_and_die(void *unused)
{
	mp_pool *pool;

	(void)unused;
	T_CHECK(mp_pool_new(MP_POOL_OPTIONS(.workers = 2), &pool) == 0);
	for (int i = 0;; i++) {
		mp_future *f;
		T_CHECK(mp_pool_submit(pool, t_square, MP_ARGS(mp_i64(i)), &f) == 0);
		if (i % 10 == 9)
			mp_future_result(f, T_TIMEOUT_MS, NULL);
		mp_future_close(f);
		if (i == 100)
			t_ready();
		if (i == 2000)
			t_hang();
	}
}

Test(pool_trace, file_is_whole_when_the_owner_is_killed)
{
	trace_to_file();
	struct t_child child = t_spawn(own_and_die, NULL);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	read_trace();
	cr_assert_geq(count_events("\"X\"", "\"done\""), 50);
	unsetenv("MP_POOL_TRACE");
}

static int warnings;

static void count_warning(int level, const char *component, const char *message, void *data)
{
	(void)level, (void)data;
	warnings += strcmp(component, "pool") == 0 && strstr(message, "MP_POOL_TRACE") != NULL;
}

Test(pool_trace, file_that_cannot_be_written_is_a_warning)
{
	T_OK(setenv("MP_POOL_TRACE", "/nowhere/at/all", 1));
	T_OK(mp_log_set_handler(MP_LOG_WARNING, count_warning, NULL));
	t_pool_end(t_pool(1));
	cr_assert_eq(warnings, 1);
	unsetenv("MP_POOL_TRACE");
}
