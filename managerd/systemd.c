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
#include <sys/stat.h>
#include <sys/types.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define LIBRARY "libsystemd.so.0"
#define STATE_SIZE 512

/* Names and types are those of the headers: a function that changed would not compile. */
static struct {
	typeof(&sd_notify) notify;
	typeof(&sd_listen_fds_with_names) listen_fds_with_names;
	typeof(&sd_is_socket_unix) is_socket_unix;
	typeof(&sd_watchdog_enabled) watchdog_enabled;
} sd;

static bool notified;
static bool journaled;
static uint64_t watchdog_usec;
static char **names; /* of the sockets; "" when taken */
static int n_sockets;

/* JOURNAL_STREAM is inherited by whoever is started from a service: it has to be our stderr. */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device;
	unsigned long long inode;
	struct stat st;

	return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)device &&
	       st.st_ino == (ino_t)inode;
}

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
	sd.notify = (typeof(sd.notify))dlsym(library, "sd_notify");
	sd.listen_fds_with_names =
		(typeof(sd.listen_fds_with_names))dlsym(library, "sd_listen_fds_with_names");
	sd.is_socket_unix = (typeof(sd.is_socket_unix))dlsym(library, "sd_is_socket_unix");
	sd.watchdog_enabled = (typeof(sd.watchdog_enabled))dlsym(library, "sd_watchdog_enabled");
	if (!sd.notify || !sd.listen_fds_with_names || !sd.is_socket_unix || !sd.watchdog_enabled)
		return mp_error_set(-ENOENT, "%s is too old", LIBRARY);
	return 0;
}

int md_systemd_init(void)
{
	bool listens = is_for_us("LISTEN_PID");

	journaled = stderr_is_journal();
	notified = getenv("NOTIFY_SOCKET") != NULL;
	if (!notified && !listens)
		return 0;
	int r = load();
	if (r < 0) {
		notified = false;
		return r;
	}
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

bool md_systemd_has_journal(void)
{
	return journaled;
}

bool md_systemd_is_notified(void)
{
	return notified;
}

void md_systemd_notify(const char *format, ...)
{
	char state[STATE_SIZE];
	va_list args;

	if (!notified)
		return;
	va_start(args, format);
	vsnprintf(state, sizeof(state), format, args);
	va_end(args);
	sd.notify(0, state);
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

bool md_systemd_has_journal(void)
{
	return false;
}

bool md_systemd_is_notified(void)
{
	return false;
}

void md_systemd_notify(const char *format, ...)
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
