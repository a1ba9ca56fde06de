/* SPDX-License-Identifier: MIT */
/*
 * mpctl lock, unlock: locks of managerd in scripts.
 *
 * A lock belongs to a process, so somebody has to be there as long as it is held. With a command that
 * is mpctl itself, around the command. Without one it is a child in the background, the keeper, until
 * `mpctl unlock` tells it to go or whoever called mpctl has ended; the kernel knows it as mpctl-keeper,
 * and so does unlock: the locks of other programs are not its to release.
 */
#include <config.h>

#include "mpctl/daemon.h"
#include "mpctl/objects.h"
#include "mpctl/people.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mp/served.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEPER "mpctl-keeper"

/* --- with a command ----------------------------------------------------------------------------- */

static volatile sig_atomic_t child_pid;

static void pass_on(int signal)
{
	if (child_pid > 0)
		kill((pid_t)child_pid, signal);
}

/*
 * What we do with a signal while the command runs. From a terminal the command gets those of the keys
 * itself; what is sent to us alone is meant for it. Without the death of a child there is no exit code.
 */
static const struct handling {
	int signal;
	void (*handler)(int signal);
} handlings[] = {
	{SIGTERM, pass_on},
	{SIGHUP, pass_on},
	{SIGUSR1, pass_on},
	{SIGUSR2, pass_on},
	{SIGINT, SIG_IGN},
	{SIGQUIT, SIG_IGN},
	{SIGCHLD, SIG_DFL},
};
#define N_HANDLINGS (sizeof(handlings) / sizeof(handlings[0]))

/* What our caller wanted of each, which is for the command: nohup(1) ignores SIGHUP, and it lasts. */
static struct sigaction wanted[N_HANDLINGS];

static void handle_signals(void)
{
	for (size_t i = 0; i < N_HANDLINGS; i++) {
		struct sigaction action = {
			.sa_handler = handlings[i].handler, .sa_flags = SA_RESTART};
		sigaction(handlings[i].signal, &action, &wanted[i]);
	}
}

