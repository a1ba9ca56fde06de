/* SPDX-License-Identifier: MIT */
/* conn/address.h - addresses of listeners: text to socket address and back. */
#ifndef MP_CONN_ADDRESS_H
#define MP_CONN_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A name may stand for several; more are not tried. */
#define MP__ENDPOINTS_MAX 8

struct mp__endpoint {
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} at;
	socklen_t size;
	int type; /* SOCK_SEQPACKET over Unix sockets, SOCK_STREAM over TCP */
};

/* Is it a Unix socket with a file? */
bool mp__endpoint_has_file(const struct mp__endpoint *endpoint);

/*
 * How many were stored, at least 1. `passive`: to listen at. -EINVAL, -ENAMETOOLONG,
 * -EADDRNOTAVAIL unknown host, -ENOMEM.
 */
int mp__endpoint_parse(
	const char *text, bool passive, struct mp__endpoint ret_endpoints[MP__ENDPOINTS_MAX]);

/* Like snprintf. */
int mp__endpoint_format(const struct mp__endpoint *endpoint, char *buffer, size_t size);

#endif
