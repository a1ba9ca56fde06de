/* SPDX-License-Identifier: MIT */
/* The leaf helpers: results, options, deadlines, origin, descriptors. */
#include <config.h>

#include "tests/support/support.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/futex.h"
#include "base/linger.h"
#include "base/options.h"
#include "base/origin.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <mp/version.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

T_SUITE(base);

Test(base, strerror_covers_errno_and_own_codes)
{
	cr_assert_str_eq(mp_strerror(0), "success");
	cr_assert_str_eq(mp_strerror(-ETIMEDOUT), "timed out");
	cr_assert_str_eq(mp_strerror(-EOVERFLOW), "over a limit, or nested too deeply");
	cr_assert_str_eq(mp_strerror(-ESTALE), "has changed or ended meanwhile");
	cr_assert_not_null(strstr(mp_strerror(MP_OWNER_DIED), "died"));
	cr_assert_str_eq(mp_strerror(-EXDEV), "Invalid cross-device link");
	/* Words that fit all that a code is used for. */
	cr_assert_not_null(strstr(mp_strerror(-ENOTCONN), "not connected"));
	cr_assert_str_eq(mp_strerror(-99999), "unknown error");
	cr_assert_str_eq(mp_strerror(12345), "success");
}

Test(base, error_set_returns_the_code_and_keeps_the_sentence)
{
	T_RESULT(mp_error_set(-EINVAL, "line %d: no date", 7), -EINVAL);
	cr_assert_str_eq(mp_error_detail(), "line 7: no date");
	/* The current sentence may be wrapped. */
	T_RESULT(mp_error_set(-EIO, "file a: %s", mp_error_detail()), -EIO);
	cr_assert_str_eq(mp_error_detail(), "file a: line 7: no date");
}

Test(base, error_detail_is_cut_not_overrun)
{
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	mp_error_set(-EINVAL, "%s", text);
	cr_assert_eq(strlen(mp_error_detail()), MP__DETAIL_SIZE - 1);
}

Test(base, version_is_that_of_the_headers)
{
	char expected[32];

	snprintf(expected, sizeof(expected), "%d.%d.%d", MP_VERSION_MAJOR, MP_VERSION_MINOR,
		MP_VERSION_PATCH);
	cr_assert_str_eq(mp_version(), expected);
}

struct old_options {
	size_t size;
	uint64_t flags;
	int a;
	int b;
};

struct new_options {
	struct old_options old;
	int c;
	int d;
};

Test(base, options_null_is_all_defaults)
{
	struct new_options known = {.c = 9};

	T_OK(mp__options_load(&known, sizeof(known), 0, NULL));
	cr_assert_eq(known.c, 0);
}

Test(base, options_of_an_older_program_leave_new_fields_zero)
{
	struct new_options known = {.c = 9};
	struct old_options given = {.size = sizeof(given), .a = 1, .b = 2};

	T_OK(mp__options_load(&known, sizeof(known), 0, &given));
	cr_assert(known.old.a == 1 && known.old.b == 2 && known.c == 0);
}

Test(base, options_of_a_newer_program_are_refused_only_if_set)
{
	struct old_options known;
	struct new_options given = {.old = {.size = sizeof(given), .a = 1}};

	T_OK(mp__options_load(&known, sizeof(known), 0, &given));
	given.d = 1;
	T_RESULT(mp__options_load(&known, sizeof(known), 0, &given), -E2BIG);
}

Test(base, options_check_size_and_flags)
{
	struct old_options known;
	struct old_options given = {.size = 0};

	T_RESULT(mp__options_load(&known, sizeof(known), 0, &given), -EINVAL);
	given.size = SIZE_MAX;
	T_RESULT(mp__options_load(&known, sizeof(known), 0, &given), -EINVAL);
	given = (struct old_options){.size = sizeof(given), .flags = 5};
	T_RESULT(mp__options_load(&known, sizeof(known), 1, &given), -EINVAL);
	T_OK(mp__options_load(&known, sizeof(known), 5, &given));
}

