/* SPDX-License-Identifier: MIT */
/*
 * base/launch.h - run a program: posix_spawn(3) with exactly the descriptors that are named.
 *
 * The cost does not depend on the size of this process (nothing of its memory is copied), and a
 * program that cannot be executed is the error of the call, with exec's errno.
 */
#ifndef MP_BASE_LAUNCH_H
#define MP_BASE_LAUNCH_H

#include <stddef.h>
#include <sys/types.h>

/* Numbers that a launched program may find descriptors at. */
#define MP__LAUNCH_FD_MAX 1023

/* `here` in this process becomes `there` in the program. `here` stays open in this process. */
struct mp__launch_fd {
	int here;
	int there;
};

struct mp__launch {
	const char *path;
	char *const *argv;
	char *const *envp; /* NULL: environ as it is now */
	/*
	 * What is open in the program: these, and 0, 1 and 2 of this process where they are not
	 * named (/dev/null if they are closed here). Nothing else, close-on-exec or not. The
	 * numbers may overlap in any way; each `there` may be named once.
	 */
	const struct mp__launch_fd *fds;
	size_t n_fds;
};

/*
 * Start it, with no signal blocked and all dispositions at their default. The pidfd is safe against
 * reuse of the pid as long as nobody else waits for children of this process; if somebody did, and
 * was quicker, the result is -ESRCH. -EINVAL a table that asks for the impossible; what exec said;
 * -EAGAIN, -ENOMEM, -EMFILE.
 */
int mp__launch(const struct mp__launch *launch, pid_t *ret_pid, int *ret_pidfd);

#endif
