/* SPDX-License-Identifier: MIT */
/*
 * conn/listener.h - a listener inside, and the place where it listens.
 *
 * listener.c makes and ends it, place.c finds and frees its address, accept.c does the work: all
 * who have connected and not begun yet stand in one epoll set with the listening socket, and
 * mp_listener_accept() serves whoever of them says something. There is no thread behind that.
 */
#ifndef MP_CONN_LISTENER_H
#define MP_CONN_LISTENER_H

#include "base/deadline.h"
#include "base/fork_lock.h"
#include "base/origin.h"
#include "conn/address.h"
#include "conn/handshake.h"

#include <mp/listener.h>

/* Who has connected and is at its handshake. */
struct mp__guest {
	int fd; /* -1: a free place */
	mp__deadline deadline;
	struct mp__handshake handshake;
};

/* A bound socket and what has to be cleaned up with it. */
struct mp__place {
	int fd;
	struct mp__endpoint at;
	char *directory; /* made for it, or NULL */
	dev_t device;    /* of the socket's file */
	ino_t inode;
	char *text; /* the address as others open it */
};

struct mp_listener {
	mp__origin maker; /* the process that cleans up */
	struct mp__place place;
	void *key; /* NULL: none */
	size_t key_size;
	size_t max_message;
	int handshake_ms;

	/* Under the lock, and anew in each process. */
	struct mp__fork_lock lock;
	int epoll;
	int spare; /* given up for a moment when there are no descriptors */
	struct mp__guest *guests;
	size_t max_guests;
	mp_listener_stats stats;
};

/* Bind and listen. What mp_listener_new() says about addresses. */
int mp__place_open(const char *address, int backlog, unsigned int mode, struct mp__place *ret);
/* `remove`: the file too, if it is still ours. */
void mp__place_close(struct mp__place *place, bool remove);

/* In the lock, or alone: there is an epoll set. 0, -EMFILE, -ENOMEM. */
int mp__listener_ensure(struct mp_listener *listener);
/* Take the lock, in a forked child with nothing of the parent's in it. */
int mp__listener_take(struct mp_listener *listener, mp__deadline deadline);

/* A descriptor to give up when there are no others; -1 with errno. */
int mp__listener_spare(void);

#endif
