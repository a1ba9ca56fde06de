/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/fds.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLIND_NS 10000000L

int mp__fd_dup(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? mp__error_errno("duplicating a descriptor") : copy;
}

int mp__fd_above_std(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int err = errno;
	close(fd);
	errno = err;
	return copy;
}

int mp__socket_pair(int type, int *ret_ends)
{
	int ends[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
		return mp__error_errno("socket pair");
	for (int i = 0; i < 2; i++) {
		ends[i] = mp__fd_above_std(ends[i]);
		if (ends[i] < 0) {
			int r = mp__error_errno("socket pair");
			mp__fds_close(ends, 2);
			return r;
		}
	}
	memcpy(ret_ends, ends, sizeof(ends));
	return 0;
}

int mp__write_full(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int mp__fd_wait(int fd, short events, mp__deadline deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int n = poll(&p, 1, mp__deadline_poll_ms(deadline));
		if (n > 0)
			return p.revents & POLLNVAL
				       ? mp_error_set(-EBADF, "descriptor %d is not open", fd)
				       : 0;
		if (n < 0 && errno != EINTR && errno != ENOMEM)
			return mp__error_errno("waiting for a descriptor");
		/* What cannot be seen has not happened yet: nobody takes the living for dead. */
		bool blind = n < 0 && errno == ENOMEM;
		if ((n == 0 || blind) && mp__deadline_passed(deadline))
			return -ETIMEDOUT;
		if (blind)
			nanosleep(&(struct timespec){.tv_nsec = BLIND_NS}, NULL);
	}
}

int mp__socket_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * MP__FDS_MAX)];
	} control;
	struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > MP__FDS_MAX)
		return -EMSGSIZE;
	if (n_fds > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	for (;;) {
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
		if (n == (ssize_t)size)
			return 0;
		if (n >= 0) /* only a stream socket whose buffer is smaller than the message */
			return -EMSGSIZE;
		if (errno == ENOBUFS)
			return mp_error_set(-ENOMEM, "sending over a socket: the kernel has no "
						     "memory for it; try again later");
		if (errno != EINTR)
			return -errno;
	}
}

/* Take the descriptors out of a received message: into fds while there is room, closed otherwise. */
static int take_fds(struct msghdr *message, int *fds, size_t *n_fds)
{
	size_t room = *n_fds;
	size_t n = 0;
	int r = message->msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < room) {
				fd = mp__fd_above_std(fd);
				if (fd >= 0)
					fds[n++] = fd;
				else
					r = -EMSGSIZE;
			} else {
				close(fd);
				r = -EMSGSIZE;
			}
		}
	}
	if (r < 0)
		mp__fds_close(fds, n);
	else
		*n_fds = n;
	return r;
}

ssize_t mp__socket_receive(int fd, void *data, size_t size, int *fds, size_t *n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * MP__FDS_MAX)];
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t n;

	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	int r = take_fds(&message, fds, n_fds);
	return r < 0 ? r : n;
}

uint64_t mp__file_size_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

int mp__memfd_sealed(const char *name, const void *data, size_t size)
{
	MP__AUTO_CLOSE int fd =
		mp__fd_above_std(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));

	if (fd < 0)
		return mp__error_errno("making a memfd");
	if (size > mp__file_size_limit())
		return mp_error_set(-EMSGSIZE,
			"a memfd of %zu bytes is more than RLIMIT_FSIZE allows: raise it", size);
	/* write(2) allocates the pages: a full /dev/shm is an error here, no SIGBUS later. */
	int r = mp__write_full(fd, data, size);
	if (r < 0)
		return mp_error_set(r, "writing %zu bytes to a memfd: %s", size, mp_strerror(r));
	if (lseek(fd, 0, SEEK_SET) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) <
			0)
		return mp__error_errno("sealing a memfd");
	return MP__TAKE_FD(fd);
}

void mp__fds_close(int *fds, size_t n_fds)
{
	for (size_t i = 0; i < n_fds; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

int mp__pidfd_open(pid_t pid)
{
	int fd = mp__fd_above_std((int)syscall(SYS_pidfd_open, pid, 0));

	return fd < 0 ? mp__error_errno("opening a pidfd") : fd;
}

int mp__pidfd_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int mp__pidfd_open_child(pid_t pid)
{
	/* The child is ours and unreaped: its pid cannot have gone to another process. */
	int pidfd = mp__pidfd_open(pid);

	if (pidfd < 0 && pidfd != -ESRCH) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return pidfd;
}

siginfo_t mp__pidfd_reap(int pidfd)
{
	siginfo_t info = {0};

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	return info;
}
