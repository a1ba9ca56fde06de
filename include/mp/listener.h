/* SPDX-License-Identifier: MIT */
/*
 * mp/listener.h - connections between programs that are not related.
 *
 *	mp_listener_new("unix:/run/app/socket", NULL, &listener);	one program
 *	mp_listener_accept(listener, MP_FOREVER, &connection);
 *
 *	mp_connection_open("unix:/run/app/socket", NULL, 1000, &connection);	the others
 *
 * Addresses: "unix:/path" a Unix socket in the file system; "unix:@name" one without a file, open
 * to all users of the machine; "tcp:host:port" and "tcp:[::1]:port", where port 0 lets the kernel
 * choose.
 *
 * With a key both sides prove that they know it (HMAC-SHA256); what follows is not encrypted. Who
 * connects and then says nothing, or nonsense, holds up nobody: accept works on all that have
 * connected at once.
 *
 * A listener may be used from any thread. In a forked child it works too: parent and child share
 * those who connect. Only the process that made it removes the file of its socket.
 */
#ifndef MP_LISTENER_H
#define MP_LISTENER_H

#include <mp/connection.h>

MP__BEGIN_DECLS

typedef struct mp_listener mp_listener;

typedef struct mp_listener_options {
	size_t size;         /* set by MP_LISTENER_OPTIONS() */
	uint64_t flags;      /* none yet: others than 0 are -EINVAL */
	const void *authkey; /* both sides prove that they know it; NULL: no key */
	size_t authkey_size; /* may be 0: an empty key is a key */
	size_t max_message;  /* of the connections; 0: 64 MiB */
	int handshake_ms;    /* how long who connects may take to begin; 0: 10 s */
	int max_handshakes;  /* how many may be at it; the oldest has to go. 0: 128 */
	int backlog;         /* how many the kernel keeps for accept; 0: 128 */
	unsigned int mode;   /* permissions of the socket's file; 0: 0600 */
} mp_listener_options;

#define MP_LISTENER_OPTIONS(...) \
	(&(const mp_listener_options){.size = sizeof(mp_listener_options), __VA_ARGS__})

/*
 * Listen at an address; NULL: a Unix socket in a new directory that only this user can enter. A
 * socket that is left over from a program that has died is replaced; one where somebody listens is
 * -EADDRINUSE. -EINVAL no such form of address, a bad option; -E2BIG; -ENAMETOOLONG; -EEXIST the
 * path is a file and no socket; -EADDRNOTAVAIL not an address of this machine, an unknown host;
 * -ENOTSUP a key, in a libmp without; -EMFILE; -ENOMEM; -EACCES, -ENOENT and what else bind(2)
 * says.
 */
int mp_listener_new(
	const char *address, const mp_listener_options *options, mp_listener **ret_listener);

/* Where it listens, as others open it: with the port that was chosen. Valid until it is closed. */
const char *mp_listener_address(mp_listener *listener);

/*
 * Wait for the next who connects and has proved the key. Those who fail are dropped, counted and
 * logged; that is no error here. -EAGAIN with MP_NOWAIT: none is ready; -ETIMEDOUT; -EINVAL no
 * handle; -EMFILE, -ENOMEM.
 */
int mp_listener_accept(mp_listener *listener, int timeout_ms, mp_connection **ret_connection);

/*
 * A descriptor that polls readable when mp_listener_accept() has something to do; with MP_NOWAIT it
 * may still find nobody ready. It belongs to the listener; a forked child asks for its own.
 */
int mp_listener_fileno(mp_listener *listener);

typedef struct mp_listener_stats {
	size_t size;       /* sizeof this struct, set by the caller */
	uint64_t accepted; /* given by mp_listener_accept() */
	uint64_t refused;  /* wrong key, none, or one that was not wanted */
	uint64_t broken;   /* said nonsense, or left */
	uint64_t late;     /* did not begin in time, or had to make room for others */
	uint64_t dropped;  /* there was no descriptor or memory for them */
	uint64_t pending;  /* at it now */
} mp_listener_stats;

/* Counts of this process since the start (in a forked child: since the fork). -EINVAL a bad size. */
int mp_listener_get_stats(mp_listener *listener, mp_listener_stats *ret_stats);

/* Stop listening, remove the file of the socket. NULL is allowed. Returns 0. */
int mp_listener_close(mp_listener *listener);

/*
 * Connect to a listener, and with a key prove it and have it proved; that waits until the listener
 * accepts. Without a key it does not: that the listener wants one is told by the first receive.
 * -EKEYREJECTED the keys differ, or the listener has none; -ENOENT no such socket; -ECONNREFUSED
 * nobody listens; -EACCES; -EADDRNOTAVAIL unknown host; -EPIPE the listener dropped us; -EPROTO it
 * speaks no such protocol; -EAGAIN MP_NOWAIT, -ETIMEDOUT; -EINVAL, -E2BIG, -ENAMETOOLONG, -ENOTSUP,
 * -EMFILE, -ENOMEM, and what else connect(2) says.
 */
int mp_connection_open(const char *address, const mp_connection_options *options, int timeout_ms,
	mp_connection **ret_connection);

/*
 * The address of the other side: "tcp:192.0.2.7:4711", "unix:/path", "unix:" when it has no name.
 * Like snprintf: at most `size` bytes with the NUL, returns the length it wanted to write. -EINVAL,
 * -ENOTCONN the other side has gone.
 */
int mp_connection_peer_address(mp_connection *connection, char *buffer, size_t size);

MP__END_DECLS

#endif
