/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/descriptors.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "conn/socket.h"

#include <stdlib.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

void mp__control_fill(
	struct mp__control *control, const int *fds, size_t n_fds, struct msghdr *message)
{
	size_t size = sizeof(int) * n_fds;

	message->msg_control = control->space;
	message->msg_controllen = CMSG_SPACE(size);
	memset(control->space, 0, CMSG_SPACE(size));
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), fds, size);
}

void mp__control_room(struct mp__control *control, struct msghdr *message)
{
	message->msg_control = control->space;
	message->msg_controllen = sizeof(control->space);
}

static int lost(void)
{
	return mp_error_set(-EMFILE, "receiving: no room for the descriptors of a message, it is "
				     "lost; raise RLIMIT_NOFILE");
}

/* Keep one; what cannot be kept is closed. */
static int keep(struct mp__cargo *cargo, int fd)
{
	if (cargo->n_fds == cargo->room) {
		size_t room = cargo->room ? cargo->room * 2 : 8;
		int *fds = realloc(cargo->fds, room * sizeof(*fds));
		if (!fds) {
			close(fd);
			return mp_error_set(-ENOMEM, "no memory for descriptors: they are lost");
		}
		cargo->fds = fds;
		cargo->room = room;
	}
	fd = mp__fd_above_std(fd);
	if (fd < 0)
		return lost();
	cargo->fds[cargo->n_fds++] = fd;
	return 0;
}

int mp__control_take(struct msghdr *message, struct mp__cargo *cargo)
{
	size_t before = cargo->n_fds;
	int r = message->msg_flags & MSG_CTRUNC ? lost() : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET ||
			(c->cmsg_type != SCM_RIGHTS && c->cmsg_type != SCM_PIDFD))
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (r < 0 || c->cmsg_type == SCM_PIDFD)
				close(fd);
			else
				r = keep(cargo, fd);
		}
	}
	if (r < 0) {
		mp__fds_close(cargo->fds + before, cargo->n_fds - before);
		cargo->n_fds = before;
	}
	return r;
}

int mp__envelope_new(const int *fds, size_t n_fds)
{
	int ends[2];

	/* Not blocking: nobody reads while it is filled. */
	int r = mp__socket_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, ends);
	if (r < 0)
		return r;
	MP__AUTO_CLOSE int in = ends[0];
	MP__AUTO_CLOSE int out = ends[1];
	for (size_t at = 0; at < n_fds && r == 0; at += MP__FDS_MAX) {
		size_t n = n_fds - at < MP__FDS_MAX ? n_fds - at : MP__FDS_MAX;
		r = mp__socket_send(in, "", 1, fds + at, n);
	}
	if (r == -EAGAIN)
		return mp_error_set(-EMSGSIZE,
			"sending %zu descriptors in one message: too many; send them in several",
			n_fds);
	if (r < 0)
		return mp_error_set(r, "sending %zu descriptors: %s", n_fds, strerrordesc_np(-r));
	return MP__TAKE_FD(out);
}

static int bad_envelope(void)
{
	return mp_error_set(-EBADMSG, "a message is damaged: descriptors are missing");
}

int mp__envelope_open(int envelope, size_t n_fds, struct mp__cargo *cargo)
{
	struct mp__control control;
	char byte;

	if (mp__socket_is_packet(envelope) != 1)
		return bad_envelope();
	while (cargo->n_fds < n_fds) {
		struct iovec iov = {.iov_base = &byte, .iov_len = 1};
		struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
		size_t before = cargo->n_fds;
		mp__control_room(&control, &message);
		ssize_t n = recvmsg(envelope, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bad_envelope();
		int r = mp__control_take(&message, cargo);
		if (r < 0)
			return r;
		if (cargo->n_fds == before)
			return bad_envelope();
	}
	return cargo->n_fds == n_fds ? 0 : bad_envelope();
}
