/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mp/cdefs.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* One line each: name of the list below, as it is shown, errors. */
#define CALLS(C)                                                  \
	C(MALLOC, "malloc", ENOMEM)                               \
	C(CALLOC, "calloc", ENOMEM)                               \
	C(REALLOC, "realloc", ENOMEM)                             \
	C(STRDUP, "strdup", ENOMEM)                               \
	C(STRNDUP, "strndup", ENOMEM)                             \
	C(ASPRINTF, "asprintf", ENOMEM)                           \
	C(MMAP, "mmap", ENOMEM)                                   \
	C(MEMFD, "memfd_create", EMFILE, ENFILE, ENOMEM)          \
	C(FTRUNCATE, "ftruncate", ENOSPC, EINTR)                  \
	C(FALLOCATE, "fallocate", ENOSPC, EINTR, ENOMEM)          \
	C(OPEN, "open", EMFILE, ENFILE)                           \
	C(FOPEN, "fopen", EMFILE, ENFILE, ENOMEM)                 \
	C(OPENDIR, "opendir", EMFILE, ENFILE, ENOMEM)             \
	C(EVENTFD, "eventfd", EMFILE, ENFILE, ENOMEM)             \
	C(TIMERFD, "timerfd_create", EMFILE, ENFILE, ENOMEM)      \
	C(SIGNALFD, "signalfd", EMFILE, ENFILE, ENOMEM)           \
	C(MKDIR, "mkdir", ENOSPC)                                 \
	C(LINKAT, "linkat", ENOSPC)                               \
	C(TIMER, "timer_create", EAGAIN, ENOMEM)                  \
	C(DUP, "fcntl(F_DUPFD_CLOEXEC)", EMFILE)                  \
	C(PIPE, "pipe2", EMFILE, ENFILE)                          \
	C(FORK, "fork", EAGAIN, ENOMEM)                           \
	C(SPAWN, "posix_spawn", EAGAIN, ENOMEM)                   \
	C(THREAD, "pthread_create", EAGAIN)                       \
	C(PIDFD, "pidfd_open", EMFILE, ENFILE, ENOMEM)            \
	C(PEERPIDFD, "SO_PEERPIDFD", EMFILE, ENOPROTOOPT)         \
	C(FUTEX, "futex", EINTR, EAGAIN)                          \
	C(WAITID, "waitid", EINTR)                                \
	C(SOCKET, "socket", EMFILE, ENFILE, ENOBUFS)              \
	C(SOCKETPAIR, "socketpair", EMFILE, ENFILE)               \
	C(ACCEPT, "accept4", EMFILE, ENFILE, ECONNABORTED, EINTR) \
	C(SENDMSG, "sendmsg", EINTR, EAGAIN, ENOBUFS)             \
	C(SEND, "send", EINTR, EAGAIN, ENOBUFS)                   \
	C(RECVMSG, "recvmsg", EINTR, EAGAIN, ECONNRESET)          \
	C(RECV, "recv", EINTR, EAGAIN, ECONNRESET)                \
	C(SENDTO, "sendto", EINTR, EAGAIN, ENOBUFS)               \
	C(BIND, "bind", ENOMEM)                                   \
	C(LISTEN, "listen", EADDRINUSE)                           \
	C(CONNECT, "connect", ECONNREFUSED)                       \
	C(PREAD, "pread", EINTR, T_SHORT)                         \
	C(PWRITE, "pwrite", EINTR, T_SHORT, ENOSPC)               \
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
static int always[N_CALLS];
static struct t_fail_function functions[T_FAIL_FUNCTIONS];
static size_t n_functions;
static size_t current; /* of functions */

void t_fail_begin(size_t call, int error, unsigned at)
{
	for (size_t i = 0; i < N_CALLS; i++)
		counted[i] = 0;
	chosen = call;
	chosen_error = error;
	chosen_at = at;
	failed = false;
	memset(functions, 0, sizeof(functions));
	n_functions = 1;
	current = 0;
	owner = getpid();
}

