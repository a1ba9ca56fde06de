/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/clients.h"

#include "base/deadline.h"
#include "base/error.h"
#include "proto/manager.pb-c.h"
#include "serve/log.h"
#include "serve/peer.h"
#include "serve/request.h"
#include "serve/waiter.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_MS ((int64_t)1000 * 1000)

struct client {
	struct serve_session session;
	struct serve_clients *clients;
	struct client *previous;
	struct client *next;
	struct serve_timer stall;    /* set while it owes us something */
	struct serve_source process; /* fd -1: not watched */
	int64_t met_ns;              /* serve_peer_clock_ns() when it came */
};

#define CLIENT_OF(source, member) \
	((struct client *)((char *)(source)-offsetof(struct client, member)))

/* --- one -------------------------------------------------------------------------------------- */

static int64_t stall_ns(const struct serve_clients *clients)
{
	return clients->context->limits.stall_ms * NS_PER_MS;
}

/* Without memory for the timer its patience is not limited. */
static void update_owed(struct client *client)
{
	struct serve_clients *clients = client->clients;
	bool owed = !client->session.ended && serve_session_is_owed(&client->session);

	if (!owed) {
		serve_timer_stop(&clients->context->timers, &client->stall);
	} else if (client->stall.place == 0) {
		client->session.stall_begin_ns = mp__now_ns();
		(void)serve_timer_set(&clients->context->timers, &client->stall,
			client->session.stall_begin_ns + stall_ns(clients));
	}
}

static void stop_watching(struct client *client)
{
	if (client->process.fd < 0)
		return;
	serve_loop_remove(client->clients->loop, &client->process);
	close(client->process.fd);
	client->process.fd = -1;
}

/*
 * Its waits and holds go at once, to the good of others; itself when the turn is over, because events
 * of it may be under way.
 */
static void end_client(struct client *client)
{
	struct serve_clients *clients = client->clients;

	if (client->session.ended)
		return;
	client->session.ended = true;
	update_owed(client);
	stop_watching(client);
	serve_loop_remove(clients->loop, &client->session.source);
	if (client->previous)
		client->previous->next = client->next;
	else
		clients->first = client->next;
	if (client->next)
		client->next->previous = client->previous;
	clients->context->n_sessions--;
	serve_account_credit(client->session.account, SERVE_CONNECTIONS, 1);
	client->next = clients->ended;
	clients->ended = client;
	serve_session_leave(&client->session);
}

struct serve_session *serve_clients_next(
	const struct serve_clients *clients, const struct serve_session *previous)
{
	struct client *client = clients->first;

	if (previous)
		client = ((const struct client *)previous)->next;
	return client ? &client->session : NULL;
}

