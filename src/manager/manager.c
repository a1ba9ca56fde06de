/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/manager.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"
#include "base/options.h"
#include "base/random.h"
#include "manager/argument.h"
#include "manager/private.h"
#include "manager/share.h"

#include <poll.h>
#include <string.h>

/* How often to look for a managerd that may be started anew. */
#define RECONNECT_MS_MAX 100

int mp__manager_new(const struct mp__address *address, int timeout_ms, int reconnect_ms,
	const uint8_t *id, struct mp_manager **ret_manager)
{
	MP__AUTO_FREE struct mp_manager *m = calloc(1, sizeof(*m));

	if (!m)
		return mp_error_set(-ENOMEM, "no memory for a manager");
	if (id)
		memcpy(m->id, id, sizeof(m->id));
	int r = id ? 0 : mp__random(m->id, sizeof(m->id));
	if (r < 0)
		return mp_error_set(r, "a new manager: no random numbers");
	m->handle.class = &mp__manager_class;
	m->references = 1;
	m->address = *address;
	m->timeout_ms = timeout_ms;
	m->reconnect_ms = reconnect_ms;
	m->key_fd = -1;
	m->daemon.pidfd = -1;
	mp__fork_lock_init(&m->lock);
	*ret_manager = MP__TAKE_PTR(m);
	return 0;
}

void mp__manager_free(struct mp_manager *m)
{
	if (m->connection) {
		if (mp__origin_is_here(m->lock.origin))
			mp__connection_unref(m->connection);
		else
			mp__connection_forget(m->connection);
	}
	/* The daemon sees the end of its connections before it is asked to go. */
	if (m->daemon.pidfd >= 0) {
		if (mp__origin_is_here(m->daemon.origin))
			mp__private_stop(&m->daemon);
		close(m->daemon.pidfd);
	}
	if (m->address.connector >= 0)
		close(m->address.connector);
	if (m->key_fd >= 0)
		close(m->key_fd);
	mp__authkey_wipe(&m->address.key);
	free(m);
}

/* --- the connection --------------------------------------------------------------------------- */

mp__deadline mp__manager_deadline(const struct mp_manager *manager)
{
	return mp__deadline_in(manager->timeout_ms);
}

/* The lock, and if this process is new to the handle, without its parent's connection. */
static int take_lock(struct mp_manager *m, mp__deadline deadline)
{
	int r = mp__fork_lock_take(&m->lock, deadline);

	if (r < 0)
		return mp_error_set(
			r, "managerd has not answered in time what other threads asked before");
	if (r > 0 && m->connection) {
		mp__connection_forget(m->connection);
		m->connection = NULL;
	}
	return 0;
}

/* Who is started anew is not there for a moment. A private one comes back never. */
static bool may_come_back(const struct mp_manager *m, int result)
{
	return m->address.connector < 0 &&
	       (result == -ENOENT || result == -ECONNREFUSED || result == -EPIPE);
}

/* Again and again, as long as the handle says: soon at first, and then now and then. */
static int open_patiently(
	struct mp_manager *m, mp__deadline deadline, struct mp__connection **ret_connection)
{
	int reconnect_ms = m->reconnect_ms == MP_RECONNECT_NEVER ? 0 : m->reconnect_ms;
	mp__deadline patience =
		reconnect_ms < 0 ? deadline : mp__deadline_slice(deadline, reconnect_ms);

	for (int ms = 1;; ms = ms < RECONNECT_MS_MAX ? 2 * ms : ms) {
		int r = mp__connection_open(&m->address, deadline, ret_connection);
		if (!may_come_back(m, r) || mp__deadline_passed(patience))
			return r;
		(void)poll(NULL, 0, mp__deadline_poll_ms(mp__deadline_slice(patience, ms)));
	}
}

static int connect_anew(struct mp_manager *m, mp__deadline deadline)
{
	struct mp__connection *connection;

	int r = open_patiently(m, deadline, &connection);
	/* For the caller of mp_manager_connect() this is an address; for all others, an end. */
	if (r == -ENOENT || r == -ECONNREFUSED)
		r = mp_error_set(-EPIPE, "managerd is gone: %s", mp_error_detail());
	if (r < 0)
		return r;
	mp__connection_unref(m->connection);
	m->connection = connection;
	return 0;
}

int mp__manager_lock(
	struct mp_manager *m, mp__deadline deadline, struct mp__connection **ret_connection)
{
	int r = take_lock(m, deadline);

	if (r < 0)
		return r;
	bool was = m->connection && mp__connection_is_broken(m->connection);
	if (was && m->reconnect_ms == MP_RECONNECT_NEVER)
		r = mp_error_set(-EPIPE, "the connection with managerd has ended, and the options "
					 "say never to make another one");
	else if (!m->connection || was)
		r = connect_anew(m, deadline);
	if (r < 0) {
		mp__manager_unlock(m);
		return r;
	}
	mp__connection_ref(m->connection);
	*ret_connection = m->connection;
	return 0;
}

int mp__manager_lock_as_is(
	struct mp_manager *m, mp__deadline deadline, struct mp__connection **ret_connection)
{
	int r = take_lock(m, deadline);

	if (r < 0)
		return r;
	if (m->connection)
		mp__connection_ref(m->connection);
	*ret_connection = m->connection;
	return 0;
}

void mp__manager_unlock(struct mp_manager *m)
{
	mp__fork_lock_release(&m->lock);
}

