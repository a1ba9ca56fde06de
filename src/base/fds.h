/* SPDX-License-Identifier: MIT */
/*
 * base/fds.h - descriptors: made close-on-exec, read and written whole, waited for with a deadline.
 */
#ifndef MP_BASE_FDS_H
#define MP_BASE_FDS_H

#include "base/deadline.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* SCM_MAX_FD: as many descriptors as the kernel lets travel in one message. */
#define MP__FDS_MAX 253

/* A duplicate, close-on-exec and above 2. -errno. */
int mp__fd_dup(int fd);

/*
 * What a system call just gave, moved above 2 if it is not: where a program has closed its standard
 * descriptors, what it prints must not go into one of ours, and a child's /dev/null not take its
 * place. Below 0, with errno, is passed on; closed if there is no room, as -1.
 */
int mp__fd_above_std(int fd);

/* socketpair(2) of Unix sockets, close-on-exec and above 2; `type` may have SOCK_NONBLOCK. */
int mp__socket_pair(int type, int *ret_ends);

/* Write exactly `size` bytes to a blocking descriptor. */
int mp__write_full(int fd, const void *data, size_t size);

/*
 * Wait until poll(2) reports one of `events`, an error or a hang-up: 0; or -ETIMEDOUT without a
 * sentence, since what was waited for is the caller's to say. -EBADF. While the kernel has no memory
 * for poll(2), nothing has happened.
 */
int mp__fd_wait(int fd, short events, mp__deadline deadline);

/*
 * One message over a Unix socket, with up to MP__FDS_MAX descriptors. Send: 0 or -errno, everything
 * or nothing; no SIGPIPE. Receive: the number of bytes, 0 at end of file; *n_fds is the room on
 * entry and the number received on return, all close-on-exec; -EMSGSIZE if data or descriptors
 * were cut, and then none is kept. Both wait as the socket's blocking mode says.
 */
int mp__socket_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds);
ssize_t mp__socket_receive(int fd, void *data, size_t size, int *fds, size_t *n_fds);

/* RLIMIT_FSIZE; it counts for memfds too, and writing beyond it would be SIGXFSZ. */
uint64_t mp__file_size_limit(void);

/*
 * A memfd with exactly these bytes, sealed against every change: the receiver may trust that its
 * size and content stay. Offset 0.
 */
int mp__memfd_sealed(const char *name, const void *data, size_t size);

/* Close every descriptor of the array and set it to -1. */
void mp__fds_close(int *fds, size_t n_fds);

/* pidfd_open(2), pidfd_send_signal(2): -errno. */
int mp__pidfd_open(pid_t pid);
int mp__pidfd_signal(int pidfd, int signal);

/*
 * The pidfd of a child that this process has just made. Without one (too many open files) the child
 * cannot stay: it is killed and reaped. -ESRCH: it has ended, and somebody who ignores SIGCHLD or
 * waits for all children has it already.
 */
int mp__pidfd_open_child(pid_t pid);

/* Wait until a child has ended, and reap it. si_pid is 0 if somebody else has. */
siginfo_t mp__pidfd_reap(int pidfd);

#endif
