/* SPDX-License-Identifier: MIT */
/*
 * managerd/service.h - the daemon as a service of systemd: how it is, and that it is alive.
 *
 * What systemd hears comes from the loop: a timer is one of its sources, and when its turn comes, the
 * watchdog is fed and the status told if it has changed. So a daemon that hangs in a request, or whose
 * loop turns without handing out events, is not taken for a healthy one. Without systemd there is
 * no timer, and all of this does nothing.
 */
#ifndef MANAGERD_SERVICE_H
#define MANAGERD_SERVICE_H

#include "serve/loop.h"
#include "serve/session.h"

#define MD_STATUS_SIZE 128

struct md_service {
	struct serve_source timer;
	const struct serve_context *context;
	char status[MD_STATUS_SIZE]; /* as told */
};

#define MD_SERVICE_NULL ((struct md_service){.timer = {.fd = -1}})

/* Ready: the sockets are there, and the loop is about to turn. -errno, with its sentence. */
int md_service_start(
	struct md_service *service, struct serve_loop *loop, const struct serve_context *context);
void md_service_stop(struct md_service *service);

/* Around reading the configuration again. */
void md_service_reloading(void);
void md_service_reloaded(struct md_service *service);
/* Replies still go out. */
void md_service_stopping(void);

#endif
