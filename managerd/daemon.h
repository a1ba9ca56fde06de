/* SPDX-License-Identifier: MIT */
/*
 * managerd/daemon.h - the daemon put together: a server with our types, and all that makes it a service.
 *
 * The server (serve/) knows nothing of configurations, systemd or metrics; it has hooks, and what hangs
 * on them is here.
 */
#ifndef MANAGERD_DAEMON_H
#define MANAGERD_DAEMON_H

#include "managerd/metrics.h"
#include "base/authkey.h"
#include "managerd/service.h"
#include "managerd/settings.h"

struct md_daemon {
	struct md_settings settings;
	/* Read the settings again. -ENODATA: from no file. What is wrong has been said. */
	int (*load)(struct md_settings *ret_settings, void *data);
	void *load_data;
	int listen_fd;  /* systemd's, or -1; these are taken over */
	int metrics_fd; /* the same */

	struct mp__authkey key; /* of settings.authkey_file */
	struct md_service service;
	struct md_metrics metrics;
	struct serve_context *context; /* while it runs */
};

/* Serve until the end. What serve_server_run() returns. */
int md_daemon_run(struct md_daemon *daemon);

#endif