void t_fail_always(size_t call, int error)
{
	always[call] = error;
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

void t_fail_in(const char *function)
{
	size_t i = 1;

	if (owner != getpid())
		return;
	while (i < n_functions && strcmp(functions[i].name, function) != 0)
		i++;
	if (i == T_FAIL_FUNCTIONS)
		abort();
	functions[i].name = function;
	functions[i].after = failed;
	n_functions = i < n_functions ? n_functions : i + 1;
	current = i;
}

const struct t_fail_function *t_fail_functions(size_t *ret_n)
{
	*ret_n = n_functions;
	return functions;
}

static _Atomic long live;

long t_fail_live(void)
{
	return live;
}

static void *counted_one(void *allocation)
{
	live += allocation != NULL;
	return allocation;
}

/* The error that this call shall give, or 0. */
static int failure(enum call call)
{
	if (always[call] != 0)
		return always[call];
	if (owner == 0 || owner != getpid())
		return 0;
	unsigned n = atomic_fetch_add(&counted[call], 1);
	functions[current].asked++;
	if (call != chosen || chosen_error == 0 || n != chosen_at)
		return 0;
	failed = true;
	functions[current].hit = true;
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

/* It makes its buffer itself, which is freed by who called. */
ssize_t __real___getdelim(char **line, size_t *size, int end, FILE *file);
ssize_t __wrap___getdelim(char **line, size_t *size, int end, FILE *file);
ssize_t __wrap___getdelim(char **line, size_t *size, int end, FILE *file)
{
	bool had = *line != NULL;
	ssize_t n = __real___getdelim(line, size, end, file);

	live += !had && *line;
	return n;
}

/* May also move half of it, but for counters and signals: these are read whole, or not. */
#define IS_WHOLE(size) ((size) == sizeof(eventfd_t) || (size) == sizeof(struct signalfd_siginfo))
#define WRAP_IO(name, id, parameters, short_arguments, arguments) \
	ssize_t __real_##name parameters;                         \
	ssize_t __wrap_##name parameters;                         \
	ssize_t __wrap_##name parameters                          \
	{                                                         \
		int error = failure(T_##id);                      \
		if (error == T_SHORT && !IS_WHOLE(size))          \
			return __real_##name short_arguments;     \
		if (error > 0) {                                  \
			errno = error;                            \
			return -1;                                \
		}                                                 \
		return __real_##name arguments;                   \
	}

/* What gives memory that is to be freed. */
#define WRAP_MEMORY(type, name, id, parameters, arguments)   \
	type __real_##name parameters;                       \
	type __wrap_##name parameters;                       \
	type __wrap_##name parameters                        \
	{                                                    \
		if (fails(T_##id))                           \
			return NULL;                         \
		return counted_one(__real_##name arguments); \
	}

WRAP_MEMORY(void *, malloc, MALLOC, (size_t size), (size))
WRAP_MEMORY(void *, calloc, CALLOC, (size_t n, size_t size), (n, size))
WRAP_MEMORY(char *, strdup, STRDUP, (const char *text), (text))
WRAP_MEMORY(char *, strndup, STRNDUP, (const char *text, size_t size), (text, size))

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
	if (fails(T_REALLOC))
		return NULL;
	return p ? __real_realloc(p, size) : counted_one(__real_realloc(p, size));
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

WRAP(FILE *, NULL, fopen, FOPEN, (const char *path, const char *mode), (path, mode))
WRAP(DIR *, NULL, opendir, OPENDIR, (const char *path), (path))
WRAP(DIR *, NULL, fdopendir, OPENDIR, (int fd), (fd))
WRAP(int, -1, eventfd, EVENTFD, (unsigned count, int flags), (count, flags))
WRAP(int, -1, timerfd_create, TIMERFD, (int clock, int flags), (clock, flags))
WRAP(int, -1, signalfd, SIGNALFD, (int fd, const sigset_t *signals, int flags),
	(fd, signals, flags))
WRAP(int, -1, mkdir, MKDIR, (const char *path, mode_t mode), (path, mode))
WRAP(int, -1, linkat, LINKAT, (int from, const char *old, int to, const char *new, int flags),
	(from, old, to, new, flags))
WRAP(int, -1, timer_create, TIMER, (clockid_t clock, struct sigevent *event, timer_t *timer),
	(clock, event, timer))
WRAP(int, -1, bind, BIND, (int fd, const struct sockaddr *address, socklen_t size),
	(fd, address, size))
WRAP(int, -1, listen, LISTEN, (int fd, int backlog), (fd, backlog))
WRAP(int, -1, connect, CONNECT, (int fd, const struct sockaddr *address, socklen_t size),
	(fd, address, size))
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
#define WRAP_SOCKET(name, id, parameters, short_arguments, arguments, flags)    \
	ssize_t __real_##name parameters;                                       \
	ssize_t __wrap_##name parameters;                                       \
	ssize_t __wrap_##name parameters                                        \
	{                                                                       \
		int error = failure(T_##id);                                    \
		if (error == T_SHORT)                                           \
			return __real_##name short_arguments;                   \
		if (error == 0 || (error == EAGAIN && !(flags & MSG_DONTWAIT))) \
			return __real_##name arguments;                         \
		errno = error;                                                  \
		return -1;                                                      \
	}

WRAP_SOCKET(sendmsg, SENDMSG, (int fd, const struct msghdr *message, int flags),
	(fd, message, flags), (fd, message, flags), flags)
WRAP_SOCKET(send, SEND, (int fd, const void *data, size_t size, int flags),
	(fd, data, (size + 1) / 2, flags), (fd, data, size, flags), flags)
WRAP_SOCKET(recvmsg, RECVMSG, (int fd, struct msghdr *message, int flags), (fd, message, flags),
	(fd, message, flags), flags)
WRAP_SOCKET(recv, RECV, (int fd, void *data, size_t size, int flags),
	(fd, data, (size + 1) / 2, flags), (fd, data, size, flags), flags)
WRAP_SOCKET(sendto, SENDTO,
	(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
		socklen_t to_size),
	(fd, data, size, flags, to, to_size), (fd, data, size, flags, to, to_size), flags)

/* Only for what makes a descriptor. */
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	if (level == SOL_SOCKET && name == SO_PEERPIDFD && fails(T_PEERPIDFD))
		return -1;
	return __real_getsockopt(fd, level, name, value, size);
}

WRAP_IO(pread, PREAD, (int fd, void *data, size_t size, off_t at), (fd, data, (size + 1) / 2, at),
	(fd, data, size, at))
WRAP_IO(pwrite, PWRITE, (int fd, const void *data, size_t size, off_t at),
	(fd, data, (size + 1) / 2, at), (fd, data, size, at))
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

int __wrap_asprintf(char **ret_text, const char *format, ...) MP__PRINTF(2, 3);
int __wrap_asprintf(char **ret_text, const char *format, ...)
{
	va_list args;

	if (fails(T_ASPRINTF))
		return -1;
	va_start(args, format);
	int n = vasprintf(ret_text, format, args);
	va_end(args);
	live += n >= 0;
	return n;
}

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