/* Before the signals are unblocked: our handlers, in the child, would swallow what is passed on to it. */
static void handle_as_wanted(void)
{
	for (size_t i = 0; i < N_HANDLINGS; i++)
		sigaction(handlings[i].signal, &wanted[i], NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* In the child. When mpctl is killed the lock passes on: the command must not go on without it. */
static _Noreturn void execute(
	struct line *line, pid_t parent, const sigset_t *mask, int64_t fence, bool owner_died)
{
	char text[32];
	char **argv = line->argv + 1;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(MPCTL_RUN_FAILED);
	handle_as_wanted();
	sigprocmask(SIG_SETMASK, mask, NULL);
	snprintf(text, sizeof(text), "%" PRId64, fence);
	setenv("MPCTL_FENCE", text, 1);
	if (owner_died)
		setenv("MPCTL_OWNER_DIED", "1", 1);
	else
		unsetenv("MPCTL_OWNER_DIED");
	execvp(argv[0], argv);
	fprintf(stderr, "mpctl lock: ");
	mpctl_print_name(stderr, argv[0]);
	fprintf(stderr, ": %s\n", strerror(errno));
	_exit(errno == ENOENT ? MPCTL_RUN_NOT_FOUND : MPCTL_RUN_NOT_EXECUTABLE);
}

/* The exit code of the command; it has the signals from the first instant on. */
static int run_command(struct line *line, int64_t fence, bool owner_died)
{
	pid_t parent = getpid();
	sigset_t all;
	sigset_t mask;
	int status;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &mask);
	handle_signals();
	pid_t pid = fork();
	if (pid == 0)
		execute(line, parent, &mask, fence, owner_died);
	child_pid = pid;
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (pid < 0) {
		perror("mpctl lock: fork");
		return MPCTL_RUN_FAILED;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	child_pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int acquire(struct line *line, mp_proxy *lock, int64_t *ret_fence)
{
	int r = mp_served_lock_acquire(lock, line->timeout_ms, ret_fence);

	if (r == MP_OWNER_DIED)
		fprintf(stderr, "mpctl lock: the one who had %s before died with it\n",
			line->argv[0]);
	return r;
}

/* Failures of ours, as codes that a command hardly has. */
static int command_code(int code)
{
	return code == MPCTL_TIMEOUT ? MPCTL_RUN_TIMEOUT
	       : code == MPCTL_USAGE ? code
				     : MPCTL_RUN_FAILED;
}

static int hold_around(struct line *line, mp_proxy *lock)
{
	int64_t fence;
	int r = acquire(line, lock, &fence);

	if (r < 0)
		return command_code(line_fail(line, r, line->argv[0]));
	int code = run_command(line, fence, r == MP_OWNER_DIED);
	r = mp_served_lock_release(lock);
	if (r < 0) {
		fprintf(stderr, "mpctl lock: %s was lost before the command had ended: %s\n",
			line->argv[0], mp_error_detail());
		code = MPCTL_RUN_FAILED;
	}
	return code;
}

/* --- without one: the keeper -------------------------------------------------------------------- */

/* What the keeper tells mpctl, which has waited for it. */
struct news {
	int code;
	int owner_died;
	int64_t fence;
};

/* Until it is told to go, or nobody is left who could want the lock. */
static void keep(int caller)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	struct pollfd fds[] = {
		{.fd = caller, .events = POLLIN},
		{.fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN},
	};
	while (fds[1].fd >= 0 && poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	if (fds[1].fd >= 0)
		close(fds[1].fd);
}

/* What the script has open, which are all but ours: it would wait for the end of its pipes. */
static void leave_script(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	DIR *dir = opendir("/proc/self/fd");

	setsid();
	(void)!chdir("/");
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		int64_t fd;
		if (line_number(e->d_name, &fd) && fd > 2 &&
			!(fcntl((int)fd, F_GETFD) & FD_CLOEXEC))
			close((int)fd);
	}
	if (dir)
		closedir(dir);
	if (null > 2)
		close(null);
}

static int be_keeper(struct line *line, mp_proxy *lock, int news_fd, int caller)
{
	struct news news = {0};

	prctl(PR_SET_NAME, KEEPER);
	/* Until it has it, it goes with mpctl. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int r = acquire(line, lock, &news.fence);
	prctl(PR_SET_PDEATHSIG, 0);
	news.owner_died = r == MP_OWNER_DIED;
	news.code = r < 0 ? line_fail(line, r, line->argv[0]) : MPCTL_OK;
	leave_script();
	r = mp__write_full(news_fd, &news, sizeof(news));
	close(news_fd);
	if (news.code != MPCTL_OK)
		return 1;
	/* If nobody hears of it, nobody will have it released. */
	if (r == 0)
		keep(caller);
	mp_served_lock_release(lock);
	return 0;
}

static int tell_news(const struct line *line, const struct news *news, pid_t keeper)
{
	if (news->code == MPCTL_OK && line->json)
		printf("{\"pid\": %d, \"fence\": %" PRId64 ", \"owner_died\": %s}\n", (int)keeper,
			news->fence, news->owner_died ? "true" : "false");
	else if (news->code == MPCTL_OK)
		printf("%" PRId64 "\n", news->fence);
	return news->code;
}

static int start_keeper(struct line *line, mp_proxy *lock)
{
	MP__AUTO_CLOSE int caller = mp__pidfd_open(getppid());
	struct news news = {.code = MPCTL_FAILED};
	int pipe[2];

	if (caller < 0 || pipe2(pipe, O_CLOEXEC) < 0) {
		fprintf(stderr, "mpctl lock: %s\n", strerror(caller < 0 ? -caller : errno));
		return MPCTL_FAILED;
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(pipe[0]);
		_exit(be_keeper(line, lock, pipe[1], caller));
	}
	close(pipe[1]);
	ssize_t n = pid < 0 ? -1 : 0;
	if (pid > 0)
		do
			n = read(pipe[0], &news, sizeof(news));
		while (n < 0 && errno == EINTR);
	close(pipe[0]);
	if (n != sizeof(news)) {
		fprintf(stderr, "mpctl lock: the process that was to keep it has failed\n");
		return MPCTL_FAILED;
	}
	return tell_news(line, &news, pid);
}

static int serve_lock(struct line *line)
{
	mp_proxy *lock;
	bool has_command = line->argc > 1;

	int r = mp_manager_lock(line->manager, line->argv[0], &lock);
	if (r < 0) {
		int code = line_fail(line, r, line->argv[0]);
		return has_command ? command_code(code) : code;
	}
	int code = has_command ? hold_around(line, lock) : start_keeper(line, lock);
	mp_proxy_close(lock);
	return code;
}

/* --- unlock ------------------------------------------------------------------------------------- */

/* Who holds the lock of that name: the pid, 0 nobody that we may see, or -errno. */
static int64_t find_holder(struct line *line, const char *name)
{
	mp_obj holds;
	int64_t pid = 0;

	int r = daemon_holds(line, &holds);
	if (r < 0)
		return r;
	for (size_t i = 0; i < holds.count && pid == 0; i++) {
		const mp_obj *item = &holds.as.items[i];
		const char *its = item_str(item, "name");
		const char *class_name = item_str(item, "class");
		if (its && strcmp(its, name) == 0 && class_name &&
			strcmp(class_name, "lock") == 0 && !item_str(item, "method"))
			pid = item_i64(item, "pid");
	}
	mp_obj_free(&holds);
	return pid;
}

/* Ask it to go, and wait until it has gone. */
static int dismiss(struct line *line, pid_t pid)
{
	MP__AUTO_CLOSE int fd = mp__pidfd_open(pid);
	char program[PEOPLE_NAME_SIZE];

	/* With its descriptor open, the number is not another process' meanwhile. */
	people_program(pid, program);
	if (fd >= 0 && strcmp(program, KEEPER) != 0) {
		fprintf(stderr,
			"mpctl unlock: process %d (%s) has %s, and has to release it itself\n",
			(int)pid, program, line->argv[0]);
		return MPCTL_FAILED;
	}
	int r = fd < 0 ? fd : mp__pidfd_signal(fd, SIGTERM);
	if (r == -ESRCH) /* it has just gone */
		return MPCTL_OK;
	struct pollfd ended = {.fd = fd, .events = POLLIN};
	int ms = line->timeout_ms > 0 ? line->timeout_ms : LINE_TIMEOUT_MS;
	if (r == 0 && poll(&ended, 1, ms) == 1)
		return MPCTL_OK;
	fprintf(stderr, "mpctl unlock: process %d: %s\n", (int)pid,
		r < 0 ? strerror(-r) : "it does not go");
	return r < 0 ? MPCTL_FAILED : MPCTL_TIMEOUT;
}

static int serve_unlock(struct line *line)
{
	mp_proxy *lock;
	int code = object_open(line, line->argv[0], NULL, &lock);

	if (code != MPCTL_OK)
		return code;
	int locked = mp_served_lock_locked(lock);
	mp_proxy_close(lock);
	if (locked < 0)
		return line_fail(line, locked, line->argv[0]);
	int64_t pid = locked ? find_holder(line, line->argv[0]) : 0;
	if (pid < 0)
		return line_fail(line, (int)pid, line->argv[0]);
	if (pid > 0) {
		code = dismiss(line, (pid_t)pid);
	} else {
		fprintf(stderr, "mpctl unlock: %s has %s\n", locked ? "another user" : "nobody",
			line->argv[0]);
		code = locked ? MPCTL_FAILED : MPCTL_NOT_THERE;
	}
	if (code == MPCTL_OK && line->json)
		puts("{\"ok\": true}");
	return code;
}

/* --- the commands ------------------------------------------------------------------------------- */

const struct command command_lock = {
	.name = "lock",
	.synopsis = "lock [OPTION...] NAME [COMMAND [ARGUMENT...]]",
	.summary = "run a command with a lock held",
	.help = "Its exit code is the command's, 128 and the number of the signal that ended it, "
		"or: 124 the\n"
		"lock could not be had in time, 125 mpctl has failed, 126, 127 there is no such "
		"command.\n"
		"$MPCTL_FENCE is a number that grows with each holder.\n"
		"Without COMMAND the number is printed, and the lock held until `mpctl unlock "
		"NAME`, or\n"
		"until the calling process ends.\n",
	.serve = serve_lock,
	.waits = true,
	.options = OPTION_RUNS,
	.min = 1,
	.max = 1000000,
	.options_first = true,
};

const struct command command_unlock = {
	.name = "unlock",
	.synopsis = "unlock [OPTION...] NAME",
	.summary = "release what `mpctl lock NAME` without a command holds",
	.help = "",
	.serve = serve_unlock,
	.min = 1,
	.max = 1,
};
