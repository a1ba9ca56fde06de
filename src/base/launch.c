/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/launch.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* What file actions are built from: where each number there comes from. */
struct plan {
	int source[MP__LAUNCH_FD_MAX + 1]; /* by number there; -1 none */
	int last;                          /* the highest number there, at least 2 */
	int *lifted;                       /* duplicates made here, to be closed afterwards */
	size_t n_lifted;
};

static void release_plan(struct plan *plan)
{
	mp__fds_close(plan->lifted, plan->n_lifted);
	free(plan->lifted);
}

static int read_table(struct plan *plan, const struct mp__launch *launch)
{
	memset(plan->source, 0xff, sizeof(plan->source));
	plan->last = STDERR_FILENO;
	for (size_t i = 0; i < launch->n_fds; i++) {
		int there = launch->fds[i].there;
		if (there < 0 || there > MP__LAUNCH_FD_MAX || launch->fds[i].here < 0 ||
			plan->source[there] >= 0)
			return mp_error_set(-EINVAL,
				"launching %s: descriptor %d cannot be number %d there",
				launch->path, launch->fds[i].here, there);
		plan->source[there] = launch->fds[i].here;
		if (there > plan->last)
			plan->last = there;
	}
	return 0;
}

/*
 * The duplications run one after the other in the child, so that a source which is also somebody's
 * number there could be overwritten before its turn. Lift those above all numbers there first; and
 * bring down those that are open beyond a limit that was lowered, which posix_spawn(3) refuses.
 */
static int lift_overlaps(struct plan *plan, size_t n_fds)
{
	long limit = sysconf(_SC_OPEN_MAX);

	plan->lifted = malloc(sizeof(int) * (n_fds + 1));
	if (!plan->lifted)
		return mp_error_set(-ENOMEM, "launching: out of memory");
	for (int there = 0; there <= plan->last; there++) {
		int source = plan->source[there];
		bool overlaps = source <= plan->last && source != there;
		if (source < 0 || (!overlaps && source < limit))
			continue;
		int copy = fcntl(source, F_DUPFD_CLOEXEC, plan->last + 1);
		if (copy < 0)
			return mp__error_errno("launching: duplicating a descriptor");
		plan->lifted[plan->n_lifted++] = copy;
		plan->source[there] = copy;
	}
	return 0;
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct plan *plan)
{
	int r = 0;

	for (int there = 0; there <= plan->last && r == 0; there++) {
		if (plan->source[there] >= 0) /* of a number onto itself: clears close-on-exec */
			r = posix_spawn_file_actions_adddup2(actions, plan->source[there], there);
		else if (there > STDERR_FILENO)
			r = posix_spawn_file_actions_addclose(actions, there);
		else if (fcntl(there, F_GETFD) < 0)
			r = posix_spawn_file_actions_addopen(
				actions, there, "/dev/null", O_RDWR, 0);
	}
	return r == 0 ? mp__spawn_close_from(actions, plan->last + 1) : r;
}

static int spawn(const struct mp__launch *launch, const struct plan *plan, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t all;
	sigset_t none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	int err = add_actions(&actions, plan);
	if (err == 0)
		err = posix_spawn(ret_pid, launch->path, &actions, &attr, launch->argv,
			launch->envp ? launch->envp : environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (err != 0)
		return mp_error_set(-err, "starting %s: %s", launch->path, strerrordesc_np(err));
	return 0;
}

int mp__launch(const struct mp__launch *launch, pid_t *ret_pid, int *ret_pidfd)
{
	MP__AUTO(release_plan) struct plan plan = {.last = 0};
	pid_t pid = -1;

	int r = read_table(&plan, launch);
	if (r == 0)
		r = lift_overlaps(&plan, launch->n_fds);
	if (r == 0)
		r = spawn(launch, &plan, &pid);
	if (r != 0)
		return r;

	int pidfd = mp__pidfd_open_child(pid);
	if (pidfd < 0)
		return pidfd;
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}
