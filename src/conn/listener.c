/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/listener.h"

#include "base/error.h"
#include "base/fds.h"
#include "base/options.h"
#include "conn/connection.h"
#include "conn/hmac.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define HANDSHAKE_MS 10000
#define GUESTS 128
#define GUESTS_MAX 65536
#define BACKLOG 128
#define MODE 0600

static int load_options(const mp_listener_options *options, mp_listener_options *o)
{
	int r = mp__options_load(o, sizeof(*o), 0, options);

	if (r < 0)
		return r;
	if (!o->authkey && o->authkey_size > 0)
		return mp_error_set(-EINVAL, "a key of %zu bytes at NULL", o->authkey_size);
	if (o->handshake_ms < 0 || o->max_handshakes < 0 || o->max_handshakes > GUESTS_MAX ||
		o->backlog < 0)
		return mp_error_set(-EINVAL,
			"a new listener: handshake_ms %d, max_handshakes %d or backlog %d is out "
			"of range",
			o->handshake_ms, o->max_handshakes, o->backlog);
	if (o->mode & ~0777u || o->max_message > SSIZE_MAX)
		return mp_error_set(-EINVAL,
			"a new listener: mode %#o or max_message %zu is out of range", o->mode,
			o->max_message);
	o->handshake_ms = o->handshake_ms ? o->handshake_ms : HANDSHAKE_MS;
	o->max_handshakes = o->max_handshakes ? o->max_handshakes : GUESTS;
	o->backlog = o->backlog ? o->backlog : BACKLOG;
	o->mode = o->mode ? o->mode : MODE;
	return o->authkey ? mp__hmac_available() : 0;
}

static int no_memory(void)
{
	return mp_error_set(-ENOMEM, "no memory for a listener");
}

int mp__listener_spare(void)
{
	return mp__fd_above_std(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* What belongs to one process only. */
static int furnish(mp_listener *l, const mp_listener_options *o)
{
	l->guests = calloc((size_t)o->max_handshakes, sizeof(*l->guests));
	if (!l->guests)
		return no_memory();
	l->max_guests = (size_t)o->max_handshakes;
	for (size_t i = 0; i < l->max_guests; i++)
		l->guests[i].fd = -1;
	if (o->authkey) {
		l->key_size = o->authkey_size;
		l->key = malloc(l->key_size + 1);
		if (!l->key)
			return no_memory();
		memcpy(l->key, o->authkey, l->key_size);
	}
	l->spare = mp__listener_spare();
	return l->spare < 0 ? mp__error_errno("a listener's spare descriptor") : 0;
}

static void destroy(mp_listener *l)
{
	for (size_t i = 0; i < l->max_guests; i++) {
		if (l->guests[i].fd >= 0)
			close(l->guests[i].fd);
	}
	if (l->epoll >= 0)
		close(l->epoll);
	if (l->spare >= 0)
		close(l->spare);
	mp__place_close(&l->place, mp__origin_is_here(l->maker));
	if (l->key)
		explicit_bzero(l->key, l->key_size);
	free(l->key);
	free(l->guests);
	free(l);
}

int mp_listener_new(
	const char *address, const mp_listener_options *options, mp_listener **ret_listener)
{
	mp_listener_options o;

	if (!ret_listener)
		return mp__conn_no_place();
	int r = load_options(options, &o);
	if (r < 0)
		return r;
	mp_listener *l = calloc(1, sizeof(*l));
	if (!l)
		return no_memory();
	mp__fork_lock_init(&l->lock);
	l->maker = mp__origin_here();
	l->place.fd = l->epoll = l->spare = -1;
	l->handshake_ms = o.handshake_ms;
	l->max_message = o.max_message;
	r = furnish(l, &o);
	if (r == 0)
		r = mp__place_open(address, o.backlog, o.mode, &l->place);
	if (r == 0)
		r = mp__listener_ensure(l);
	if (r < 0) {
		destroy(l);
		return r;
	}
	*ret_listener = l;
	return 0;
}

/* --- in the lock ------------------------------------------------------------------------------ */

int mp__listener_ensure(mp_listener *l)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};

	if (l->epoll >= 0)
		return 0;
	int epoll = mp__fd_above_std(epoll_create1(EPOLL_CLOEXEC));
	if (epoll < 0)
		return mp__error_errno("a listener's epoll set");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, l->place.fd, &event) < 0) {
		int r = mp__error_errno("a listener's epoll set");
		close(epoll);
		return r;
	}
	l->epoll = epoll;
	return 0;
}

/* The parent's guests and epoll set: only our copies of the descriptors go. */
static void reset(mp_listener *l)
{
	for (size_t i = 0; i < l->max_guests; i++) {
		if (l->guests[i].fd >= 0)
			close(l->guests[i].fd);
		l->guests[i].fd = -1;
	}
	if (l->epoll >= 0)
		close(l->epoll);
	l->epoll = -1;
	memset(&l->stats, 0, sizeof(l->stats));
}

int mp__listener_take(mp_listener *l, mp__deadline deadline)
{
	if (!l)
		return mp_error_set(-EINVAL, "no listener: the pointer is NULL");
	int r = mp__fork_lock_take(&l->lock, deadline);
	if (r < 0)
		return mp_error_set(r, "accepting: another thread has been at it all the time");
	if (r > 0)
		reset(l);
	r = mp__listener_ensure(l);
	if (r < 0)
		mp__fork_lock_release(&l->lock);
	return r;
}

/* --- the rest --------------------------------------------------------------------------------- */

const char *mp_listener_address(mp_listener *l)
{
	return l ? l->place.text : NULL;
}

int mp_listener_fileno(mp_listener *l)
{
	int r = mp__listener_take(l, MP__DEADLINE_NEVER);

	if (r < 0)
		return r;
	r = l->epoll;
	mp__fork_lock_release(&l->lock);
	return r;
}

int mp_listener_get_stats(mp_listener *l, mp_listener_stats *ret_stats)
{
	if (!ret_stats || ret_stats->size < sizeof(size_t) || ret_stats->size > sizeof(*ret_stats))
		return mp_error_set(-EINVAL, "stats: set size to that of the struct");
	int r = mp__listener_take(l, MP__DEADLINE_NEVER);
	if (r < 0)
		return r;
	mp_listener_stats stats = l->stats;
	stats.size = ret_stats->size;
	for (size_t i = 0; i < l->max_guests; i++)
		stats.pending += l->guests[i].fd >= 0;
	memcpy(ret_stats, &stats, stats.size);
	mp__fork_lock_release(&l->lock);
	return 0;
}

int mp_listener_close(mp_listener *l)
{
	if (l)
		destroy(l);
	return 0;
}
