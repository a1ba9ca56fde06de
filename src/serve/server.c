/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/server.h"

#include "base/deadline.h"
#include "base/error.h"
#include "base/fds.h"
#include "serve/listener.h"
#include "serve/log.h"
#include "serve/peer.h"
#include "serve/request.h"
#include "serve/session.h"
#include "serve/waiter.h"
#include "proto/manager.pb-c.h"

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
	struct client *clients;
	struct client *ended;
	struct serve_timer deaf; /* set: nobody is accepted until then */
	bool stop;
};

struct client {
	struct serve_session session;
	struct server *server;
	struct client *previous;
	struct client *next;
	struct serve_timer stall;    /* set while it owes us something */
	struct serve_source process; /* fd -1: not watched */
	int64_t met_ns;              /* serve_peer_clock_ns() when it came */
};

#define SERVER_OF(source, member) \
	((struct server *)((char *)(source)-offsetof(struct server, member)))
#define CLIENT_OF(source, member) \
	((struct client *)((char *)(source)-offsetof(struct client, member)))

/* --- clients ---------------------------------------------------------------------------------- */

static int64_t stall_ns(const struct server *server)
{
	return server->context.limits.stall_ms * NS_PER_MS;
}

/* Without memory for the timer its patience is not limited. */
static void update_owed(struct client *client)
{
	struct server *server = client->server;
	bool owed = !client->session.ended && serve_session_is_owed(&client->session);

	if (!owed) {
		serve_timer_stop(&server->context.timers, &client->stall);
	} else if (client->stall.place == 0) {
		client->session.stall_begin_ns = mp__now_ns();
		(void)serve_timer_set(&server->context.timers, &client->stall,
			client->session.stall_begin_ns + stall_ns(server));
	}
}

static void stop_watching(struct client *client)
{
	if (client->process.fd < 0)
		return;
	serve_loop_remove(&client->server->loop, &client->process);
	close(client->process.fd);
	client->process.fd = -1;
}

/*
 * Its waits and holds go at once, to the good of others; itself when the turn is over, because events
 * of it may be under way.
 */
static void end_client(struct client *client)
{
	struct server *server = client->server;

	if (client->session.ended)
		return;
	client->session.ended = true;
	update_owed(client);
	stop_watching(client);
	serve_loop_remove(&server->loop, &client->session.source);
	if (client->previous)
		client->previous->next = client->next;
	else
		server->clients = client->next;
	if (client->next)
		client->next->previous = client->previous;
	server->context.n_sessions--;
	serve_account_credit(client->session.account, SERVE_CONNECTIONS, 1);
	client->next = server->ended;
	server->ended = client;
	serve_session_leave(&client->session);
}

static struct serve_session *next_session(
	const struct serve_context *context, const struct serve_session *previous)
{
	const struct server *server =
		(const struct server *)((const char *)context - offsetof(struct server, context));
	struct client *client =
		previous ? ((const struct client *)previous)->next : server->clients;

	return client ? &client->session : NULL;
}

static void free_ended(struct server *server)
{
	while (server->ended) {
		struct client *client = server->ended;
		server->ended = client->next;
		serve_session_deinit(&client->session);
		free(client);
	}
}

static int client_ready(struct serve_source *source, uint32_t events)
{
	struct client *client = (struct client *)source;

	if (client->session.ended)
		return 0;
	int r = serve_session_io(&client->session, events);
	if (r < 0)
		return r;
	if (r > 0)
		end_client(client);
	else
		update_owed(client);
	return 0;
}

