/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* One line each: name of the list below, as it is shown, errors. */
#define CALLS(C)                                                  \
	C(MALLOC, "malloc", ENOMEM)                               \
	C(CALLOC, "calloc", ENOMEM)                               \
	C(REALLOC, "realloc", ENOMEM)                             \
	C(STRDUP, "strdup", ENOMEM)                               \
	C(MMAP, "mmap", ENOMEM)                                   \
	C(MEMFD, "memfd_create", EMFILE, ENFILE, ENOMEM)          \
	C(FTRUNCATE, "ftruncate", ENOSPC, EINTR)                  \
	C(FALLOCATE, "fallocate", ENOSPC, EINTR, ENOMEM)          \
	C(OPEN, "open", EMFILE, ENFILE)                           \
	C(DUP, "fcntl(F_DUPFD_CLOEXEC)", EMFILE)                  \
	C(PIPE, "pipe2", EMFILE, ENFILE)                          \
	C(FORK, "fork", EAGAIN, ENOMEM)                           \
	C(SPAWN, "posix_spawn", EAGAIN, ENOMEM)                   \
	C(THREAD, "pthread_create", EAGAIN)                       \
	C(PIDFD, "pidfd_open", EMFILE, ENFILE, ENOMEM)            \
	C(FUTEX, "futex", EINTR, EAGAIN)                          \
	C(WAITID, "waitid", EINTR)                                \
	C(SOCKET, "socket", EMFILE, ENFILE, ENOBUFS)              \
	C(SOCKETPAIR, "socketpair", EMFILE, ENFILE)               \
	C(ACCEPT, "accept4", EMFILE, ENFILE, ECONNABORTED, EINTR) \
	C(SENDMSG, "sendmsg", EINTR, EAGAIN, ENOBUFS)             \
	C(SEND, "send", EINTR, EAGAIN, ENOBUFS)                   \
	C(RECVMSG, "recvmsg", EINTR, EAGAIN, ECONNRESET)          \
	C(RECV, "recv", EINTR, EAGAIN, ECONNRESET)                \
	C(READ, "read", EINTR, T_SHORT)                           \
	C(WRITE, "write", EINTR, T_SHORT)                         \
	C(EPOLL_CREATE, "epoll_create1", EMFILE, ENFILE, ENOMEM)  \
	C(EPOLL_CTL, "epoll_ctl", ENOMEM, ENOSPC)                 \
	C(EPOLL_WAIT, "epoll_wait", EINTR)                        \
	C(POLL, "poll", EINTR, ENOMEM)                            \
	C(GETRANDOM, "getrandom", EINTR)

#define NAME(id, ...) T_##id,
enum call { CALLS(NAME) N_CALLS };
#define ROW(id, text, ...) {text, {__VA_ARGS__}},
const struct t_fail_call t_fail_calls[] = {CALLS(ROW)};
const size_t t_n_fail_calls = N_CALLS;

static _Atomic pid_t owner; /* of what follows; 0: nobody */
static _Atomic unsigned counted[N_CALLS];
static size_t chosen;
static int chosen_error;
static unsigned chosen_at;
static _Atomic bool failed;

void t_fail_begin(size_t call, int error, unsigned at)
{
	for (size_t i = 0; i < N_CALLS; i++)
		counted[i] = 0;
	chosen = call;
	chosen_error = error;
	chosen_at = at;
	failed = false;
	owner = getpid();
}

bool t_fail_end(void)
{
	owner = 0;
	return failed;
}

unsigned t_fail_counted(size_t call)
{
	return counted[call];
}

/* The error that this call shall give, or 0. */
static int failure(enum call call)
{
	if (owner == 0 || owner != getpid())
		return 0;
	unsigned n = atomic_fetch_add(&counted[call], 1);
	if (call != chosen || chosen_error == 0 || n != chosen_at)
		return 0;
	failed = true;
	return chosen_error;
}

static bool fails(enum call call)
{
	int error = failure(call);

	if (error == 0)
		return false;
	errno = error;
	return true;
}

