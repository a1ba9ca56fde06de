/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/process.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/testpoint.h"
#include "process/await.h"
#include "process/child.h"
#include "process/kin.h"
#include "process/life.h"
#include "process/place.h"
#include "process/report.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

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

	/* Never true again in a program that had threads; then /proc knows how many it has now. */
	if (mp__single_threaded())
		return;
	if (stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 3 &&
		!atomic_flag_test_and_set(&said))
		mp__log(MP_LOG_WARNING, "process",
			"%s is forked while %ju threads run; locks that they hold stay locked "
			"there",
			process->name, (uintmax_t)tasks.st_nlink - 2);
}

/* Descriptors that are there for one start; -1 none. */
struct ends {
	unsigned nulls; /* looked up before one of these could get a stream's number */
	bool has_null;
	int life;
	int directory;
	int room; /* /dev/null, if the child needs that */
	int report[2];
};

static void close_ends(struct ends *ends)
{
	mp__fds_close((int[]){ends->life, ends->directory, ends->room}, 3);
	mp__fds_close(ends->report, 2);
}

/*
 * What can fail in the child is reported, as it is under the other methods. Without it there is
 * nobody to wait for, and fork is as quick as it can be.
 */
static bool can_fail(const struct mp__setting *setting, unsigned nulls)
{
	return setting->cwd || setting->n_places > 0 || nulls & ~MP__NULLS_DEFAULT;
}

/*
 * Room for the pidfd, while there is nothing yet that would have to be undone: the target
 * would run already when too many open files are found out. What keeps it free is of use in the
 * child, where opening would be dearer.
 */
static int open_room(struct ends *ends)
{
	if (ends->nulls)
		ends->room = mp__fd_above_std(open("/dev/null", O_RDWR | O_CLOEXEC));
	ends->has_null = ends->room >= 0;
	/* A chroot without /dev: the child will see whether it can do without. */
	if (ends->room < 0)
		ends->room = eventfd(0, EFD_CLOEXEC);
	return ends->room < 0 ? mp__error_errno("room for a pidfd") : 0;
}

static int open_ends(const struct mp_process *process, struct ends *ends)
{
	const struct mp__setting *setting = &process->setting;
	int r = 0;

	ends->nulls = mp__setting_nulls(setting);
	if (can_fail(setting, ends->nulls))
		r = mp__report_pair(ends->report);
	if (r == 0)
		r = mp__setting_open_cwd(setting, &ends->directory);
	if (r == 0)
		r = open_room(ends);
	if (r == 0 && setting->death) {
		ends->life = mp__life_acquire();
		r = ends->life < 0 ? ends->life : 0;
	}
	return r;
}

/*
 * The numbers that were asked for can be those of descriptors in the arguments: the arguments are
 * copied then, while all of these numbers are taken, so that the copies are elsewhere.
 */
static int place(struct mp_process *process, int *fds)
{
	const struct mp__setting *setting = &process->setting;
	mp_obj args;

	int r = mp__places_take(setting->places, setting->n_places, fds, true);
	if (r == 0)
		r = mp_obj_copy(process->args, &args);
	if (r < 0)
		return r;
	mp_obj_free(&process->args);
	process->args = args;
	return mp__places_take(setting->places, setting->n_places, fds, false);
}

static int place_all(struct mp_process *process, struct ends *ends)
{
	const struct mp__setting *setting = &process->setting;
	int *const own[] = {&ends->life, &ends->directory, &ends->report[1], &ends->room};
	size_t n = setting->n_places;

	if (n == 0)
		return 0;
	MP__AUTO_FREE int *fds = malloc(sizeof(int) * (n + MP__COUNT_OF(own)));
	if (!fds)
		return mp_error_set(-ENOMEM, "start: out of memory");
	memcpy(fds, setting->fds, sizeof(int) * n);
	for (size_t i = 0; i < MP__COUNT_OF(own); i++)
		fds[n + i] = *own[i];
	int r = mp__places_clear(setting->places, n, fds, n + MP__COUNT_OF(own));
	for (size_t i = 0; i < MP__COUNT_OF(own); i++)
		*own[i] = fds[n + i];
	return r == 0 ? place(process, fds) : r;
}

static _Noreturn void be_child(
	struct mp_process *process, struct ends *ends, pid_t parent, const sigset_t *mask_before)
{
	const struct mp__setting *setting = &process->setting;

	mp__origin_make(); /* asking would be a page fault more: to read, and then to write */
	self = process;
	if (!ends->has_null)
		mp__fds_close(&ends->room, 1);
	mp__fds_close(&ends->report[0], 1);
	int r = place_all(process, ends);
	if (r < 0)
		mp__child_failed(ends->report[1], r);
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
		.life = ends->life,
		.death = setting->death,
		.nulls = ends->nulls,
		.null = ends->room,
		.directory = ends->directory,
		.env = setting->env,
		.report = ends->report[1],
		.sigmask = setting->has_mask ? setting->mask : *mask_before,
	});
}

/* No signal handler of this process may run half way into the child: all are blocked around fork. */
static pid_t fork_child(struct mp_process *process, struct ends *ends)
{
	sigset_t all;
	sigset_t before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		be_child(process, ends, parent, &before);
	int r = pid < 0 ? mp__error_errno("fork") : pid;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* A child that somebody else has reaped already has ended, and how is not known. */
static int open_child(pid_t pid)
{
	int pidfd = mp__pidfd_open_child(pid);

	return pidfd == -ESRCH ? mp__kin_ended_fd() : pidfd;
}

static int start(struct mp_process *process, struct ends *ends, mp__deadline deadline,
	struct mp__started *ret_started)
{
	int r = open_ends(process, ends);
	if (r < 0)
		return r;
	mp__stdio_flush();
	pid_t pid = fork_child(process, ends);
	mp__fds_close(&ends->room, 1);
	mp__fds_close(&ends->report[1], 1);
	MP__AUTO_CLOSE int pidfd = pid > 0 ? open_child(pid) : pid;
	if (pidfd < 0)
		return pidfd;
	if (ends->report[0] >= 0) {
		r = mp__await_ready(ends->report[0], pidfd, deadline);
		if (r < 0)
			return r;
	}
	ret_started->pid = pid;
	ret_started->pidfd = MP__TAKE_FD(pidfd);
	return 0;
}

int mp__start_fork(
	struct mp_process *process, mp__deadline deadline, struct mp__started *ret_started)
{
	struct ends ends = {.life = -1, .directory = -1, .room = -1, .report = {-1, -1}};

	remark_on_threads(process);
	int r = start(process, &ends, deadline, ret_started);
	if (r < 0 && ends.life >= 0)
		mp__life_release();
	close_ends(&ends);
	return r;
}
