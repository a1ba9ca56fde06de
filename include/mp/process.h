/* SPDX-License-Identifier: MIT */
/*
 * mp/process.h - start processes by fork, spawn or forkserver, or a thread like one.
 *
 *	static int greet(int argc, const mp_obj *argv) { ... return 0; }
 *
 *	mp_begin(&argc, &argv);
 *	mp_process_new(greet, MP_ARGS(mp_str("world")), MP_PROCESS_OPTIONS(.name = "greeter"), &p);
 *	mp_process_start(p);
 *	mp_process_join(p, MP_FOREVER);
 *	mp_process_close(p);
 *
 * A process handle belongs to the process that made it: in a forked child every call on it is
 * -ECHILD, except mp_process_close(), which frees its memory there. Within the process any thread
 * may use it, several at once too; closing it is the last use.
 */
#ifndef MP_PROCESS_H
#define MP_PROCESS_H

#include <mp/obj.h>
#include <sys/select.h> /* sigset_t, in strict C too */
#include <sys/resource.h>

MP__BEGIN_DECLS

typedef struct mp_process mp_process;

/*
 * What runs in the child: any function of the program or of a shared object, static ones too. argv
 * holds the arguments that were given to mp_process_new(); they belong to the library. What it
 * returns is the exit code (its low 8 bits); stdio is flushed, and exit handlers do not run. Calling
 * exit() or _exit() works as well. Standard input is /dev/null. By MP_START_THREAD it is just a
 * thread: exit() ends the program, pthread_exit() only the target.
 */
typedef int mp_target(int argc, const mp_obj *argv);

enum mp_start_method {
	MP_START_DEFAULT,    /* what mp_start_method_set() chose; fork when nobody chose */
	MP_START_FORK,       /* a copy of this process, threads excepted; the fastest */
	MP_START_SPAWN,      /* a fresh execution of this program; inherits nothing but arguments */
	MP_START_FORKSERVER, /* forked from a fresh execution that has no threads and little memory */
	MP_START_THREAD,     /* no process: a thread of this one */
};

/*
 * First thing in main() of a program that uses spawn or forkserver. In a child of these methods it
 * runs the target and does not return; in every other process it takes note and returns 0. It
 * changes neither argc nor argv there. Both may be NULL. Calling it again does nothing. -EBADMSG
 * somebody put MP_START into the environment who is not libmp; -ENOMEM.
 *
 * From then on exit(3), and so a return from main(), kills the daemonic children of this process and
 * waits for the others, as mp_exit_wait() says. Processes forked from it do not.
 */
int mp_begin(int *argc, char ***argv);

/*
 * How long exit(3) waits for children after mp_begin(): MP_FOREVER, which holds if nobody chooses; or
 * as many milliseconds, after which they run on and a warning is logged; MP_NOWAIT leaves all children
 * alone, and the daemonic ones end with the process as ever. Without mp_begin() it means nothing.
 */
void mp_exit_wait(int timeout_ms);

/*
 * Choose what MP_START_DEFAULT means in this process and its children; MP_START_DEFAULT chooses fork
 * again. -EINVAL unknown method.
 */
int mp_start_method_set(int method);
/* The method that MP_START_DEFAULT stands for now. */
int mp_start_method_get(void);
/* "fork", "spawn", "forkserver", "thread" to and from their number; NULL and -EINVAL when unknown. */
const char *mp_start_method_name(int method);
int mp_start_method_parse(const char *name);

/* Values of .in, .out and .err. */
#define MP_STREAM_DEFAULT 0 /* standard input /dev/null, the others as the method has them */
#define MP_STREAM_INHERIT 1 /* that of this process, as it is at the start; if closed, /dev/null */
#define MP_STREAM_NULL 2    /* /dev/null */
#define MP_STREAM_FD(fd) (0x40000000 + (fd)) /* a duplicate of this descriptor */

/* Descriptor `here` of this process becomes number `there` in the child, open over exec. */
typedef struct mp_process_fd {
	int here;
	int there; /* from 3 on */
} mp_process_fd;

typedef struct mp_process_options {
	size_t size;      /* set by MP_PROCESS_OPTIONS() */
	uint64_t flags;   /* none yet: others than 0 are -EINVAL */
	const char *name; /* shown in ps; copied. NULL: "Process-N", "Process-N:M" */
	int start_method; /* enum mp_start_method */
	bool daemon;      /* killed (SIGKILL) as soon as this process ends, however it ends; always
			     so in a daemonic process */
	int in, out, err; /* standard streams: MP_STREAM_... */
	int death;        /* signal it gets when this process ends; 0: none, or SIGKILL if daemon */
	char *const *env; /* its whole environment, up to a NULL; copied. NULL: inherited */
	const char *cwd;  /* the directory to start in; copied. NULL: inherited */
	const mp_process_fd *fds; /* more descriptors, n_fds of them; duplicated */
	size_t n_fds;
	const sigset_t *sigmask; /* the signals that the target starts with blocked; copied */
	int start_timeout_ms;    /* how long mp_process_start() may wait; 0 or less: no limit */
} mp_process_options;

#define MP_PROCESS_OPTIONS(...) \
	(&(const mp_process_options){.size = sizeof(mp_process_options), __VA_ARGS__})

/*
 * Run this function in the fork server before it serves, so that its children find done what takes
 * long: 0, or the negative error and sentence (mp_error_set()) that mp_process_start() shall give
 * (-ECANCELED for a positive result); the next start tries again with a new server. NULL: nothing.
 * It holds for servers that start from now on, and a running one takes no more starts. -EINVAL args
 * neither list nor nil; -ENOEXEC as mp_process_start(); errors of mp_obj_copy().
 */