#define WRAP(type, failed_value, name, id, parameters, arguments) \
	type __real_##name parameters;                            \
	type __wrap_##name parameters;                            \
	type __wrap_##name parameters                             \
	{                                                         \
		if (fails(T_##id))                                \
			return failed_value;                      \
		return __real_##name arguments;                   \
	}

/* Returns the error instead of setting errno. */
#define WRAP_CODE(name, id, parameters, arguments) \
	int __real_##name parameters;              \
	int __wrap_##name parameters;              \
	int __wrap_##name parameters               \
	{                                          \
		int error = failure(T_##id);       \
		if (error != 0)                    \
			return error;              \
		return __real_##name arguments;    \
	}

/* May also move half of it. */
#define WRAP_IO(name, id, parameters, short_arguments, arguments) \
	ssize_t __real_##name parameters;                         \
	ssize_t __wrap_##name parameters;                         \
	ssize_t __wrap_##name parameters                          \
	{                                                         \
		int error = failure(T_##id);                      \
		if (error == T_SHORT)                             \
			return __real_##name short_arguments;     \
		if (error != 0) {                                 \
			errno = error;                            \
			return -1;                                \
		}                                                 \
		return __real_##name arguments;                   \
	}

WRAP(void *, NULL, malloc, MALLOC, (size_t size), (size))
WRAP(void *, NULL, calloc, CALLOC, (size_t n, size_t size), (n, size))
WRAP(void *, NULL, realloc, REALLOC, (void *p, size_t size), (p, size))
WRAP(char *, NULL, strdup, STRDUP, (const char *text), (text))
WRAP(void *, MAP_FAILED, mmap, MMAP,
	(void *at, size_t size, int protection, int flags, int fd, off_t offset),
	(at, size, protection, flags, fd, offset))
WRAP(int, -1, memfd_create, MEMFD, (const char *name, unsigned flags), (name, flags))
WRAP(int, -1, ftruncate, FTRUNCATE, (int fd, off_t size), (fd, size))
WRAP(int, -1, fallocate, FALLOCATE, (int fd, int mode, off_t offset, off_t size),
	(fd, mode, offset, size))
WRAP(int, -1, pipe2, PIPE, (int fds[2], int flags), (fds, flags))
WRAP(pid_t, -1, fork, FORK, (void), ())
WRAP_CODE(posix_spawn, SPAWN,
	(pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]),
	(pid, path, actions, attributes, argv, envp))
WRAP_CODE(pthread_create, THREAD,
	(pthread_t * thread, const pthread_attr_t *attributes, void *(*function)(void *),
		void *argument),
	(thread, attributes, function, argument))
WRAP(int, -1, waitid, WAITID, (idtype_t type, id_t id, siginfo_t *info, int options),
	(type, id, info, options))
WRAP(int, -1, socket, SOCKET, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, -1, socketpair, SOCKETPAIR, (int domain, int type, int protocol, int fds[2]),
	(domain, type, protocol, fds))
WRAP(int, -1, accept4, ACCEPT, (int fd, struct sockaddr *address, socklen_t *size, int flags),
	(fd, address, size, flags))
/* As WRAP; -EAGAIN only where the kernel could say it. */
#define WRAP_SOCKET(name, id, parameters, arguments, flags)                     \
	ssize_t __real_##name parameters;                                       \
	ssize_t __wrap_##name parameters;                                       \
	ssize_t __wrap_##name parameters                                        \
	{                                                                       \
		int error = failure(T_##id);                                    \
		if (error == 0 || (error == EAGAIN && !(flags & MSG_DONTWAIT))) \
			return __real_##name arguments;                         \
		errno = error;                                                  \
		return -1;                                                      \
	}

WRAP_SOCKET(sendmsg, SENDMSG, (int fd, const struct msghdr *message, int flags),
	(fd, message, flags), flags)
WRAP_SOCKET(send, SEND, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags),
	flags)
WRAP_SOCKET(
	recvmsg, RECVMSG, (int fd, struct msghdr *message, int flags), (fd, message, flags), flags)
WRAP_SOCKET(
	recv, RECV, (int fd, void *data, size_t size, int flags), (fd, data, size, flags), flags)
WRAP_IO(read, READ, (int fd, void *data, size_t size), (fd, data, (size + 1) / 2), (fd, data, size))
WRAP_IO(write, WRITE, (int fd, const void *data, size_t size), (fd, data, (size + 1) / 2),
	(fd, data, size))
WRAP(int, -1, epoll_create1, EPOLL_CREATE, (int flags), (flags))
WRAP(int, -1, epoll_ctl, EPOLL_CTL, (int epoll, int what, int fd, struct epoll_event *event),
	(epoll, what, fd, event))
WRAP(int, -1, epoll_wait, EPOLL_WAIT, (int epoll, struct epoll_event *events, int n, int timeout),
	(epoll, events, n, timeout))
WRAP(int, -1, poll, POLL, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
WRAP(ssize_t, -1, getrandom, GETRANDOM, (void *data, size_t size, unsigned flags),
	(data, size, flags))

/* The variadic ones. */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list list;
	mode_t mode = 0;

	va_start(list, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(list, mode_t);
	va_end(list);
	return fails(T_OPEN) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list list;
	mode_t mode = 0;

	va_start(list, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(list, mode_t);
	va_end(list);
	return fails(T_OPEN) ? -1 : __real_openat(dir, path, flags, mode);
}

int __real_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...);
__attribute__((no_sanitize("address"))) int __wrap_fcntl(int fd, int what, ...)
{
	va_list list;

	va_start(list, what);
	void *argument = va_arg(list, void *);
	va_end(list);
	if (what == F_DUPFD_CLOEXEC && fails(T_DUP))
		return -1;
	return __real_fcntl(fd, what, argument);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
/* Takes six arguments, whether or not so many were given. */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long number, ...)
{
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if ((number == SYS_futex && fails(T_FUTEX)) ||
		(number == SYS_pidfd_open && fails(T_PIDFD)) ||
		(number == SYS_waitid && fails(T_WAITID)))
		return -1;
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
