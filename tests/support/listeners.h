/* SPDX-License-Identifier: MIT */
/* tests/support/listeners.h - a listener of each family, and what it counts. */
#ifndef TESTS_SUPPORT_LISTENERS_H
#define TESTS_SUPPORT_LISTENERS_H

#include "tests/support/place.h"
#include "tests/support/support.h"

#include "conn/address.h"

#include <mp.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY(text) .authkey = (text), .authkey_size = strlen(text)

static char directory[T_PLACE_SIZE];

/* A path of this test. */
static inline const char *unix_path(void)
{
	static char address[96];

	t_place_make(directory);
	snprintf(address, sizeof(address), "unix:%s/s", directory);
	return address;
}

static inline const char *abstract_name(void)
{
	static char address[64];

	snprintf(address, sizeof(address), "unix:@libmp-test-%d", (int)getpid());
	return address;
}

/* Each family: private directory, path, abstract, TCP of both versions. */
#define FAMILIES 5
static inline const char *family(int i)
{
	switch (i) {
	case 1:
		return unix_path();
	case 2:
		return abstract_name();
	case 3:
		return "tcp:127.0.0.1:0";
	case 4:
		return "tcp:[::1]:0";
	default:
		return NULL;
	}
}

static inline void end_family(int i)
{
	if (i == 1)
		cr_assert_eq(rmdir(directory), 0, "%s is not empty", directory);
}

/* Not every machine has IPv6. */
static inline mp_listener *listen_at(int i, const mp_listener_options *options)
{
	mp_listener *l = NULL;

	int r = mp_listener_new(family(i), options, &l);
	if (i == 4 && (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT))
		return NULL;
	T_OK(r);
	return l;
}

static inline mp_listener_stats stats(mp_listener *l)
{
	mp_listener_stats s = {.size = sizeof(s)};

	T_OK(mp_listener_get_stats(l, &s));
	return s;
}

/* A guest that has said nothing. */
static inline int bare_connect(mp_listener *l)
{
	struct mp__endpoint ends[MP__ENDPOINTS_MAX];

	cr_assert_geq(mp__endpoint_parse(mp_listener_address(l), false, ends), 1);
	int fd = socket(ends[0].at.any.sa_family, ends[0].type | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	T_OK(connect(fd, &ends[0].at.any, ends[0].size));
	return fd;
}

static inline void expect_works(mp_listener *l)
{
	mp_connection *a, *b;

	T_OK(mp_connection_open(mp_listener_address(l), NULL, T_TIMEOUT_MS, &a));
	T_OK(mp_listener_accept(l, T_TIMEOUT_MS, &b));
	mp_connection_close(a);
	mp_connection_close(b);
}

#endif
