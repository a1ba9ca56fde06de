/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "shm/watch.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/testpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ADDRESS_SHIFT 10
#define BUCKET_MASK (MP__WATCH_BUCKETS - 1)
/* How often a number is tried that somebody has already: with so many free ones, never. */
#define TRIES 16
/* So many messages are taken out at a time: more come only from who floods. */
#define HEAR_MAX 1024u

/* --- addresses ------------------------------------------------------------------------------------ */

/* "\0libmp-bell-" and the number, without stdio: a signal handler may be the caller. */
static socklen_t address_of(uint32_t id, struct sockaddr_un *address)
{
	static const char prefix[] = "\0libmp-bell-";
	char *to = address->sun_path;

	address->sun_family = AF_UNIX;
	memcpy(to, prefix, sizeof(prefix) - 1);
	to += sizeof(prefix) - 1;
	for (int shift = 28; shift >= 8; shift -= 4)
		*to++ = "0123456789abcdef"[(id & ~BUCKET_MASK) >> shift & 15];
	return (socklen_t)(to - (char *)address);
}

static int new_socket(void)
{
	return mp__fd_above_std(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* False: the kernel knows nobody at this address. */
static bool is_somebody(int fd, uint32_t id)
{
	struct sockaddr_un address;
	socklen_t size = address_of(id, &address);

	return connect(fd, (struct sockaddr *)&address, size) == 0 || errno != ECONNREFUSED;
}

/* --- who changes the state ------------------------------------------------------------------------ */

static void send_to(int fd, uint32_t id)
{
	const uint16_t bucket = id & BUCKET_MASK;
	struct sockaddr_un address;
	socklen_t size = address_of(id, &address);

	/* No room: it has not looked yet at what is there. Nobody: it has left, or is elsewhere. */
	(void)sendto(fd, &bucket, sizeof(bucket), MSG_DONTWAIT | MSG_NOSIGNAL,
		(struct sockaddr *)&address, size);
}

void mp__watch_ring(struct mp__watch *watch)
{
	int saved_errno = errno;
	MP__AUTO_CLOSE int fd = -1;

	for (unsigned i = 0; i < MP__WATCH_CELLS; i++) {
		if (atomic_load(&watch->cells[i]) == 0)
			continue;
		uint32_t id = atomic_exchange(&watch->cells[i], 0);
		MP__TEST_POINT("watch.taken");
		/*
		 * Made for the occasion: one that is kept could be closed by the program, and its
		 * number be something else's. It takes a tenth of what the wake-up does.
		 */
		if (id != 0 && fd < 0)
			fd = new_socket();
		if (id != 0 && fd >= 0)
			send_to(fd, id);
	}
	errno = saved_errno;
}

void mp__watched_bell_ring_slowly(struct mp__watched_bell *bell, int count)
{
	mp__bell_ring_slowly(&bell->bell, count);
	mp__watch_ring(&bell->watch);
}

/* --- doorbells ------------------------------------------------------------------------------------ */

/* How many messages wait in a socket before the next is refused; 0 if it can't be said. */
static unsigned queue_length(void)
{
	char text[16] = "";

	MP__AUTO_CLOSE int fd = open("/proc/sys/net/unix/max_dgram_qlen", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	long n = strtol(text, NULL, 10);
	return n > 0 && n < HEAR_MAX ? (unsigned)n : n > 0 ? HEAR_MAX : 0;
}

int mp__doorbell_open(struct mp__doorbell *ret_doorbell)
{
	MP__AUTO_CLOSE int fd = new_socket();
	struct sockaddr_un address;

	if (fd < 0)
		return mp__error_errno("making a doorbell");
	for (int tries = 0; tries < TRIES; tries++) {
		uint32_t id = 0;
		if (getrandom(&id, sizeof(id), GRND_NONBLOCK) < (ssize_t)sizeof(id))
			id = (uint32_t)mp__now_ns() * UINT32_C(2654435761) + (uint32_t)getpid();
		id &= ~BUCKET_MASK;
		if (id == 0)
			continue;
		socklen_t size = address_of(id, &address);
		if (bind(fd, (struct sockaddr *)&address, size) == 0) {
			*ret_doorbell = (struct mp__doorbell){
				.fd = MP__TAKE_FD(fd), .id = id, .room = queue_length()};
			return 0;
		}
		if (errno != EADDRINUSE)
			break;
	}
	return mp__error_errno("giving a doorbell an address");
}

void mp__doorbell_close(struct mp__doorbell *doorbell)
{
	close(doorbell->fd);
	doorbell->fd = -1;
}

void mp__doorbell_ring(const struct mp__doorbell *doorbell)
{
	send_to(doorbell->fd, doorbell->id);
}

bool mp__doorbell_hear(
	const struct mp__doorbell *doorbell, uint64_t buckets[MP__WATCH_BUCKETS / 64])
{
	unsigned heard = 0;
	uint16_t bucket;

	for (; heard < HEAR_MAX; heard++) {
		ssize_t n = recv(doorbell->fd, &bucket, sizeof(bucket), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (buckets && n == sizeof(bucket))
			buckets[(bucket & BUCKET_MASK) / 64] |= UINT64_C(1) << bucket % 64;
	}
	return heard >= doorbell->room;
}

/* --- cells ----------------------------------------------------------------------------------------- */

static bool claim(struct mp__watch *watch, uint32_t id)
{
	for (unsigned i = 0; i < MP__WATCH_CELLS; i++) {
		uint32_t there = 0;
		if (atomic_load(&watch->cells[i]) == 0 &&
			atomic_compare_exchange_strong(&watch->cells[i], &there, id))
			return true;
	}
	return false;
}

/* Give up cells whose waiters are no more. */
static void clear_dead(struct mp__watch *watch)
{
	MP__AUTO_CLOSE int fd = new_socket();

	for (unsigned i = 0; fd >= 0 && i < MP__WATCH_CELLS; i++) {
		uint32_t id = atomic_load(&watch->cells[i]);
		if (id != 0 && !is_somebody(fd, id))
			atomic_compare_exchange_strong(&watch->cells[i], &id, 0);
	}
}

bool mp__watch_arm(struct mp__watch *watch, uint32_t id)
{
	for (unsigned i = 0; i < MP__WATCH_CELLS; i++)
		if (atomic_load(&watch->cells[i]) == id)
			return true;
	if (claim(watch, id))
		return true;
	clear_dead(watch);
	return claim(watch, id);
}

void mp__watch_disarm(struct mp__watch *watch, uint32_t id)
{
	for (unsigned i = 0; i < MP__WATCH_CELLS; i++) {
		uint32_t there = id;
		if (atomic_load(&watch->cells[i]) == id)
			atomic_compare_exchange_strong(&watch->cells[i], &there, 0);
	}
}

bool mp__watch_is_used(struct mp__watch *watch)
{
	clear_dead(watch);
	for (unsigned i = 0; i < MP__WATCH_CELLS; i++)
		if (atomic_load(&watch->cells[i]) != 0)
			return true;
	return false;
}