static int take_value(
	struct mp_manager *m, uint64_t serial, const Mp__Response *response, mp_obj *ret)
{
	if (response->result_case != MP__RESPONSE__RESULT_VALUE)
		return mp__argument_unexpected();
	return mp__argument_decode(m, serial, response, response->value, ret);
}

int mp__manager_ask(
	struct mp_manager *m, Mp__Request *request, mp__deadline deadline, mp_obj *ret_value)
{
	struct mp__connection *connection;
	struct mp__reply reply;

	int r = mp__manager_lock(m, deadline, &connection);
	if (r < 0)
		return r;
	mp__manager_unlock(m);
	r = mp__connection_call(connection, request, deadline, &reply);
	if (r >= 0) {
		if (ret_value)
			r = take_value(
				m, mp__connection_serial(connection), reply.response, ret_value);
		mp__reply_free(&reply);
	}
	mp__connection_unref(connection);
	return r;
}

/* --- public ----------------------------------------------------------------------------------- */

static int load_options(const mp_manager_options *options, mp_manager_options *known)
{
	int r = mp__options_load(known, sizeof(*known), 0, options);

	if (r == 0 && known->timeout_ms < MP_FOREVER)
		r = mp_error_set(-EINVAL,
			"options of a manager: timeout_ms is %d; it is 0 for no limit, or more",
			known->timeout_ms);
	if (r == 0 && known->reconnect_ms < MP_RECONNECT_NEVER)
		r = mp_error_set(-EINVAL,
			"options of a manager: reconnect_ms is %d; it is 0 or more, MP_FOREVER, "
			"or MP_RECONNECT_NEVER",
			known->reconnect_ms);
	return r;
}

/* How long start and connect may take, and how long a request. */
static mp__deadline opening_deadline(const mp_manager_options *options)
{
	return mp__deadline_in(options->timeout_ms ? options->timeout_ms : MP__MANAGER_TIMEOUT_MS);
}

static int request_timeout(const mp_manager_options *options)
{
	return options->timeout_ms ? options->timeout_ms : MP_FOREVER;
}

int mp_manager_connect(
	const char *address, const mp_manager_options *options, mp_manager **ret_manager)
{
	struct mp__connection *connection;
	struct mp__address parsed;
	mp_manager_options known;
	mp_manager *m;

	if (!ret_manager)
		return mp_error_set(-EINVAL, "connecting to a managerd: no place for the handle");
	int r = load_options(options, &known);
	if (r == 0)
		r = mp__address_parse(address, &parsed);
	if (r == 0 && known.authkey)
		r = mp__authkey_set(&parsed.key, known.authkey, known.authkey_size);
	if (r == 0)
		r = mp__connection_open(&parsed, opening_deadline(&known), &connection);
	if (r != 0) {
		mp__authkey_wipe(&parsed.key);
		return r;
	}
	r = mp__manager_new(&parsed, request_timeout(&known), known.reconnect_ms, NULL, &m);
	mp__authkey_wipe(&parsed.key);
	if (r != 0) {
		mp__connection_unref(connection);
		return r;
	}
	m->connection = connection;
	mp__share_add(m);
	*ret_manager = m;
	return 0;
}

int mp_manager_start(const mp_manager_options *options, mp_manager **ret_manager)
{
	struct mp__address address = {.connector = -1};
	struct mp__daemon daemon;
	struct mp__connection *connection;
	mp_manager_options known;
	mp_manager *m;

	if (!ret_manager)
		return mp_error_set(-EINVAL, "starting a managerd: no place for the handle");
	int r = load_options(options, &known);
	if (r == 0 && known.authkey)
		r = mp_error_set(-EINVAL, "starting a private managerd with a key: nobody else can "
					  "reach it, it has none");
	if (r < 0)
		return r;
	mp__deadline deadline = opening_deadline(&known);
	r = mp__private_start(known.program, &daemon, &address.connector);
	if (r < 0)
		return r;
	r = mp__manager_new(&address, request_timeout(&known), known.reconnect_ms, NULL, &m);
	if (r != 0) {
		mp__private_stop(&daemon);
		mp__fds_close((int[]){daemon.pidfd, address.connector}, 2);
		return r;
	}
	m->daemon = daemon;
	r = mp__connection_open(&address, deadline, &connection);
	if (r < 0) {
		r = mp__private_explain(&daemon, r);
		mp__manager_free(m);
		return r;
	}
	m->connection = connection;
	mp__share_add(m);
	*ret_manager = m;
	return 0;
}

int mp_manager_ping(mp_manager *manager)
{
	Mp__Ping ping = MP__PING__INIT;

	if (!manager)
		return mp_error_set(-EINVAL, "ping: the manager is NULL");
	Mp__Request request = MP__REQUEST(PING, ping, &ping);
	return mp__manager_ask(manager, &request, mp__manager_deadline(manager), NULL);
}

int mp_manager_pid(mp_manager *manager)
{
	if (!manager)
		return mp_error_set(-EINVAL, "pid: the manager is NULL");
	if (manager->daemon.pidfd < 0 || !mp__origin_is_here(manager->daemon.origin))
		return mp_error_set(-EINVAL, "pid: this process has not started that managerd");
	return manager->daemon.pid;
}

mp_manager *mp_manager_ref(mp_manager *manager)
{
	if (manager)
		atomic_fetch_add_explicit(&manager->references, 1, memory_order_relaxed);
	return manager;
}

int mp_manager_close(mp_manager *manager)
{
	if (manager && mp__share_drop(manager))
		mp__manager_free(manager);
	return 0;
}
