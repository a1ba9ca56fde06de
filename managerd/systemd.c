/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/systemd.h"

#include "base/error.h"
#include "managerd/log.h"

#ifdef HAVE_SYSTEMD

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define LIBRARY "libsystemd.so.0"
#define STATE_SIZE 512

/* Names and types are those of the headers: a function that changed would not compile. */
static struct {
	typeof(&sd_listen_fds_with_names) listen_fds_with_names;
	typeof(&sd_is_socket_unix) is_socket_unix;
	typeof(&sd_watchdog_enabled) watchdog_enabled;
} sd;

static int notify_fd = -1;
static uint64_t watchdog_usec;
static char **names; /* of the sockets; "" when taken */
static int n_sockets;

static bool is_for_us(const char *variable)
{
	const char *pid = getenv(variable);

	return pid && strtol(pid, NULL, 10) == (long)getpid();
}

static int load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library)
		return mp_error_set(-ENOENT, "systemd has started us, but %s", dlerror());
	sd.listen_fds_with_names =
		(typeof(sd.listen_fds_with_names))dlsym(library, "sd_listen_fds_with_names");
	sd.is_socket_unix = (typeof(sd.is_socket_unix))dlsym(library, "sd_is_socket_unix");
	sd.watchdog_enabled = (typeof(sd.watchdog_enabled))dlsym(library, "sd_watchdog_enabled");
	if (!sd.listen_fds_with_names || !sd.is_socket_unix || !sd.watchdog_enabled)
		return mp_error_set(-ENOENT, "%s is too old", LIBRARY);
	return 0;
}

/*
 * Opened once and kept: sd_notify(3) opens a socket each time, and when clients have taken all
 * descriptors the watchdog would end a daemon that is well.
 */
static int open_notify(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);

	if ((*path != '/' && *path != '@') || length >= sizeof(address.sun_path))
		return mp_error_set(-EINVAL, "NOTIFY_SOCKET is %s, which is no Unix socket", path);
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0'; /* an abstract one */
	else
		length++;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return mp__error_errno("socket");
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (connect(fd, (const struct sockaddr *)&address, size) < 0) {
		int r = mp__error_errno(path);
		close(fd);
		return r;
	}
	notify_fd = fd;
	return 0;
}

int md_systemd_init(void)
{
	bool listens = is_for_us("LISTEN_PID");
	const char *notify = getenv("NOTIFY_SOCKET");

	if (!notify && !listens)
		return 0;
	int r = load();
	if (r == 0 && notify)
		r = open_notify(notify);
	if (r < 0)
		return r;
	uint64_t usec = 0;
	if (sd.watchdog_enabled(1, &usec) > 0)
		watchdog_usec = usec;
	/* The variables go: what is not for us is not for whoever we might start, either. */
	n_sockets = listens ? sd.listen_fds_with_names(1, &names) : 0;
	if (n_sockets < 0)
		return mp_error_set(n_sockets, "the sockets that systemd gives us: %s",
			strerrordesc_np(-n_sockets));
	return 0;
}

bool md_systemd_is_notified(void)
{
	return notify_fd >= 0;
}

static void MP__PRINTF(2, 0) tell(int flags, const char *format, va_list args)
{
	char state[STATE_SIZE];

	if (notify_fd < 0)
		return;
	vsnprintf(state, sizeof(state), format, args);
	/* When nobody listens there, nothing is to be done about it. */
	while (send(notify_fd, state, strlen(state), MSG_NOSIGNAL | flags) < 0 && errno == EINTR)
		;
}

void md_systemd_notify(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(0, format, args);
	va_end(args);
}

void md_systemd_hint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(MSG_DONTWAIT, format, args);
	va_end(args);
}

int md_systemd_take_socket(const char *name, int *ret_fd)
{
	*ret_fd = -1;
	for (int i = 0; i < n_sockets; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		if (strcmp(names[i], name) != 0)
			continue;
		*names[i] = '\0';
		if (sd.is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
			close(fd);
			return mp_error_set(-EINVAL,
				"the socket %s of systemd is no listening Unix stream socket",
				name);
		}
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return mp__error_errno(name);
		*ret_fd = fd;
		break;
	}
	return 0;
}

void md_systemd_close_others(void)
{
	for (int i = 0; i < n_sockets; i++) {
		if (*names[i] != '\0') {
			md_say("systemd gives us a socket %s, of which we know nothing", names[i]);
			close(SD_LISTEN_FDS_START + i);
		}
		free(names[i]);
	}
	free(names);
	names = NULL;
	n_sockets = 0;
}

uint64_t md_systemd_watchdog_usec(void)
{
	return watchdog_usec;
}

#else

int md_systemd_init(void)
{
	return 0;
}

bool md_systemd_is_notified(void)
{
	return false;
}

void md_systemd_notify(const char *format, ...)
{
	(void)format;
}

void md_systemd_hint(const char *format, ...)
{
	(void)format;
}

int md_systemd_take_socket(const char *name, int *ret_fd)
{
	(void)name;
	*ret_fd = -1;
	return 0;
}

void md_systemd_close_others(void)
{
}

uint64_t md_systemd_watchdog_usec(void)
{
	return 0;
}

#endif
