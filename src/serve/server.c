/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/server.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/fds.h"
#include "serve/clients.h"
#include "serve/listener.h"
#include "serve/log.h"
#include "serve/session.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* New connections that one turn of the loop takes: the others are served in between. */
#define ACCEPTS_PER_TURN 32
/* How long nobody is accepted after the kernel could not. */
#define DEAF_MS 1000
#define NS_PER_MS ((int64_t)1000 * 1000)

struct server {
	struct serve_loop loop;
	struct serve_context context;
	struct serve_listener listener;
	struct serve_source listening;
	struct serve_source connector;
	struct serve_source owner;
	struct serve_source signals;
	struct serve_source stopping; /* the descriptor is the caller's */
	const struct serve_config *config;
	struct serve_clients clients;
	struct serve_timer deaf; /* set: nobody is accepted until then */
	bool stop;
};

#define SERVER_OF(source, member) \
	((struct server *)((char *)(source)-offsetof(struct server, member)))

/* --- ways in, and other sources --------------------------------------------------------------- */

static void listen_again(struct serve_timer *timer)
{
	struct server *server = SERVER_OF(timer, deaf);

	/* If that fails, it is tried again like this. */
	if (serve_loop_want(&server->loop, &server->listening, EPOLLIN) < 0)
		(void)serve_timer_set(
			&server->context.timers, timer, mp__now_ns() + DEAF_MS * NS_PER_MS);
}

/*
 * The kernel cannot give us a connection now, for want of memory or descriptors. It would say so
 * again at once and for ever; the others are served meanwhile.
 */
static void stop_listening(struct server *server, int why)
{
	serve_log("accept", SERVE_LOG_NOBODY, "accept: %s", mp_strerror(why));
	server->deaf.fire = listen_again;
	/* If either fails, it turns in vain until there is memory again. */
	if (serve_timer_set(
		    &server->context.timers, &server->deaf, mp__now_ns() + DEAF_MS * NS_PER_MS))
		(void)serve_loop_want(&server->loop, &server->listening, 0);
}

static int listener_ready(struct serve_source *source, uint32_t events)
{
	struct server *server = SERVER_OF(source, listening);

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = serve_listener_accept(&server->listener);
		if (fd == -EAGAIN)
			break;
		if (fd == -EMFILE) {
			serve_clients_turned_away_unseen(&server->clients);
		} else if (fd < 0) {
			stop_listening(server, fd);
			break;
		} else {
			serve_clients_admit(&server->clients, fd);
		}
	}
	return 0;
}

static bool is_stream_socket(int fd)
{
	int type = 0;
	int domain = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static int connector_ready(struct serve_source *source, uint32_t events)
{
	struct server *server = SERVER_OF(source, connector);

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		char byte;
		int fd = -1;
		size_t n_fds = 1;
		ssize_t n = mp__socket_receive(source->fd, &byte, sizeof(byte), &fd, &n_fds);

		if (n == -EAGAIN)
			return 0;
		if (n == 0) {
			/* Nobody can make a connection any more. */
			serve_loop_remove(&server->loop, source);
			close(source->fd);
			source->fd = -1;
			return 0;
		}
		if (n == -EMSGSIZE)
			serve_clients_turned_away_unseen(&server->clients);
		/* A message without a descriptor, or with one that found no room here. */
		if (n < 0 || n_fds == 0)
			continue;
		if (is_stream_socket(fd))
			serve_clients_admit(&server->clients, fd);
		else
			close(fd);
	}
	return 0;
}

static int owner_ready(struct serve_source *source, uint32_t events)
{
	(void)events;
	SERVER_OF(source, owner)->stop = true;
	return 0;
}

static int stopping_ready(struct serve_source *source, uint32_t events)
{
	(void)events;
	SERVER_OF(source, stopping)->stop = true;
	return 0;
}

static void reload(struct server *server)
{
	const struct serve_hooks *hooks = &server->config->hooks;
	struct serve_context *context = &server->context;

	if (!hooks->reload)
		return;
	hooks->reload(&context->limits, hooks->data);
	context->registry.max_objects = context->limits.max_objects;
	serve_accounts_renew(&context->accounts);
}