Test(base, deadline_counts_once)
{
	cr_assert(!mp__deadline_passed(MP__DEADLINE_NEVER));
	cr_assert_eq(mp__deadline_poll_ms(MP__DEADLINE_NEVER), -1);
	cr_assert_eq(mp__deadline_poll_ms(mp__deadline_in(-1)), -1);
	cr_assert(mp__deadline_passed(mp__deadline_in(0)));
	cr_assert_eq(mp__deadline_poll_ms(mp__deadline_in(0)), 0);
	int left = mp__deadline_poll_ms(mp__deadline_in(100000));
	cr_assert(left > 0 && left <= 100000);
	cr_assert(mp__deadline_slice(mp__deadline_in(0), 50).ns == 0);
	cr_assert(mp__deadline_slice(MP__DEADLINE_NEVER, 50).ns < INT64_MAX);
}

static int origin_differs(void *parent)
{
	mp__origin mine = mp__origin_here();

	T_CHECK(mine != *(mp__origin *)parent);
	T_CHECK(mine == mp__origin_here());
	return 0;
}

Test(base, origin_differs_in_a_forked_child)
{
	mp__origin here = mp__origin_here();
	struct t_child child = t_spawn(origin_differs, &here);

	t_expect_exit(&child, 0);
	cr_assert(mp__origin_is_here(here));
}

/* The next process of this PID namespace gets this number. */
static bool ask_for_pid(pid_t pid)
{
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	bool asked = fd >= 0 && dprintf(fd, "%d", (int)pid - 1) > 0;

	if (fd >= 0)
		close(fd);
	return asked;
}

