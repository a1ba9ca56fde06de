/* SPDX-License-Identifier: MIT */
/*
 * serve/listener.h - the socket with a name.
 *
 * A name on which somebody answers is left alone; one that a killed daemon left behind is taken
 * over. Between looking and taking, the directory is locked against other managerds. At the end the
 * name goes if it is still ours.
 */
#ifndef SERVE_LISTENER_H
#define SERVE_LISTENER_H

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#define SERVE_GROUP_NONE ((gid_t)-1)

struct serve_listener {
	int fd;
	int spare; /* given up to get rid of a connection when descriptors run out */
	struct sockaddr_un address;
	dev_t device; /* of the name, to know it again */
	ino_t inode;
};

/*
 * Who may open the socket: `mode`, and `group` if it is not SERVE_GROUP_NONE; who may use what is
 * behind it is decided apart from that, connection by connection. A directory that is missing is
 * made: for us alone, or for the group to pass through.
 *
 * -EADDRINUSE somebody answers there; -EEXIST something there is no socket; -EPERM others may write
 * to the directory; -ETIMEDOUT somebody keeps the directory locked; and what the system says. The sentence is in mp_error_detail().
 */
int serve_listener_open(
	struct serve_listener *listener, const char *path, mode_t mode, gid_t group);
/* One that somebody else has made, and removes; the descriptor is taken. */
void serve_listener_adopt(struct serve_listener *listener, int fd);
void serve_listener_close(struct serve_listener *listener);

/*
 * A connection, close-on-exec; -EAGAIN none; -EMFILE one had to be turned away. Any other error: not
 * even that could be done now; who waits is still there.
 */
int serve_listener_accept(struct serve_listener *listener);

#endif