static int signals_ready(struct serve_source *source, uint32_t events)
{
	struct server *server = SERVER_OF(source, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	if (info.ssi_signo == SIGHUP)
		reload(server);
	else
		server->stop = true;
	return 0;
}

static int add_source(struct server *server, struct serve_source *source, int fd,
	int (*ready)(struct serve_source *source, uint32_t events))
{
	*source = (struct serve_source){.fd = fd, .events = EPOLLIN, .ready = ready};
	int r = serve_loop_add(&server->loop, source);
	return r < 0 ? mp_error_set(r, "epoll_ctl: %s", mp_strerror(r)) : 0;
}

static int add_signals(struct server *server, bool is_private)
{
	sigset_t set;

	/* Whoever reads our remarks may end before we do. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	/* A Ctrl-C is meant for the program whose terminal it is, and that ends its own daemon. */
	if (is_private)
		signal(SIGINT, SIG_IGN);
	else
		sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return mp__error_errno("sigprocmask");
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return mp__error_errno("signalfd");
	return add_source(server, &server->signals, fd, signals_ready);
}

static int add_sources(struct server *server, const struct serve_config *config)
{
	int r = config->stop_fd < 0
			? add_signals(server, config->connector_fd >= 0)
			: add_source(server, &server->stopping, config->stop_fd, stopping_ready);

	if (r == 0 && config->owner_fd >= 0)
		r = add_source(server, &server->owner, config->owner_fd, owner_ready);
	if (r == 0 && config->connector_fd >= 0) {
		if (fcntl(config->connector_fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
			return mp__error_errno("the connector");
		r = add_source(server, &server->connector, config->connector_fd, connector_ready);
	}
	if (r == 0 && config->listen_fd < 0 && config->listen_path)
		r = serve_listener_open(&server->listener, config->listen_path, config->listen_mode,
			config->listen_group);
	if (r == 0 && server->listener.fd >= 0)
		r = add_source(server, &server->listening, server->listener.fd, listener_ready);
	if (r == 0 && config->hooks.started)
		r = config->hooks.started(&server->loop, &server->context, config->hooks.data);
	return r;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Wait for something until the deadline, and do all that it leads to. */
static int turn(struct server *server, mp__deadline deadline)
{
	struct serve_context *context = &server->context;
	int64_t next = serve_timers_next(&context->timers);

	serve_context_turn(context);
	if (next < deadline.ns)
		deadline.ns = next;
	int r = serve_loop_turn(&server->loop, mp__deadline_poll_ms(deadline));
	if (r == 0 && context->timers.count > 0)
		serve_timers_run(&context->timers, mp__now_ns());
	if (r == 0)
		r = serve_clients_flush(&server->clients);
	if (r < 0)
		return mp_error_set(r, "the loop: %s", mp_strerror(r));
	serve_clients_free_ended(&server->clients);
	if (server->loop.timed)
		serve_count_turn(&context->stats, mp__now_ns() - server->loop.woken_ns);
	return 0;
}

static bool is_forsaken(const struct server *server)
{
	return server->listener.fd < 0 && server->connector.fd < 0 &&
	       server->context.n_sessions == 0;
}

/* Who waits is told; replies that are due still go out, to those who read them. */
static int drain(struct server *server)
{
	const struct serve_hooks *hooks = &server->config->hooks;
	mp__deadline deadline = mp__deadline_in((int)server->context.limits.drain_ms);

	server->context.draining = true;
	/* Closing is not enough: whoever gave us the socket has it open, and epoll would go on. */
	if (server->listener.fd >= 0)
		serve_loop_remove(&server->loop, &server->listening);
	serve_listener_close(&server->listener);
	if (hooks->draining)
		hooks->draining(hooks->data);
	serve_clients_end_waits(&server->clients);
	int r = serve_clients_flush(&server->clients);
	while (r == 0 && serve_clients_have_output(&server->clients) &&
		!mp__deadline_passed(deadline))
		r = turn(server, deadline);
	return r;
}

static void deinit(struct server *server)
{
	const struct serve_hooks *hooks = &server->config->hooks;

	if (hooks->ended)
		hooks->ended(hooks->data);
	serve_clients_deinit(&server->clients);
	serve_listener_close(&server->listener);
	const struct serve_source *sources[] = {
		&server->connector, &server->owner, &server->signals};
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (sources[i]->fd >= 0)
			close(sources[i]->fd);
	}
	serve_loop_deinit(&server->loop);
	serve_context_deinit(&server->context);
}

static int say_ready(int fd)
{
	if (fd < 0)
		return 0;
	int r = mp__write_full(fd, "\n", 1);
	close(fd);
	return r < 0 ? mp_error_set(r, "saying that we are ready: %s", mp_strerror(r)) : 0;
}

int serve_server_run(const struct serve_config *config)
{
	struct server server = {
		.config = config,
		.loop = {.epoll = -1},
		.listener = {.fd = -1, .spare = -1},
		.listening = {.fd = -1},
		.connector = {.fd = -1},
		.owner = {.fd = -1},
		.signals = {.fd = -1},
	};

	if (config->listen_fd >= 0) /* ours from now on, whatever fails */
		serve_listener_adopt(&server.listener, config->listen_fd);
	int r = serve_loop_init(&server.loop);
	if (r == 0)
		r = serve_context_init(&server.context, config->service, &config->limits);
	serve_clients_init(&server.clients, &server.loop, &server.context, &config->hooks);
	if (config->key)
		server.context.key = config->key;
	if (r < 0)
		mp_error_set(r, "starting: %s", mp_strerror(r));
	else
		r = add_sources(&server, config);
	if (r == 0)
		r = say_ready(config->ready_fd);
	while (r == 0 && !server.stop && !server.context.stop && !is_forsaken(&server))
		r = turn(&server, MP__DEADLINE_NEVER);
	if (r == 0)
		r = drain(&server);
	deinit(&server);
	return r;
}