void serve_clients_free_ended(struct serve_clients *clients)
{
	while (clients->ended) {
		struct client *client = clients->ended;
		clients->ended = client->next;
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
int serve_clients_flush(struct serve_clients *clients)
{
	while (clients->context->dirty) {
		struct serve_session *session = clients->context->dirty;
		clients->context->dirty = session->next_dirty;
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
	struct serve_clients *clients = client->clients;
	int fd = serve_peer_open(session->source.fd, session->pid, client->met_ns);

	if (fd >= 0) {
		client->process =
			(struct serve_source){.fd = fd, .events = EPOLLIN, .ready = process_ended};
		if (serve_loop_add(clients->loop, &client->process) == 0)
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

/* --- who comes ------------------------------------------------------------------------------- */

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
	struct serve_clients *clients, int fd, const struct ucred *peer, enum serve_refusal why)
{
	uint8_t frame[MP__DETAIL_SIZE];
	size_t size =
		serve_request_denial(refusals[why].code, refusals[why].text, frame, sizeof(frame));

	clients->context->stats.refused[why]++;
	serve_log(refusals[why].event, peer->pid, peer->uid, "pid %d of uid %u is turned away: %s",
		(int)peer->pid, (unsigned)peer->uid, refusals[why].text);
	(void)!send(fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void stalled(struct serve_timer *timer);

static bool is_allowed(const struct serve_clients *clients, int fd, const struct ucred *peer)
{
	const struct serve_hooks *hooks = clients->hooks;

	if (hooks->admits)
		return hooks->admits(fd, peer, hooks->data);
	return peer->uid == 0 || peer->uid == geteuid();
}

/* Which of the reasons to turn it away holds; or SERVE_N_REFUSALS. */
static enum serve_refusal judge(struct serve_clients *clients, int fd, const struct ucred *peer,
	struct serve_account *account)
{
	if (!is_allowed(clients, fd, peer))
		return SERVE_REFUSED_DENIED;
	if (!account)
		return SERVE_REFUSED_MEMORY;
	if (!serve_account_admit(account, mp__now_ns()))
		return SERVE_REFUSED_RATE;
	if (!serve_account_may(account, SERVE_CONNECTIONS, 1))
		return SERVE_REFUSED_USER;
	if (clients->context->n_sessions >= clients->context->limits.max_connections)
		return SERVE_REFUSED_FULL;
	return SERVE_N_REFUSALS;
}

/* Takes the descriptor and the reference of the account. False: it does neither, for want of memory. */
static bool enter(struct serve_clients *clients, int fd, const struct ucred *peer,
	struct serve_account *account)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return false;
	serve_session_init(&client->session, clients->context, fd);
	client->session.source.ready = client_ready;
	client->session.loop = clients->loop;
	client->session.pid = peer->pid;
	client->session.uid = peer->uid;
	client->session.gid = peer->gid;
	client->clients = clients;
	client->stall.fire = stalled;
	client->process.fd = -1;
	client->met_ns = serve_peer_clock_ns();
	if (serve_loop_add(clients->loop, &client->session.source) < 0) {
		client->session.source.fd = -1;
		serve_session_deinit(&client->session);
		free(client);
		return false;
	}
	client->session.account = account;
	serve_account_charge(account, SERVE_CONNECTIONS, 1);
	client->next = clients->first;
	if (client->next)
		client->next->previous = client;
	clients->first = client;
	clients->context->n_sessions++;
	clients->context->stats.connections++;
	update_owed(client);
	return true;
}

/* Takes the descriptor. A connection that cannot be served is closed, and that is all. */
void serve_clients_admit(struct serve_clients *clients, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		close(fd);
		return;
	}
	struct serve_account *account = serve_account_get(&clients->context->accounts, peer.uid);
	enum serve_refusal why = judge(clients, fd, &peer, account);
	if (why == SERVE_N_REFUSALS && enter(clients, fd, &peer, account))
		return;
	serve_account_unref(account);
	turn_away(clients, fd, &peer, why == SERVE_N_REFUSALS ? SERVE_REFUSED_MEMORY : why);
}

void serve_clients_turned_away_unseen(struct serve_clients *clients)
{
	clients->context->stats.refused[SERVE_REFUSED_DESCRIPTORS]++;
	serve_log(
		"descriptors", SERVE_LOG_NOBODY, "out of descriptors: a connection is turned away");
}

/* --- who stands still ------------------------------------------------------------------------ */

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
	struct serve_clients *clients = client->clients;
	int64_t end = client->session.stall_begin_ns + stall_ns(clients);

	if (end > mp__now_ns()) {
		(void)serve_timer_set(&clients->context->timers, timer, end);
		return;
	}
	clients->context->stats.stalled++;
	serve_log("stalled", client->session.pid, client->session.uid,
		"pid %d of uid %u %s for %u ms: dropped", (int)client->session.pid,
		(unsigned)client->session.uid, owes(&client->session),
		clients->context->limits.stall_ms);
	end_client(client);
}

/* --- all -------------------------------------------------------------------------------------- */

void serve_clients_init(struct serve_clients *clients, struct serve_loop *loop,
	struct serve_context *context, const struct serve_hooks *hooks)
{
	*clients = (struct serve_clients){.loop = loop, .context = context, .hooks = hooks};
	context->bound = watch_process;
	context->clients = clients;
}

void serve_clients_deinit(struct serve_clients *clients)
{
	while (clients->first)
		end_client(clients->first);
	serve_clients_free_ended(clients);
}

void serve_clients_end_waits(struct serve_clients *clients)
{
	for (struct client *c = clients->first; c; c = c->next)
		serve_end_waits(&c->session, SERVE_END_SHUTDOWN);
}

bool serve_clients_have_output(const struct serve_clients *clients)
{
	for (const struct client *c = clients->first; c; c = c->next) {
		if (mp__buffer_size(&c->session.out) > 0)
			return true;
	}
	return false;
}
