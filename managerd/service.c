/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/service.h"

#include "base/deadline.h"
#include "base/error.h"
#include "managerd/systemd.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How often a status may change. Nobody reads it more often, and an idle daemon should sleep. */
#define STATUS_USEC ((uint64_t)10 * 1000 * 1000)

static void write_status(const struct md_service *service, char *text, size_t size)
{
	const struct serve_context *context = service->context;

	snprintf(text, size, "%" PRIu32 " connections, %" PRIu32 " objects", context->n_sessions,
		serve_registry_count(&context->registry));
}

static void tell_status(struct md_service *service)
{
	char status[MD_STATUS_SIZE];

	write_status(service, status, sizeof(status));
	if (strcmp(status, service->status) == 0)
		return;
	strcpy(service->status, status);
	md_systemd_hint("STATUS=%s", status);
}

static int timer_ready(struct serve_source *source, uint32_t events)
{
	struct md_service *service = (struct md_service *)source;
	uint64_t times;

	(void)events;
	if (read(source->fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
		return 0;
	if (md_systemd_watchdog_usec() > 0)
		md_systemd_hint("WATCHDOG=1");
	tell_status(service);
	return 0;
}

static int start_timer(struct md_service *service, struct serve_loop *loop)
{
	uint64_t usec = md_systemd_watchdog_usec() / 2;

	if (usec == 0 || usec > STATUS_USEC)
		usec = STATUS_USEC;
	struct timespec every = {
		.tv_sec = (time_t)(usec / 1000000), .tv_nsec = (long)(usec % 1000000) * 1000};
	struct itimerspec timer = {.it_interval = every, .it_value = every};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return mp__error_errno("timerfd_create");
	service->timer = (struct serve_source){.fd = fd, .events = EPOLLIN, .ready = timer_ready};
	if (timerfd_settime(fd, 0, &timer, NULL) < 0)
		return mp__error_errno("timerfd_settime");
	int r = serve_loop_add(loop, &service->timer);
	return r < 0 ? mp_error_set(r, "epoll_ctl: %s", mp_strerror(r)) : 0;
}

int md_service_start(
	struct md_service *service, struct serve_loop *loop, const struct serve_context *context)
{
	*service = MD_SERVICE_NULL;
	service->context = context;
	if (!md_systemd_is_notified())
		return 0;
	int r = start_timer(service, loop);
	if (r < 0)
		return r;
	write_status(service, service->status, sizeof(service->status));
	md_systemd_notify("READY=1\nSTATUS=%s", service->status);
	return 0;
}

void md_service_stop(struct md_service *service)
{
	if (service->timer.fd >= 0)
		close(service->timer.fd);
	service->timer.fd = -1;
}

void md_service_reloading(void)
{
	/* systemd tells by the time whether this answers its own request. */
	md_systemd_notify("RELOADING=1\nMONOTONIC_USEC=%" PRId64, mp__now_ns() / 1000);
}

void md_service_reloaded(struct md_service *service)
{
	md_systemd_notify("READY=1\nSTATUS=%s", service->status);
}

void md_service_stopping(void)
{
	md_systemd_notify("STOPPING=1\nSTATUS=replies still go out");
}