/* How a child ended that runs the function with the number that it is to have. */
static int end_of_child(int (*function)(pid_t), pid_t pid)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(function(pid));
	T_CHECK(child == pid && waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static mp__origin origin_above;

static int origin_is_new(pid_t pid)
{
	T_CHECK(getpid() == pid);
	T_CHECK(mp__origin_here() != origin_above);
	return 0;
}

/* Children with lower numbers than that of their parent: as it is when numbers begin again. */
static int have_children_below(pid_t pid)
{
	origin_above = mp__origin_here();
	for (pid_t child = pid - 39; child < pid; child++) {
		T_CHECK(ask_for_pid(child));
		T_CHECK(end_of_child(origin_is_new, child) == 0);
	}
	return 0;
}

static int in_new_namespace(pid_t pid)
{
	T_CHECK(pid == getpid());
	return ask_for_pid(100) ? end_of_child(have_children_below, 100) : 77;
}

static int make_namespace(void *argument)
{
	int status = 0;

	(void)argument;
	if (unshare(CLONE_NEWPID) < 0)
		return 77;
	pid_t child = fork();
	if (child == 0)
		_exit(in_new_namespace(1));
	T_CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* As if they were their parent, its children would sign what they take with its stamp. */
Test(base, origin_differs_whatever_number_a_child_gets)
{
	siginfo_t info = {0};
	struct t_child child = t_spawn(make_namespace, NULL);

	t_wait_pidfd(child.pidfd);
	cr_assert_eq(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
	if (info.si_status == 77) {
		t_expect_exit(&child, 77);
		cr_skip_test("needs the right to choose numbers of processes");
	}
	t_expect_exit(&child, 0);
}

static int wait_on(void *word)
{
	t_ready();
	while (atomic_load((_Atomic uint32_t *)word) == 0)
		mp__futex_wait(word, 0, MP__DEADLINE_NEVER);
	return 0;
}

Test(base, futex_reaches_another_process)
{
	_Atomic uint32_t *word =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert(word != MAP_FAILED);
	struct t_child child = t_spawn(wait_on, (void *)word);
	t_wait_ready(&child);
	atomic_store(word, 1);
	mp__futex_wake(word, 1);
	t_expect_exit(&child, 0);
	T_RESULT(mp__futex_wait(word, 0, MP__DEADLINE_NEVER), -EAGAIN);
	T_RESULT(mp__futex_wait(word, 1, mp__deadline_in(1)), -ETIMEDOUT);
	munmap((void *)word, 4096);
}

/* Both words are at hand: who sleeps on the first is moved to the second and back, to see him. */
static int die_once_somebody_sleeps(void *argument)
{
	_Atomic uint32_t *words = argument;

	mp__futex_wake_at_end(&words[0]);
	while (syscall(SYS_futex, &words[0], FUTEX_CMP_REQUEUE, 0, (void *)1, &words[1], 0) < 1)
		sched_yield();
	if (syscall(SYS_futex, &words[1], FUTEX_CMP_REQUEUE, 0, (void *)1, &words[0], 0) != 1)
		return 1;
	raise(SIGKILL);
	return 0;
}

Test(base, futex_is_woken_by_the_end_of_a_process)
{
	_Atomic uint32_t *words =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert(words != MAP_FAILED);
	struct t_child child = t_spawn(die_once_somebody_sleeps, (void *)words);
	T_OK(mp__futex_wait(words, 0, mp__deadline_in(T_TIMEOUT_MS / 2)));
	cr_assert_eq(atomic_load(words), 0);
	t_expect_signal(&child, SIGKILL);
	munmap((void *)words, 4096);
}

Test(base, sealed_memfd_cannot_change)
{
	int fd = mp__memfd_sealed("test", "hello", 5);
	char text[6] = "";

	cr_assert(fd >= 0);
	T_OK(t_read_full(fd, text, 5));
	cr_assert_str_eq(text, "hello");
	cr_assert(write(fd, "x", 1) < 0 && errno == EPERM);
	cr_assert(ftruncate(fd, 0) < 0 && errno == EPERM);
	T_RESULT(t_read_full(fd, text, 1), -EPIPE);
	close(fd);
}

Test(base, socket_carries_descriptors_or_keeps_none)
{
	int pair[2];
	int fds[4];
	char text[16];

	cr_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	T_OK(mp__socket_send(pair[0], "abc", 3, (int[]){0, 1, 2}, 3));
	size_t n = 4;
	T_RESULT(mp__socket_receive(pair[1], text, sizeof(text), fds, &n), 3);
	cr_assert_eq(n, 3);
	for (size_t i = 0; i < n; i++)
		cr_assert(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
	mp__fds_close(fds, n);

	/* More descriptors than room, a message longer than the buffer: refused whole. */
	int before = t_count_fds();
	T_OK(mp__socket_send(pair[0], "abc", 3, (int[]){0, 1, 2}, 3));
	n = 2;
	T_RESULT(mp__socket_receive(pair[1], text, sizeof(text), fds, &n), -EMSGSIZE);
	T_OK(mp__socket_send(pair[0], "abcdef", 6, (int[]){0}, 1));
	n = 4;
	T_RESULT(mp__socket_receive(pair[1], text, 3, fds, &n), -EMSGSIZE);
	cr_assert_eq(t_count_fds(), before);

	T_RESULT(mp__socket_send(pair[0], "x", 1, fds, MP__FDS_MAX + 1), -EMSGSIZE);
	close(pair[0]);
	n = 4;
	T_RESULT(mp__socket_receive(pair[1], text, sizeof(text), fds, &n), 0);
	T_RESULT(mp__socket_send(pair[1], "x", 1, NULL, 0), -EPIPE);
	close(pair[1]);
}

Test(base, fd_wait_keeps_its_deadline)
{
	int ends[2];

	cr_assert(pipe2(ends, O_CLOEXEC) == 0);
	T_RESULT(mp__fd_wait(ends[0], 1, mp__deadline_in(1)), -ETIMEDOUT);
	close(ends[1]);
	T_OK(mp__fd_wait(ends[0], 1, MP__DEADLINE_NEVER));
	close(ends[0]);
	T_RESULT(mp__fd_wait(ends[0], 1, mp__deadline_in(0)), -EBADF);
}

/* A wait in vain; how many of those after it sleep at once. */
static int waits_asleep_after_a_miss(struct mp__linger *linger)
{
	int asleep = 0;

	cr_assert(mp__linger_begin(linger));
	while (mp__linger_on(linger))
		;
	mp__linger_end(linger, false);
	while (!mp__linger_begin(linger)) {
		mp__linger_end(linger, false);
		asleep++;
	}
	mp__linger_end(linger, true); /* it came at once: nothing to learn */
	return asleep;
}

Test(base, who_lingers_in_vain_does_so_ever_less)
{
	struct mp__linger linger = {0};
	int first = waits_asleep_after_a_miss(&linger);
	int asleep = first;

	cr_assert(first > 0 && first < 10);
	for (int i = 0; i < 50; i++) {
		int next = waits_asleep_after_a_miss(&linger);
		cr_assert(next == asleep || next == 2 * asleep, "%d after %d", next, asleep);
		asleep = next;
	}
	cr_assert(asleep >= 1000 && asleep <= 10000, "%d waits sleep at once", asleep);
}
