/* SPDX-License-Identifier: MIT */
/* The log: levels, handlers that do things, forks. */
#include <config.h>

#include "tests/support/support.h"

#include "base/error.h"
#include "base/log.h"

#include <fcntl.h>
#include <mp/process.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

T_SUITE(log);

static char heard[256];

static void listener(int level, const char *component, const char *message, void *data)
{
	snprintf(heard, sizeof(heard), "%d %s %s %s", level, component, message, (char *)data);
}

Test(log, reaches_the_handler_at_its_level)
{
	char data[] = "data";

	T_RESULT(mp_log_set_handler(99, listener, NULL), -EINVAL);
	mp__log(MP_LOG_ERROR, "base", "nobody listens");
	T_OK(mp_log_set_handler(MP_LOG_WARNING, listener, data));
	mp__log(MP_LOG_INFO, "base", "too quiet");
	cr_assert_str_eq(heard, "");
	mp__log(MP_LOG_WARNING, "base", "%d bottles", 3);
	cr_assert_str_eq(heard, "4 base 3 bottles data");
	T_OK(mp_log_set_handler(MP_LOG_WARNING, NULL, NULL));
	heard[0] = '\0';
	mp__log(MP_LOG_ERROR, "base", "again nobody");
	cr_assert_str_eq(heard, "");
}

Test(log, each_level_lets_itself_and_what_is_more_urgent_through)
{
	static const int levels[] = {MP_LOG_ERROR, MP_LOG_WARNING, MP_LOG_INFO, MP_LOG_DEBUG};

	for (size_t at = 0; at < 4; at++) {
		T_OK(mp_log_set_handler(levels[at], listener, (void *)""));
		for (size_t i = 0; i < 4; i++) {
			heard[0] = '\0';
			mp__log(levels[i], "base", "x");
			cr_assert_eq(heard[0] != '\0', i <= at);
		}
	}
}

Test(log, unknown_level_leaves_the_old_handler)
{
	static const int unknown[] = {MP_LOG_ERROR - 1, MP_LOG_DEBUG + 1, -1};

	T_OK(mp_log_set_handler(MP_LOG_ERROR, listener, (void *)"old"));
	for (size_t i = 0; i < 3; i++)
		T_RESULT(mp_log_set_handler(unknown[i], NULL, NULL), -EINVAL);
	mp__log(MP_LOG_ERROR, "base", "x");
	cr_assert_str_eq(heard, "3 base x old");
}

/* --- what a handler may do ------------------------------------------------------------------------ */

static int calls;

static void fail_at_something(int level, const char *component, const char *message, void *data)
{
	(void)component;
	(void)data;
	calls++;
	errno = ENOTTY;
	mp_process_join(NULL, MP_NOWAIT);
	mp__log(level, "handler", "%s, and more", message);
}

Test(log, handler_may_call_libmp)
{
	T_OK(mp_log_set_handler(MP_LOG_DEBUG, fail_at_something, NULL));
	mp_error_set(-EIO, "a failure on its way");
	errno = EXDEV;
	mp__log(MP_LOG_INFO, "base", "x");
	cr_assert_eq(errno, EXDEV);
	cr_assert_str_eq(mp_error_detail(), "a failure on its way");
	cr_assert_eq(calls, 1, "its own remarks come back to it");
	mp__log(MP_LOG_INFO, "base", "x");
	cr_assert_eq(calls, 2);
}

static void hand_on(int level, const char *component, const char *message, void *data)
{
	(void)level;
	(void)component;
	(void)message;
	calls++;
	mp_log_set_handler(MP_LOG_WARNING, listener, data);
}

Test(log, handler_may_change_the_handler)
{
	T_OK(mp_log_set_handler(MP_LOG_DEBUG, hand_on, (void *)"new"));
	mp__log(MP_LOG_INFO, "base", "first");
	mp__log(MP_LOG_INFO, "base", "second");
	mp__log(MP_LOG_WARNING, "base", "third");
	cr_assert_eq(calls, 1);
	cr_assert_str_eq(heard, "4 base third new");
}

static int change_in_child(void *data)
{
	(void)data;
	T_CHECK(mp_log_set_handler(MP_LOG_INFO, listener, (void *)"child") == 0);
	return 0;
}

static void fork_in_handler(int level, const char *component, const char *message, void *data)
{
	struct t_child *child = data;

	(void)level;
	(void)component;
	(void)message;
	*child = t_spawn(change_in_child, NULL);
}

Test(log, handler_may_fork)
{
	struct t_child child;

	T_OK(mp_log_set_handler(MP_LOG_DEBUG, fork_in_handler, &child));
	mp__log(MP_LOG_INFO, "base", "x");
	t_expect_exit(&child, 0);
}

/* --- fork ------------------------------------------------------------------------------------------ */

