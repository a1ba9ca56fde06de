/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/call.h"

#include "base/error.h"
#include "base/origin.h"
#include "manager/failure.h"
#include "obj/utf8.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long giving up may wait for other threads that are sending. */
#define GIVE_UP_MS 1000

/* --- what a call is before and after it is under way ------------------------------------------ */

/*
 * What locks know this thread by: a number that no other thread of the process has or had, and in the
 * low half, for people, what the system calls it.
 */
static uint64_t thread_number(void)
{
	static _Atomic uint32_t latest;
	static _Thread_local uint64_t number;
	static _Thread_local mp__origin origin;

	if (!mp__origin_is_here(origin)) {
		number = (uint64_t)(atomic_fetch_add(&latest, 1) + 1) << 32 |
			 (uint32_t)syscall(SYS_gettid);
		origin = mp__origin_here();
	}
	return number;
}

/* This one takes a lock before it is answered, whenever that is. */
static bool waits_for_condition(const struct mp_proxy *proxy, const char *method)
{
	return strcmp(method, "wait") == 0 && strcmp(proxy->object.class_name, "condition") == 0;
}

/* After these the caller has something that it must know of. */
static bool may_hold(const char *method)
{
	return strcmp(method, "acquire") == 0;
}

/*
 * The daemon keeps the deadline of the method; ours comes so much later as a request may take. If it
 * passes, the daemon has stopped, and may find the request when it goes on.
 */
static mp__deadline call_deadline(const struct mp_proxy *proxy, const char *method, int timeout_ms)
{
	const struct mp_manager *manager = proxy->manager;

	if (timeout_ms < 0 || manager->timeout_ms < 0 || waits_for_condition(proxy, method))
		return MP__DEADLINE_NEVER;
	/* From now on: the deadline of what does not wait is no point in time. */
	return (mp__deadline){
		mp__now_ns() + ((int64_t)timeout_ms + manager->timeout_ms) * 1000 * 1000};
}

/* It will not be answered in time: it must not be done later, unknown to the caller. */
static void give_up(struct mp_manager *manager, uint64_t serial, const Mp__Request *given_up)
{
	Mp__Cancel cancel = MP__CANCEL__INIT;
	struct mp__connection *connection;
	mp__deadline deadline = mp__deadline_in(0);

	if (mp__manager_lock_as_is(manager, mp__deadline_in(GIVE_UP_MS), &connection) < 0)
		return;
	mp__manager_unlock(manager);
	if (!connection)
		return;
	if (mp__connection_serial(connection) == serial) {
		cancel.id = given_up->id;
		Mp__Request request = MP__REQUEST(CANCEL, cancel, &cancel);
		mp__connection_post(connection, &request, deadline);
		if (may_hold(given_up->call->method))
			mp__connection_break(connection);
	}
	mp__connection_unref(connection);
}

static int decode_result(
	struct mp_proxy *proxy, uint64_t serial, const Mp__Response *response, mp_obj *ret_result)
{
	if (response->result_case == MP__RESPONSE__RESULT__NOT_SET) {
		*ret_result = mp_nil();
		return 0;
	}
	if (response->result_case != MP__RESPONSE__RESULT_VALUE)
		return mp__argument_unexpected();
	return mp__argument_decode(proxy->manager, serial, response, response->value, ret_result);
}

static int check(const mp_proxy *proxy, const char *name, mp_obj args, int timeout_ms)
{
	if (!proxy || !name)
		return mp_error_set(-EINVAL, "a call without an object, or without a method");
	if (args.type != MP_TYPE_NIL && args.type != MP_TYPE_LIST)
		return mp_error_set(-EINVAL, "%s: the arguments are no list; use MP_LIST()", name);
	if (timeout_ms < MP_FOREVER)
		return mp_error_set(-EINVAL, "%s: a timeout of %d", name, timeout_ms);
	if (!mp__utf8_valid(name, strlen(name)))
		return mp_error_set(-EILSEQ, "the name of a method is not UTF-8");
	return 0;
}

int mp__method_prepare(
	struct mp__method *m, mp_proxy *proxy, const char *name, mp_obj args, int timeout_ms)
{
	m->given = args;
	m->args.data = NULL;
	m->args.size = 0;
	m->args.serial = 0;
	int r = check(proxy, name, args, timeout_ms);
	if (r == 0 && args.type == MP_TYPE_LIST)
		r = mp__argument_encode(&m->args, proxy->manager, &m->given);
	if (r < 0)
		return r;
	m->proxy = proxy;
	m->request = MP__REQUEST(CALL, call, &m->op);
	m->op = (Mp__Call)MP__CALL__INIT;
	m->op.method = (char *)name;
	mp__argument_stand_in(&m->args, &m->op.args);
	m->op.thread = thread_number();
	if (timeout_ms >= 0) {
		m->op.patience_case = MP__CALL__PATIENCE_TIMEOUT_MS;
		m->op.timeout_ms = (uint64_t)timeout_ms;
	}
	m->deadline = call_deadline(proxy, name, timeout_ms);
	m->reply.answered = false;
	return 0;
}

