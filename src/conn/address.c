/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/address.h"

#include "base/error.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define UNIX "unix:"
#define TCP "tcp:"
#define HOST_MAX 256
#define PORT_MAX 32

bool mp__endpoint_has_file(const struct mp__endpoint *endpoint)
{
	return endpoint->at.any.sa_family == AF_UNIX && endpoint->at.un.sun_path[0] != '\0';
}

static int bad_form(const char *text)
{
	return mp_error_set(-EINVAL,
		"an address is unix:/PATH, unix:@NAME, tcp:HOST:PORT or tcp:[V6]:PORT, not %s",
		text ? text : "NULL");
}

static int parse_unix(const char *text, const char *path, struct mp__endpoint *ret)
{
	size_t length = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || length < 2)
		return bad_form(text);
	memset(ret, 0, sizeof(*ret));
	/* A path needs its NUL; a name without a file is what its length says. */
	if (length + (path[0] == '/') > sizeof(ret->at.un.sun_path))
		return mp_error_set(-ENAMETOOLONG, "the path of a socket has at most %zu bytes: %s",
			sizeof(ret->at.un.sun_path) - 1, path);
	ret->at.un.sun_family = AF_UNIX;
	memcpy(ret->at.un.sun_path, path, length);
	if (path[0] == '@')
		ret->at.un.sun_path[0] = '\0';
	ret->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
				(path[0] == '/' ? 1 : 0));
	ret->type = SOCK_SEQPACKET;
	return 1;
}

/* "host:port" or "[v6]:port" in two. */
static bool split(const char *text, char *host, char *port)
{
	const char *colon = strrchr(text, ':');
	const char *begin = text;
	const char *end = colon;

	if (!colon)
		return false;
	if (*begin == '[') {
		begin++;
		end--;
		if (end < begin || *end != ']')
			return false;
	} else if (memchr(begin, ':', (size_t)(end - begin))) {
		return false;
	}
	size_t length = (size_t)(end - begin);
	if (length == 0 || length >= HOST_MAX || strlen(colon + 1) >= PORT_MAX)
		return false;
	memcpy(host, begin, length);
	host[length] = '\0';
	strcpy(port, colon + 1);
	size_t digits = strspn(port, "0123456789");
	return digits > 0 && digits <= 5 && port[digits] == '\0' && atoi(port) <= UINT16_MAX;
}

static int unknown_host(const char *text, int code)
{
	if (code == EAI_MEMORY)
		return mp_error_set(-ENOMEM, "no memory to look up %s", text);
	return mp_error_set(-EADDRNOTAVAIL, "looking up %s: %s", text, gai_strerror(code));
}

static int parse_tcp(const char *text, const char *rest, bool passive,
	struct mp__endpoint ret_endpoints[MP__ENDPOINTS_MAX])
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0),
	};
	struct addrinfo *all;
	char host[HOST_MAX];
	char port[PORT_MAX];
	int n = 0;

	if (!split(rest, host, port))
		return bad_form(text);
	int code = getaddrinfo(host, port, &hints, &all);
	if (code != 0)
		return unknown_host(text, code);
	for (struct addrinfo *a = all; a && n < MP__ENDPOINTS_MAX; a = a->ai_next) {
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		struct mp__endpoint *e = &ret_endpoints[n++];
		memset(e, 0, sizeof(*e));
		memcpy(&e->at, a->ai_addr, a->ai_addrlen);
		e->size = a->ai_addrlen;
		e->type = SOCK_STREAM;
	}
	freeaddrinfo(all);
	return n > 0 ? n : unknown_host(text, EAI_NONAME);
}

int mp__endpoint_parse(
	const char *text, bool passive, struct mp__endpoint ret_endpoints[MP__ENDPOINTS_MAX])
{
	if (text && strncmp(text, UNIX, strlen(UNIX)) == 0)
		return parse_unix(text, text + strlen(UNIX), ret_endpoints);
	if (text && strncmp(text, TCP, strlen(TCP)) == 0)
		return parse_tcp(text, text + strlen(TCP), passive, ret_endpoints);
	return bad_form(text);
}

static int format_unix(const struct mp__endpoint *endpoint, char *buffer, size_t size)
{
	const struct sockaddr_un *un = &endpoint->at.un;
	size_t length = 0;

	if (endpoint->size > offsetof(struct sockaddr_un, sun_path))
		length = endpoint->size - offsetof(struct sockaddr_un, sun_path);
	if (length > sizeof(un->sun_path))
		length = sizeof(un->sun_path);
	if (length == 0)
		return snprintf(buffer, size, UNIX);
	if (un->sun_path[0] == '\0')
		return snprintf(buffer, size, UNIX "@%.*s", (int)length - 1, un->sun_path + 1);
	return snprintf(buffer, size, UNIX "%.*s", (int)length, un->sun_path);
}

int mp__endpoint_format(const struct mp__endpoint *endpoint, char *buffer, size_t size)
{
	char host[HOST_MAX];
	char port[PORT_MAX];

	if (endpoint->at.any.sa_family == AF_UNIX)
		return format_unix(endpoint, buffer, size);
	int code = getnameinfo(&endpoint->at.any, endpoint->size, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	if (code != 0)
		return mp_error_set(-EINVAL, "the address of a socket: %s", gai_strerror(code));
	bool v6 = endpoint->at.any.sa_family == AF_INET6;
	return snprintf(buffer, size, TCP "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}
