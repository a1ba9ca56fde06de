/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/report.h"

#include "base/cleanup.h"
#include "base/fds.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define EXIT_SIZE (offsetof(struct mp__report, usage) + sizeof(struct rusage))

int mp__report_pair(int *ret_ends)
{
	/* Whoever needs to wait, polls. */
	return mp__socket_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, ret_ends);
}

int mp__report_next(int fd, struct mp__report *ret_report, int *ret_pidfd)
{
	struct mp__report report;
	MP__AUTO_CLOSE int pidfd = -1;
	size_t n_fds = 1;

	memset(&report, 0, sizeof(report));
	ssize_t n = mp__socket_receive(fd, &report, sizeof(report), &pidfd, &n_fds);
	/* Said once, of an end that left without having read everything; what it said comes next. */
	if (n == -ECONNRESET)
		n = mp__socket_receive(fd, &report, sizeof(report), &pidfd, &n_fds);
	if (n == 0 || n == -ECONNRESET)
		return -EPIPE;
	if (n < 0)
		return (int)n;
	if (n_fds == 0)
		pidfd = -1;
	if ((size_t)n < offsetof(struct mp__report, text) || report.kind < MP__REPORT_READY ||
		report.kind > MP__REPORT_EXIT ||
		(report.kind == MP__REPORT_EXIT && (size_t)n != EXIT_SIZE))
		return mp_error_set(-EBADMSG, "report of a child: %zd bytes of kind %u", n,
			(unsigned)report.kind);
	if (report.kind != MP__REPORT_EXIT)
		report.text[sizeof(report.text) - 1] = '\0';
	*ret_report = report;
	*ret_pidfd = MP__TAKE_FD(pidfd);
	return 0;
}

struct mp__report_end mp__report_end_of(int fd)
{
	struct mp__report_end end = {.fd = -1};
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		end.fd = fd;
		end.device = st.st_dev;
		end.inode = st.st_ino;
	}
	return end;
}

static int send_report(int fd, enum mp__report_kind kind, int value, const char *text,
	const int *fds, size_t n_fds)
{
	struct mp__report report = {.kind = kind, .value = value};

	strncpy(report.text, text, sizeof(report.text) - 1);
	size_t size = offsetof(struct mp__report, text) + strlen(report.text) + 1;
	return mp__socket_send(fd, &report, size, fds, n_fds);
}

int mp__report_ready(const struct mp__report_end *end)
{
	MP__AUTO_CLOSE int pidfd = mp__pidfd_open(getpid());

	if (pidfd < 0) {
		mp__report_failed(end, pidfd);
		return pidfd;
	}
	return send_report(end->fd, MP__REPORT_READY, getpid(), "", &pidfd, 1);
}

void mp__report_failed(const struct mp__report_end *end, int result)
{
	if (end->fd >= 0)
		send_report(end->fd, MP__REPORT_FAILED, result, mp_error_detail(), NULL, 0);
}

void mp__report_left(const struct mp__report_end *end, int code)
{
	struct mp__report_end now = mp__report_end_of(end->fd);

	if (now.fd >= 0 && now.device == end->device && now.inode == end->inode)
		send_report(end->fd, MP__REPORT_LEFT, code, "", NULL, 0);
}

void mp__report_exit(int fd, int wait_status, const struct rusage *usage)
{
	struct mp__report report = {.kind = MP__REPORT_EXIT, .value = wait_status};

	memcpy(&report.usage, usage, sizeof(*usage));
	mp__socket_send(fd, &report, EXIT_SIZE, NULL, 0);
}