int mp__method_connect(struct mp__method *m, struct mp__connection **ret_connection)
{
	int r = mp__proxy_connection(
		m->proxy, m->deadline, &m->args, ret_connection, &m->op.reference);

	if (r == 0)
		m->serial = mp__connection_serial(*ret_connection);
	return r;
}

int mp__method_finish(struct mp__method *m, int r, mp_obj *ret_result)
{
	mp_obj result;

	r = mp__failure_said(m->proxy, &m->request, &m->reply, r);
	if (r == -ETIMEDOUT && m->request.id > 0 && !m->reply.answered)
		give_up(m->proxy->manager, m->serial, &m->request);
	if (r < 0)
		return r;
	int d = decode_result(m->proxy, m->serial, m->reply.response, &result);
	mp__reply_free(&m->reply);
	if (d < 0)
		return d;
	if (ret_result)
		*ret_result = result;
	else
		mp_obj_free(&result);
	return r;
}

/* --- one -------------------------------------------------------------------------------------- */

int mp_proxy_call(
	mp_proxy *proxy, const char *method, mp_obj args, int timeout_ms, mp_obj *ret_result)
{
	MP__AUTO(mp__method_cleanup) struct mp__method m;
	struct mp__connection *connection;

	int r = mp__method_prepare(&m, proxy, method, args, timeout_ms);
	if (r == 0)
		r = mp__method_connect(&m, &connection);
	if (r < 0)
		return r;
	r = mp__connection_call(connection, &m.request, m.deadline, &m.reply);
	mp__connection_unref(connection);
	return mp__method_finish(&m, r, ret_result);
}

/* --- for typed functions ---------------------------------------------------------------------- */

int mp__proxy_call(struct mp_proxy *proxy, const char *class_name, const char *method, mp_obj args,
	int timeout_ms, mp_obj *ret_result)
{
	if (!proxy)
		return mp_error_set(-EINVAL, "%s: no %s", method, class_name);
	if (strcmp(proxy->object.class_name, class_name) != 0)
		return mp_error_set(-EINVAL, "%s: the proxy is of a %s, not of a %s", method,
			proxy->object.class_name, class_name);
	return mp_proxy_call(proxy, method, args, timeout_ms, ret_result);
}

int mp__proxy_call_i64(struct mp_proxy *proxy, const char *class_name, const char *method,
	mp_obj args, int timeout_ms, int64_t *ret_number)
{
	mp_obj result = mp_nil();

	int r = mp__proxy_call(proxy, class_name, method, args, timeout_ms, &result);
	if (r < 0)
		return r;
	if (result.type != MP_TYPE_I64) {
		mp_obj_free(&result);
		return mp__argument_unexpected();
	}
	*ret_number = result.as.i64;
	mp_obj_free(&result);
	return r;
}

int mp__proxy_call_bool(struct mp_proxy *proxy, const char *class_name, const char *method,
	mp_obj args, int timeout_ms)
{
	mp_obj result = mp_nil();

	int r = mp__proxy_call(proxy, class_name, method, args, timeout_ms, &result);
	if (r < 0)
		return r;
	r = result.type == MP_TYPE_BOOL ? result.as.boolean : mp__argument_unexpected();
	mp_obj_free(&result);
	return r;
}

int mp_proxy_version(mp_proxy *proxy, int64_t *ret_version)
{
	if (!proxy || !ret_version)
		return mp_error_set(-EINVAL, "version: no object, or no place for its version");
	return mp__proxy_call_i64(
		proxy, proxy->object.class_name, "version", mp_nil(), MP_NOWAIT, ret_version);
}

int mp_proxy_watch(mp_proxy *proxy, int64_t version, int timeout_ms, int64_t *ret_version)
{
	int64_t now = 0;

	if (!proxy)
		return mp_error_set(-EINVAL, "watch: no object");
	int r = mp__proxy_call_i64(proxy, proxy->object.class_name, "watch",
		MP_LIST(mp_i64(version)), timeout_ms, &now);
	if (r == 0 && ret_version)
		*ret_version = now;
	return r;
}
