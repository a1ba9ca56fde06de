/* SPDX-License-Identifier: MIT */
/*
 * tests/support/daemon.h - a managerd of the test's own, with a name in a directory of its own.
 */
#ifndef TESTS_SUPPORT_DAEMON_H
#define TESTS_SUPPORT_DAEMON_H

#include "tests/support/support.h"

#include <mp.h>
#include <stdint.h>

struct t_daemon {
	pid_t pid;
	int pidfd;
	char directory[64];
	char path[80];
	char address[96];
};

/* Start it and wait until it is ready; further options, ended by NULL, or NULL for none. */
struct t_daemon t_daemon_start(const char *const *options);
/* The same in daemon->directory, which managerd makes if it is missing. */
void t_daemon_start_in(struct t_daemon *daemon, const char *const *options);
/* The same, and what it writes to standard error can be read from *ret_remarks. */
struct t_daemon t_daemon_start_heard(const char *const *options, int *ret_remarks);
/* Read remarks until one has this text in it; all that was read is in the buffer. */
void t_daemon_expect_remark(int remarks, const char *text, char *buffer, size_t size);
/* The same in the directory of an earlier one. */
void t_daemon_restart(struct t_daemon *daemon);
/* SIGTERM: it must end with code 0, and leave an empty directory, which goes. */
void t_daemon_stop(struct t_daemon *daemon);
/* SIGKILL; the directory stays. */
void t_daemon_kill(struct t_daemon *daemon);
void t_daemon_remove_directory(struct t_daemon *daemon);
/* Run managerd with these arguments to its end: the exit code. */
int t_daemon_run(const char *const *arguments);

/* A raw connection; bytes of the protocol. */
int t_daemon_connect(const struct t_daemon *daemon);

/* A private managerd; skips the test where there is none to run. A dict of it, by name or NULL. */
mp_manager *t_manager(void);
mp_dict *t_dict(mp_manager *manager, const char *name);
/* Until so many calls wait in the daemon. */
void t_wait_for_waiters(mp_manager *manager, int n);
/* The value is as expected, and freed; the value under the key is. */
void t_expect_value(mp_obj *value, mp_obj expected);
void t_expect_get(mp_dict *dict, mp_obj key, mp_obj expected);

#endif
