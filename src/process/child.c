/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/child.h"

#include "base/error.h"
#include "base/origin.h"
#include "base/testpoint.h"
#include "process/life.h"
#include "process/place.h"
#include "process/report.h"
#include "shm/names.h"

#include <stdio.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

/* As the shell: could not be run. */
#define EXIT_NOT_RUN 126

/*
 * How glibc's own fork() walks over the streams; no header has them. Where they are missing,
 * fflush(NULL) has to do.
 */
typedef void *iterator;
extern iterator _IO_iter_begin(void) __attribute__((weak));
extern iterator _IO_iter_end(void) __attribute__((weak));
extern iterator _IO_iter_next(iterator) __attribute__((weak));
extern FILE *_IO_iter_file(iterator) __attribute__((weak));
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));

void mp__stdio_flush(void)
{
	if (!_IO_iter_begin || !_IO_iter_end || !_IO_iter_next || !_IO_iter_file ||
		!_IO_list_lock || !_IO_list_unlock) {
		fflush(NULL);
		return;
	}
	_IO_list_lock();
	for (iterator i = _IO_iter_begin(); i != _IO_iter_end(); i = _IO_iter_next(i)) {
		FILE *stream = _IO_iter_file(i);
		if (!__freading(stream) && __fpending(stream) > 0)
			fflush(stream);
	}
	_IO_list_unlock();
}

static int enter(int directory)
{
	if (directory < 0)
		return 0;
	if (fchdir(directory) < 0)
		return mp__error_errno("start: entering the directory");
	close(directory);
	return 0;
}

/*
 * What stdio has read ahead is the parent's. Purging alone would do; but as a rule there is nothing, and
 * looking is cheaper than writing to a page that is shared with the parent.
 */
static void forget_read_ahead(FILE *stream)
{
#ifdef __GLIBC__
	if (stream->_IO_read_ptr == stream->_IO_read_end && !stream->_IO_save_base)
		return;
#endif
	__fpurge(stream);
}

static int prepare(const struct mp__child *child)
{
	mp__kin_become(&child->kin);
	/* By number: what a sanitizer puts around prctl() takes a lock, which at the fork may have
	 * been held by a thread that is not here. */
	syscall(SYS_prctl, PR_SET_NAME, child->kin.name, 0, 0, 0);
	if (child->env)
		environ = child->env;
	int r = mp__places_null(child->nulls, child->null);
	forget_read_ahead(stdin);
	if (r == 0)
		r = enter(child->directory);
	if (r == 0 && child->life >= 0)
		r = mp__life_arm(child->life, child->death);
	return r;
}

_Noreturn void mp__child_failed(int report, int result)
{
	struct mp__report_end end = mp__report_end_of(report);

	mp__report_failed(&end, result);
	_exit(EXIT_NOT_RUN);
}

_Noreturn void mp__child_run(const struct mp__child *child)
{
	struct mp__report_end report = mp__report_end_of(child->report);

	int r = prepare(child);
	MP__TEST_POINT("process.child.prepared");
	if (r < 0)
		mp__child_failed(child->report, r);
	/* Nobody who waits for it any more: then it was never started. */
	if (child->report >= 0 && mp__report_ready(&report) < 0)
		_exit(EXIT_NOT_RUN);
	MP__TEST_POINT("process.child.ready");

	pthread_sigmask(SIG_SETMASK, &child->sigmask, NULL);
	mp__origin here = mp__origin_here();
	int code = child->target((int)child->args.count, child->args.as.items);
	mp__stdio_flush();
	mp__names_leave();
	MP__TEST_POINT("process.child.done");
	/* A child that the target forked, and that came back, does not speak for this one. */
	if (mp__origin_is_here(here))
		mp__report_left(&report, code & 0xff);
	_exit(code & 0xff);
}