/* Send what others have caused to be sent; whoever ends by it may cause more. */
static int flush_dirty(struct server *server)
{
	while (server->context.dirty) {
		struct serve_session *session = server->context.dirty;
		server->context.dirty = session->next_dirty;
		session->is_dirty = false;
		if (session->failed)
			end_client((struct client *)session);
		int r = client_ready(&session->source, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The process has ended, whoever else has its socket. What it sent before counts. */
static int process_ended(struct serve_source *source, uint32_t events)
{
	struct client *client = CLIENT_OF(source, process);

	(void)events;
	if (client->session.ended)
		return 0;
	int r = client_ready(&client->session.source, EPOLLIN);
	end_client(client);
	return r;
}

/* It holds or waits for something: from now on its end must not be missed. */
static void watch_process(struct serve_session *session)
{
	struct client *client = (struct client *)session;
	struct server *server = client->server;
	int fd = serve_peer_open(session->source.fd, session->pid, client->met_ns);

	if (fd >= 0) {
		client->process =
			(struct serve_source){.fd = fd, .events = EPOLLIN, .ready = process_ended};
		if (serve_loop_add(&server->loop, &client->process) == 0)
			return;
		close(fd);
		client->process.fd = -1;
	}
	if (fd == -ESRCH) {
		/* Its child has its socket, and would keep what it gets. */
		session->failed = true;
		serve_session_make_dirty(session);
		return;
	}
	serve_log("unwatched", session->pid, session->uid,
		"pid %d of uid %u cannot be watched: only the end of its connection will show",
		(int)session->pid, (unsigned)session->uid);
}

/* How a connection is turned away: for the counters, the log, and the client. */
static const struct {
	const char *event;
	int code;
	const char *text;
} refusals[] = {
	[SERVE_REFUSED_DENIED] = {"denied", MP__CODE__DENIED, "this user may not use this server"},
	[SERVE_REFUSED_FULL] = {"full", MP__CODE__LIMIT,
		"the server has as many connections as it may"},
	[SERVE_REFUSED_USER] = {"limit", MP__CODE__LIMIT,
		"this user has as many connections as he may"},
	[SERVE_REFUSED_RATE] = {"rate", MP__CODE__LIMIT,
		"this user's connections come faster than they may"},
	[SERVE_REFUSED_MEMORY] = {"memory", MP__CODE__NO_MEMORY, "the server is out of memory"},
};

/* Say no, if it can be said at once, and close. */
static void turn_away(
	struct server *server, int fd, const struct ucred *peer, enum serve_refusal why)
{
	uint8_t frame[MP__DETAIL_SIZE];
	size_t size =
		serve_request_denial(refusals[why].code, refusals[why].text, frame, sizeof(frame));

	server->context.stats.refused[why]++;
	serve_log(refusals[why].event, peer->pid, peer->uid, "pid %d of uid %u is turned away: %s",
		(int)peer->pid, (unsigned)peer->uid, refusals[why].text);
	(void)!send(fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void stalled(struct serve_timer *timer);

static bool is_allowed(const struct server *server, int fd, const struct ucred *peer)
{
	const struct serve_hooks *hooks = &server->config->hooks;

	if (hooks->admits)
		return hooks->admits(fd, peer, hooks->data);
	return peer->uid == 0 || peer->uid == geteuid();
}

/* Which of the reasons to turn it away holds; or SERVE_N_REFUSALS. */
static enum serve_refusal judge(
	struct server *server, int fd, const struct ucred *peer, struct serve_account *account)
{
	if (!is_allowed(server, fd, peer))
		return SERVE_REFUSED_DENIED;
	if (!account)
		return SERVE_REFUSED_MEMORY;
	if (!serve_account_admit(account, mp__now_ns()))
		return SERVE_REFUSED_RATE;
	if (!serve_account_may(account, SERVE_CONNECTIONS, 1))
		return SERVE_REFUSED_USER;
	if (server->context.n_sessions >= server->context.limits.max_connections)
		return SERVE_REFUSED_FULL;
	return SERVE_N_REFUSALS;
}

/* Takes the descriptor and the reference of the account. False: it does neither, for want of memory. */
static bool enter(
	struct server *server, int fd, const struct ucred *peer, struct serve_account *account)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return false;
	serve_session_init(&client->session, &server->context, fd);
	client->session.source.ready = client_ready;
	client->session.loop = &server->loop;
	client->session.pid = peer->pid;
	client->session.uid = peer->uid;
	client->session.gid = peer->gid;
	client->server = server;
	client->stall.fire = stalled;
	client->process.fd = -1;
	client->met_ns = serve_peer_clock_ns();
	if (serve_loop_add(&server->loop, &client->session.source) < 0) {
		client->session.source.fd = -1;
		serve_session_deinit(&client->session);
		free(client);
		return false;
	}
	client->session.account = account;
	serve_account_charge(account, SERVE_CONNECTIONS, 1);
	client->next = server->clients;
	if (client->next)
		client->next->previous = client;
	server->clients = client;
	server->context.n_sessions++;
	server->context.stats.connections++;
	update_owed(client);
	return true;
}

/* Takes the descriptor. A connection that cannot be served is closed, and that is all. */
static void admit(struct server *server, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		close(fd);
		return;
	}
	struct serve_account *account = serve_account_get(&server->context.accounts, peer.uid);
	enum serve_refusal why = judge(server, fd, &peer, account);
	if (why == SERVE_N_REFUSALS && enter(server, fd, &peer, account))
		return;
	serve_account_unref(account);
	turn_away(server, fd, &peer, why == SERVE_N_REFUSALS ? SERVE_REFUSED_MEMORY : why);
}

static void turned_away_unseen(struct server *server)
{
	server->context.stats.refused[SERVE_REFUSED_DESCRIPTORS]++;
	serve_log(
		"descriptors", SERVE_LOG_NOBODY, "out of descriptors: a connection is turned away");
}

static const char *owes(const struct serve_session *session)
{
	if (!session->greeted)
		return "says no hello";
	return mp__buffer_size(&session->out) > 0 ? "does not read its replies"
						  : "does not send the rest of a request";
}

/* It has owed something for too long, unless it has done some of it meanwhile. */
static void stalled(struct serve_timer *timer)
{
	struct client *client = CLIENT_OF(timer, stall);
	struct server *server = client->server;
	int64_t end = client->session.stall_begin_ns + stall_ns(server);

	if (end > mp__now_ns()) {
		(void)serve_timer_set(&server->context.timers, timer, end);
		return;
	}
	server->context.stats.stalled++;
	serve_log("stalled", client->session.pid, client->session.uid,
		"pid %d of uid %u %s for %u ms: dropped", (int)client->session.pid,
		(unsigned)client->session.uid, owes(&client->session),
		server->context.limits.stall_ms);
	end_client(client);
}

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
static int stop_listening(struct server *server, int why)
{
	serve_log("accept", SERVE_LOG_NOBODY, "accept: %s", mp_strerror(why));
	server->deaf.fire = listen_again;
	if (!serve_timer_set(
		    &server->context.timers, &server->deaf, mp__now_ns() + DEAF_MS * NS_PER_MS))
		return 0; /* and turn in vain until there is memory again */
	return serve_loop_want(&server->loop, &server->listening, 0);
}

static int listener_ready(struct serve_source *source, uint32_t events)
{
	struct server *server = SERVER_OF(source, listening);

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = serve_listener_accept(&server->listener);
		if (fd == -EAGAIN)
			break;
		if (fd == -EMFILE)
			turned_away_unseen(server);
		else if (fd < 0)
			return stop_listening(server, fd);
		else
			admit(server, fd);
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
			turned_away_unseen(server);
		/* A message without a descriptor, or with one that found no room here. */
		if (n < 0 || n_fds == 0)
			continue;
		if (is_stream_socket(fd))
			admit(server, fd);
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
	if (r == 0 && config->listen_fd >= 0)
		serve_listener_adopt(&server->listener, config->listen_fd);
	else if (r == 0 && config->listen_path)
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

	if (next < deadline.ns)
		deadline.ns = next;
	int r = serve_loop_turn(&server->loop, mp__deadline_poll_ms(deadline));
	if (r == 0 && context->timers.count > 0)
		serve_timers_run(&context->timers, mp__now_ns());
	if (r == 0)
		r = flush_dirty(server);
	if (r < 0)
		return mp_error_set(r, "the loop: %s", mp_strerror(r));
	free_ended(server);
	if (server->loop.timed)
		serve_count_turn(&context->stats, mp__now_ns() - server->loop.woken_ns);
	return 0;
}

static bool is_forsaken(const struct server *server)
{
	return server->listener.fd < 0 && server->connector.fd < 0 &&
	       server->context.n_sessions == 0;
}

static bool has_output(const struct server *server)
{
	for (const struct client *c = server->clients; c; c = c->next) {
		if (mp__buffer_size(&c->session.out) > 0)
			return true;
	}
	return false;
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
	for (struct client *c = server->clients; c; c = c->next)
		serve_end_waits(&c->session, SERVE_END_SHUTDOWN);
	int r = flush_dirty(server);
	while (r == 0 && has_output(server) && !mp__deadline_passed(deadline))
		r = turn(server, deadline);
	return r;
}

static void deinit(struct server *server)
{
	const struct serve_hooks *hooks = &server->config->hooks;

	if (hooks->ended)
		hooks->ended(hooks->data);
	while (server->clients)
		end_client(server->clients);
	free_ended(server);
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

	int r = serve_loop_init(&server.loop);
	if (r == 0)
		r = serve_context_init(&server.context, config->service, &config->limits);
	server.context.bound = watch_process;
	if (config->key)
		server.context.key = config->key;
	server.context.next_session = next_session;
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