static int log_in_child(void *data)
{
	(void)data;
	mp__log(MP_LOG_WARNING, "child", "here");
	T_CHECK(strcmp(heard, "4 child here inherited") == 0);
	T_CHECK(mp_log_set_handler(MP_LOG_DEBUG, listener, (void *)"own") == 0);
	mp__log(MP_LOG_DEBUG, "child", "here");
	T_CHECK(strcmp(heard, "7 child here own") == 0);
	return 0;
}

Test(log, records_of_a_forked_child_reach_its_handler)
{
	T_OK(mp_log_set_handler(MP_LOG_WARNING, listener, (void *)"inherited"));
	struct t_child child = t_spawn(log_in_child, NULL);
	t_expect_exit(&child, 0);
	/* And the parent's handler is what it was. */
	cr_assert_str_eq(heard, "");
	mp__log(MP_LOG_DEBUG, "base", "x");
	cr_assert_str_eq(heard, "");
}

static int log_as_target(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	mp__log(MP_LOG_WARNING, "target", "here");
	return strcmp(heard, "4 target here inherited") == 0 ? 7 : 8;
}

Test(log, records_of_a_process_by_fork_reach_its_handler)
{
	mp_process *process;
	int code;

	T_OK(mp_log_set_handler(MP_LOG_WARNING, listener, (void *)"inherited"));
	T_OK(mp_process_new(log_as_target, mp_nil(),
		MP_PROCESS_OPTIONS(.start_method = MP_START_FORK), &process));
	T_OK(mp_process_start(process));
	T_OK(mp_process_join(process, T_TIMEOUT_MS));
	T_OK(mp_process_exit_code(process, &code));
	cr_assert_eq(code, 7);
	T_OK(mp_process_close(process));
}

static atomic_bool enough;

static void *change_handlers(void *data)
{
	while (!atomic_load(&enough))
		mp_log_set_handler(MP_LOG_WARNING, listener, data);
	return NULL;
}

static int log_once(void *data)
{
	(void)data;
	mp__log(MP_LOG_WARNING, "child", "here");
	return strcmp(heard, "4 child here busy") == 0 ? 0 : 1;
}

Test(log, fork_while_another_thread_changes_the_handler)
{
	pthread_t thread;

	T_OK(mp_log_set_handler(MP_LOG_WARNING, listener, (void *)"busy"));
	cr_assert(pthread_create(&thread, NULL, change_handlers, (void *)"busy") == 0);
	for (int i = 0; i < 30; i++) {
		struct t_child child = t_spawn(log_once, NULL);
		t_expect_exit(&child, 0);
	}
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
}

/* --- standard error -------------------------------------------------------------------------------- */

/* What is written to standard error meanwhile. */
static void catch_stderr(void (*body)(void), char *text, size_t room)
{
	int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int file = memfd_create("stderr", MFD_CLOEXEC);

	cr_assert(copy >= 0 && file >= 0);
	fflush(stderr);
	dup2(file, STDERR_FILENO);
	body();
	dup2(copy, STDERR_FILENO);
	close(copy);
	ssize_t n = pread(file, text, room - 1, 0);
	cr_assert(n >= 0);
	text[n] = '\0';
	close(file);
}

static void log_on_request(void)
{
	mp__log(MP_LOG_ERROR, "base", "nobody asked");
	mp_log_set_handler(MP_LOG_INFO, mp_log_stderr, NULL);
	mp__log(MP_LOG_INFO, "pool", "worker %d", 3);
	mp__log(MP_LOG_DEBUG, "pool", "too quiet");
	mp_log_set_handler(MP_LOG_INFO, NULL, NULL);
	mp__log(MP_LOG_ERROR, "base", "nobody asks any more");
}

Test(log, goes_to_stderr_on_request)
{
	char text[256];

	catch_stderr(log_on_request, text, sizeof(text));
	cr_assert_str_eq(text, "libmp: pool: worker 3\n");
}

static void log_much(void)
{
	char message[2000];

	memset(message, 'x', sizeof(message));
	message[sizeof(message) - 1] = '\0';
	mp_log_stderr(MP_LOG_ERROR, "pool", message, NULL);
	mp_log_set_handler(MP_LOG_INFO, mp_log_stderr, NULL);
	mp__log(MP_LOG_INFO, "pool", "%s", message);
}

Test(log, long_records_are_cut_but_stay_lines)
{
	char text[4000];

	catch_stderr(log_much, text, sizeof(text));
	char *end = strchr(text, '\n');
	cr_assert(end && end - text > 500);
	cr_assert_eq(strncmp(end + 1, "libmp: pool: xxx", 16), 0);
	cr_assert_eq(text[strlen(text) - 1], '\n');
}

static void close_and_log(void)
{
	close(STDERR_FILENO);
	mp_log_stderr(MP_LOG_ERROR, "base", "unheard", NULL);
}

Test(log, closed_stderr_is_no_failure)
{
	char text[16];

	catch_stderr(close_and_log, text, sizeof(text));
	cr_assert_str_eq(text, "");
}