int mp_forkserver_preload(mp_target *target, mp_obj args);

/*
 * Describe a child; nothing runs yet. `args` is a list (MP_ARGS(...)) or nil, and is copied.
 * -EINVAL (no target, args neither list nor nil, unknown method, flag, stream or signal, a number
 * below 3 or twice in fds), -EBADF (a descriptor is not open), -EMFILE, -ENOMEM, -E2BIG (the options
 * come from a newer libmp and ask for something this one does not know), errors of mp_obj_copy().
 */
int mp_process_new(mp_target *target, mp_obj args, const mp_process_options *options,
	mp_process **ret_process);

/*
 * Start it. On return the child exists, its arguments have arrived, and the target is about to run;
 * whatever prevents that is the error of this call and leaves no process behind:
 * -EALREADY started before; -ENOTCONN spawn or forkserver in a program that did not call
 * mp_begin(); -ENOEXEC the target is not in a file that the child could find, or the shared object
 * on disk is no longer the one that runs here; -EOWNERDEAD the child ended before it reached its
 * target; -ETIMEDOUT it has not reached it in time, and was killed; -EMSGSIZE arguments of more than 2 GiB or some ten thousand descriptors; -ETOOMANYREFS more
 * descriptors are under way than this user may open; -EMFILE also when the child cannot have as many;
 * -ECHILD; what open(2) says of cwd; -EBADF a number in fds beyond RLIMIT_NOFILE; -ENOTSUP options
 * that a thread cannot have; -EAGAIN, -ENOMEM, -ENFILE, and what exec said. After a failure it may be
 * started again.
 */
int mp_process_start(mp_process *process);

/*
 * Wait until it has ended: 0, also when it had been joined before. -ETIMEDOUT; -EINVAL not started;
 * -EDEADLK it is the calling process itself; -ECHILD.
 */
int mp_process_join(mp_process *process, int timeout_ms);

/* 1 started and not ended yet, 0 otherwise. -ECHILD. */
int mp_process_is_alive(mp_process *process);

/*
 * How it ended: n for a target that returned n or called exit(n), -N when signal N killed it.
 * -EAGAIN still running, -EINVAL not started, -ESRCH it has ended, but how is not known: somebody
 * else reaped it (a waitpid(-1) in the program, SIGCHLD ignored), or its fork server was killed on a
 * kernel before 6.15 and a signal ended it. -ECHILD.
 */
int mp_process_exit_code(mp_process *process, int *ret_code);

/*
 * What it used, with the children that it waited for: times, largest resident size, faults, context
 * switches; as getrusage(2) tells. -EAGAIN still running, -EINVAL not started, -ESRCH it has ended,
 * but nobody is left to tell: somebody else reaped it, or its fork server was killed or stopped
 * before it could. -ECHILD.
 */
int mp_process_usage(mp_process *process, struct rusage *ret_usage);

/* Its pid, also after its end; -EINVAL not started, -ECHILD. */
int mp_process_pid(mp_process *process);

/*
 * A descriptor that polls readable when it has ended. It belongs to the handle. -EINVAL not started,
 * -ECHILD.
 */
int mp_process_sentinel(mp_process *process);

/* Its name, until the handle is closed. NULL for a handle that is not of this process. */
const char *mp_process_name(mp_process *process);

/*
 * Send it a signal: any, SIGINT, SIGTERM, SIGKILL. By pidfd, so that never another process is hit.
 * 0, -ESRCH it has ended, -ENOTSUP it is a thread, -EINVAL not started or no such signal, -EPERM, -ECHILD.
 */
int mp_process_signal(mp_process *process, int signal);
int mp_process_interrupt(mp_process *process);
int mp_process_terminate(mp_process *process);
int mp_process_kill(mp_process *process);

/*
 * Drop the handle. -EBUSY while the child runs: join or kill it first; the handle stays usable then.
 * NULL is allowed.
 */
int mp_process_close(mp_process *process);

/*
 * All children of this process that run, by any thread started, oldest first; the end of others is
 * collected by the way. Gives how many there are and stores the handles of the first `room` of them
 * (0: just count): those that mp_process_new() made, so closing one elsewhere ends its use here too.
 * Workers of a pool are not among them. -ENOMEM.
 */
int mp_process_children(mp_process **ret_children, size_t room);

/*
 * This process: the name it was started with, "MainProcess" if libmp did not start it; whether it is
 * daemonic, 1 or 0. The pid is getpid(2).
 */
const char *mp_process_current_name(void);
int mp_process_current_daemon(void);

/*
 * The process that started this one by mp_process_start(): pid, name, whether it runs (1 or 0), wait
 * until it has ended, a descriptor that polls readable then and belongs to the library. Never fooled by
 * a pid that is used again. -ENOENT (the name: NULL) this process was not started by libmp, -EBADF
 * the target closed the descriptor, -EMFILE, -ENFILE; join: -ETIMEDOUT.
 */
int mp_parent_pid(void);
const char *mp_parent_name(void);
int mp_parent_is_alive(void);
int mp_parent_join(int timeout_ms);
int mp_parent_sentinel(void);

/*
 * How many processes can run at full speed at once: the CPUs that the calling thread may use (its
 * affinity mask), or less where a control group limits CPU time (a quota of 1.5 CPUs counts as 2).
 * At least 1, and asked anew each time.
 */
int mp_cpu_count(void);

MP__END_DECLS

#endif
