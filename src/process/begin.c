/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/begin.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/launch.h"
#include "process/arrival.h"
#include "process/exit.h"
#include "process/server.h"

#include <mp/process.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MARKER "MP_START"
#define FIRST_FD 3
#define FDS_MAX 2

/*
 * The kernel's link to what this process executes: the same file even after the one on disk has
 * been replaced or removed. In the vforked child that execs it, it is that child's, the same file.
 */
#define PROGRAM "/proc/self/exe"

extern char **environ;

static _Atomic bool begun;
static char *program_name; /* argv[0] of this process; written before begun */
static _Atomic int default_method = MP_START_FORK;

/* --- start methods ------------------------------------------------------------------------------ */

static const char *const method_names[] = {
	[MP_START_FORK] = "fork",
	[MP_START_SPAWN] = "spawn",
	[MP_START_FORKSERVER] = "forkserver",
	[MP_START_THREAD] = "thread",
};

int mp_start_method_set(int method)
{
	if (method < MP_START_DEFAULT || method > MP_START_THREAD)
		return mp_error_set(-EINVAL, "%d is no start method", method);
	atomic_store(&default_method, method == MP_START_DEFAULT ? MP_START_FORK : method);
	return 0;
}

int mp_start_method_get(void)
{
	return atomic_load(&default_method);
}

const char *mp_start_method_name(int method)
{
	return method > MP_START_DEFAULT && method <= MP_START_THREAD ? method_names[method] : NULL;
}

int mp_start_method_parse(const char *name)
{
	for (int method = MP_START_FORK; name && method <= MP_START_THREAD; method++) {
		if (strcmp(name, method_names[method]) == 0)
			return method;
	}
	return mp_error_set(-EINVAL,
		"\"%s\" is no start method; there are fork, spawn, forkserver and thread",
		name ? name : "(null)");
}

/* --- begin -------------------------------------------------------------------------------------- */

/* "ROLE:NUMBER" of our own making; anything else was put there by somebody else. */
static int read_marker(const char *marker, unsigned *ret_role, size_t *ret_n)
{
	unsigned role = 0;
	unsigned n;
	char end;

	if (sscanf(marker, "%1u:%1u%c", &role, &n, &end) != 2 || n < 1 || n > FDS_MAX ||
		(role != MP__BEGIN_CHILD && role != MP__BEGIN_SERVER))
		return mp_error_set(-EBADMSG, MARKER " in the environment is not from libmp");
	for (unsigned i = 0; i < n; i++) {
		if (fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC) < 0)
			return mp_error_set(-EBADMSG,
				MARKER " in the environment: descriptor %u is not there",
				FIRST_FD + i);
	}
	*ret_role = role;
	*ret_n = n;
	return 0;
}

static int take_over(const char *marker)
{
	int fds[FDS_MAX];
	unsigned role = 0;
	size_t n = 0;
	int type = 0;
	socklen_t size = sizeof(type);

	int r = read_marker(marker, &role, &n);
	unsetenv(MARKER);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		fds[i] = FIRST_FD + (int)i;
	if (role == MP__BEGIN_SERVER)
		return mp__server_run(fds[0], n > 1 ? fds[1] : -1);
	if (getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
		return mp_error_set(-EBADMSG, MARKER " in the environment is not from libmp");
	mp__arrival_start(fds[0]);
}

int mp_begin(int *argc, char ***argv)
{
	if (atomic_load(&begun))
		return 0;
	const char *name =
		argc && argv && *argc > 0 && (*argv)[0] ? (*argv)[0] : program_invocation_name;
	if (!program_name)
		program_name = strdup(name);
	if (!program_name)
		return mp_error_set(-ENOMEM, "mp_begin: out of memory");
	atomic_store(&begun, true);
	/* Not in a program with more rights than its caller, who could have it run any function. */
	const char *marker = secure_getenv(MARKER);
	int r = marker ? take_over(marker) : 0;
	/* Here only the process that goes on arrives. */
	int armed = mp__exit_arm();
	return r < 0 ? r : armed;
}

/* env with the marker in front and no other marker; one block for free(). */
static char **environment_with(char *marker, char *const *env)
{
	size_t n = 0;
	size_t used = 0;

	while (env && env[n])
		n++;
	char **copy = malloc((n + 2) * sizeof(*copy));
	if (!copy)
		return NULL;
	copy[used++] = marker;
	for (size_t i = 0; i < n; i++) {
		if (strncmp(env[i], MARKER "=", sizeof(MARKER)) != 0)
			copy[used++] = env[i];
	}
	copy[used] = NULL;
	return copy;
}

int mp__begin_again(enum mp__begin_role role, const int *fds, size_t n_fds, char *const *env,
	pid_t *ret_pid, int *ret_pidfd)
{
	struct mp__launch_fd table[FDS_MAX];
	char marker[sizeof(MARKER) + 16];

	if (!atomic_load(&begun))
		return mp_error_set(-ENOTCONN,
			"spawn and forkserver need mp_begin(&argc, &argv) first in main()");
	for (size_t i = 0; i < n_fds; i++)
		table[i] = (struct mp__launch_fd){fds[i], FIRST_FD + (int)i};
	snprintf(marker, sizeof(marker), MARKER "=%d:%zu", role, n_fds);
	MP__AUTO_FREE char **envp = environment_with(marker, env ? env : environ);
	if (!envp)
		return mp_error_set(-ENOMEM, "start: out of memory");
	const struct mp__launch launch = {
		.path = PROGRAM,
		.argv = (char *[]){program_name, NULL},
		.envp = envp,
		.fds = table,
		.n_fds = n_fds,
	};
	return mp__launch(&launch, ret_pid, ret_pidfd);
}
