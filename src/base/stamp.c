/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/stamp.h"

#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread struct mp__stamps mp__stamp_cache __attribute__((tls_model("initial-exec")));

/* Of /proc/N/stat; all zero when it can't be read. */
struct life {
	uint64_t start; /* ticks since boot; 0: unknown */
	char state;
};

static char *put_text(char *to, const char *text)
{
	size_t length = strlen(text);

	memcpy(to, text, length + 1);
	return to + length;
}

/* "/proc/N/stat", without stdio: a signal handler may be the caller. */
static void stat_path(char path[32], int32_t tid)
{
	char digits[12];
	char *d = digits + sizeof(digits) - 1;

	*d = '\0';
	do
		*--d = (char)('0' + tid % 10);
	while ((tid /= 10) > 0);
	put_text(put_text(put_text(path, "/proc/"), d), "/stat");
}

/*
 * "pid (name) state ppid … start …": the name may hold anything, so the last ")" counts; start is
 * the 22nd field, the 20th after the name.
 */
static struct life parse_life(const char *text)
{
	struct life life = {0};
	const char *at = strrchr(text, ')');

	if (!at || at[1] != ' ')
		return life;
	life.state = at[2];
	at += 1; /* the space before field 3 */
	for (int field = 3; field < 22 && at; field++)
		at = strchr(at + 1, ' ');
	for (at = at ? at + 1 : ""; *at >= '0' && *at <= '9'; at++)
		life.start = life.start * 10 + (uint64_t)(*at - '0');
	return life;
}

/* -errno of the open, when there is no such thread or no /proc. */
static int read_life(int32_t tid, struct life *ret_life)
{
	char path[32];
	char text[512];
	ssize_t n;

	stat_path(path, tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	do
		n = read(fd, text, sizeof(text) - 1);
	while (n < 0 && errno == EINTR);
	int r = n < 0 ? -errno : 0;
	close(fd);
	if (n <= 0)
		return r < 0 ? r : -ESRCH;
	text[n] = '\0';
	*ret_life = parse_life(text);
	return 0;
}

/* Which PID namespace, hashed to 8 bits, in place. */
static uint64_t namespace_bits(void)
{
	static _Atomic uint32_t known; /* hash + 1; a child in a new namespace has a new origin */
	static _Atomic uint64_t known_for;
	mp__origin here = mp__origin_here();
	struct stat st;

	if (atomic_load_explicit(&known_for, memory_order_acquire) != here) {
		uint64_t ino = stat("/proc/self/ns/pid", &st) < 0 ? 0 : (uint64_t)st.st_ino;
		uint32_t hash = (uint32_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
		atomic_store_explicit(&known, hash, memory_order_relaxed);
		atomic_store_explicit(&known_for, here, memory_order_release);
	}
	return (uint64_t)atomic_load_explicit(&known, memory_order_relaxed) << 22;
}

mp__stamp mp__stamp_of(int32_t tid)
{
	struct life life = {0};

	if (read_life(tid, &life) < 0)
		life.start = 0;
	return life.start << 32 | namespace_bits() | (uint64_t)tid;
}

/* The same for all threads: read once. Threads that come here together write the same. */
static mp__stamp process_stamp(void)
{
	static _Atomic uint64_t stamp;
	static _Atomic uint64_t stamp_for;
	mp__origin here = mp__origin_here();

	if (atomic_load_explicit(&stamp_for, memory_order_acquire) != here) {
		atomic_store_explicit(&stamp, mp__stamp_of(getpid()), memory_order_relaxed);
		atomic_store_explicit(&stamp_for, here, memory_order_release);
	}
	return atomic_load_explicit(&stamp, memory_order_relaxed);
}

const struct mp__stamps *mp__stamps_make(void)
{
	int saved_errno = errno;
	mp__origin here = mp__origin_here();
	mp__stamp process = process_stamp();
	pid_t tid = (pid_t)syscall(SYS_gettid);

	/* A signal handler that comes in between writes the same. */
	mp__stamp_cache.process = process;
	mp__stamp_cache.thread = tid == getpid() ? process : mp__stamp_of(tid);
	atomic_signal_fence(memory_order_seq_cst);
	mp__stamp_cache.origin = here;
	errno = saved_errno;
	return &mp__stamp_cache;
}

/* 1 dead, 0 alive or can't be said, -1 there is somebody of this number: look closer. */
static int dead_by_number(mp__stamp stamp)
{
	int32_t tid = mp__stamp_tid(stamp);

	if (tid == 0)
		return 1;
	if (!mp__stamp_is_of_here(stamp))
		return 0;
	return syscall(SYS_tkill, tid, 0) < 0 && errno == ESRCH ? 1 : -1;
}

static bool other_start(const struct life *life, mp__stamp stamp)
{
	uint32_t then = (uint32_t)(stamp >> 32);

	return then != 0 && life->start != 0 && (uint32_t)life->start != then;
}

bool mp__stamp_is_of_here(mp__stamp stamp)
{
	return (stamp & (UINT64_C(0xff) << 22)) == namespace_bits();
}

bool mp__stamp_thread_dead(mp__stamp stamp)
{
	int saved_errno = errno;
	int dead = dead_by_number(stamp);
	struct life life = {0};

	if (dead < 0) {
		int r = read_life(mp__stamp_tid(stamp), &life);
		if (r < 0)
			/* Gone just now; or there is no /proc, and the number is in use. */
			dead = syscall(SYS_tkill, mp__stamp_tid(stamp), 0) < 0 && errno == ESRCH;
		else
			dead = life.state == 'Z' || life.state == 'X' || other_start(&life, stamp);
	}
	errno = saved_errno;
	return dead;
}

/* Of a leader that is a zombie: do other threads of its process live? */
static bool group_ended(int32_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	/* Collected just now: ESRCH; up to Linux 6.14 also EINVAL, as for a thread that leads nobody. */
	if (fd < 0)
		return errno == ESRCH || (syscall(SYS_tkill, pid, 0) < 0 && errno == ESRCH);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n = poll(&p, 1, 0); /* readable once the last thread has ended */
	close(fd);
	return n == 1 && (p.revents & POLLIN);
}

bool mp__stamp_process_dead(mp__stamp stamp)
{
	int saved_errno = errno;
	int dead = dead_by_number(stamp);
	struct life life = {0};

	if (dead < 0) {
		int32_t pid = mp__stamp_tid(stamp);
		int r = read_life(pid, &life);
		if (r < 0)
			dead = syscall(SYS_tkill, pid, 0) < 0 && errno == ESRCH;
		else if (other_start(&life, stamp))
			dead = 1;
		else
			dead = (life.state == 'Z' || life.state == 'X') && group_ended(pid);
	}
	errno = saved_errno;
	return dead;
}
