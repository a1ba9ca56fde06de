/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/process.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/testpoint.h"
#include "process/child.h"
#include "process/kin.h"
#include "process/life.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* In a forked child: the handle it was started through. */
static const struct mp_process *self;

bool mp__process_is_self(const struct mp_process *process)
{
	return process == self && !mp__origin_is_here(process->origin);
}

/* Only the calling thread goes on in the child; what the others had locked stays locked there. */
static void remark_on_threads(const struct mp_process *process)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	struct stat tasks;

	if (stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 3 &&
		!atomic_flag_test_and_set(&said))
		mp__log(MP_LOG_WARNING, "process",
			"%s is forked while %ju threads run; locks that they hold stay locked "
			"there",
			process->name, (uintmax_t)tasks.st_nlink - 2);
}

/* No signal handler of this process may run half way into the child: all are blocked around fork. */
static pid_t fork_child(struct mp_process *process, int life, int room)
{
	sigset_t all;
	sigset_t before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0) {
		close(room);
		self = process;
		mp__child_run(&(const struct mp__child){
			.kin =
				{
					.name = process->name,
					.lineage = process->lineage,
					.parent_name = mp__kin_here()->name,
					.parent_pid = parent,
					.parent_fd = -1,
					.daemon = process->daemon,
				},
			.target = process->target,
			.args = process->args,
			.life = life,
			.report = -1,
			.sigmask = &before,
		});
	}
	int err = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return pid < 0 ? mp__error_errno("fork") : pid;
}

/*
 * A pidfd for the child. With SIGCHLD ignored, or a waitpid(-1) in another thread, it may be gone
 * already: then it has ended and how is not known. What else can go wrong would have gone wrong before.
 */
static int open_child(pid_t pid)
{
	int pidfd = mp__pidfd_open(pid);

	if (pidfd == -ESRCH)
		return mp__kin_ended_fd();
	if (pidfd < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return pidfd;
}

int mp__start_fork(struct mp_process *process, struct mp__started *ret_started)
{
	MP__AUTO_CLOSE int life = -1;

	remark_on_threads(process);
	if (process->daemon) {
		life = mp__life_acquire();
		if (life < 0)
			return life;
	}
	/*
	 * Room for the pidfd, while there is nothing yet that would have to be undone: the target
	 * would run already when too many open files are found out.
	 */
	int room = eventfd(0, EFD_CLOEXEC);
	if (room < 0) {
		int r = mp__error_errno("room for a pidfd");
		if (process->daemon)
			mp__life_release();
		return r;
	}
	mp__stdio_flush();
	pid_t pid = fork_child(process, life, room);
	close(room);
	int pidfd = pid > 0 ? open_child(pid) : pid;
	if (pidfd < 0) {
		if (process->daemon)
			mp__life_release();
		return pidfd;
	}
	ret_started->pid = pid;
	ret_started->pidfd = pidfd;
	return 0;
}
