/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/inspect.h"

#include "base/deadline.h"
#include "proto/manager.pb-c.h"
#include "serve/call.h"
#include "serve/clients.h"
#include "serve/hold.h"
#include "serve/item.h"
#include "serve/log.h"
#include "serve/monitor.h"
#include "serve/reply.h"
#include "serve/waiter.h"

#include <string.h>
#include <unistd.h>

/* Objects that one request looks at: some milliseconds. */
#define LOOKS_MAX 10000

bool serve_is_keeper(const struct serve_session *session)
{
	return session->uid == 0 || session->uid == geteuid();
}

/* --- answers that are lists of dicts ---------------------------------------------------------- */

static mp_obj seconds_since(int64_t begin_ns)
{
	return mp_f64((double)(mp__now_ns() - begin_ns) / 1e9);
}

static int answer(struct serve_call *call, bool complete)
{
	return complete ? serve_answer_list(call) : call->failed;
}

/* --- objects ---------------------------------------------------------------------------------- */

static bool is_maker(const struct serve_session *session, const struct serve_object *object)
{
	return serve_is_keeper(session) ||
	       (object->account && object->account->uid == session->uid);
}

static bool is_wanted(const struct serve_session *session, const Mp__ListObjects *op,
	const struct serve_object *object)
{
	const struct serve_bytes *name = &object->name;

	if (op->class_name[0] != '\0' && strcmp(op->class_name, object->class->name) != 0)
		return false;
	if (name->size == 0)
		return op->nameless && op->prefix.len == 0 && is_maker(session, object);
	return name->size >= op->prefix.len &&
	       (op->prefix.len == 0 || memcmp(name->data, op->prefix.data, op->prefix.len) == 0) &&
	       serve_session_allows(session, name->data, name->size);
}

static void add_object(struct serve_item *item, const struct serve_object *object)
{
	serve_item_add(item, "number", mp_i64((int64_t)object->number));
	serve_item_add(item, "class", mp_str(object->class->name));
	if (object->name.size > 0)
		serve_item_add(item, "name", mp_strn(object->name.data, object->name.size));
}

static int list_objects(struct serve_call *call, const Mp__ListObjects *op)
{
	struct serve_registry *registry = &call->session->context->registry;
	uint32_t left = op->max > 0 && op->max < SERVE_INSPECT_MAX ? op->max : SERVE_INSPECT_MAX;
	struct serve_object *o;
	uint64_t number = op->after;
	bool complete = true;

	for (size_t looks = 0; complete && (o = serve_registry_after(registry, number)); looks++) {
		struct serve_item item = {.n = 0};
		if (left == 0 || looks == LOOKS_MAX) {
			complete = serve_item_append_value(call, mp_i64((int64_t)number));
			break;
		}
		number = o->number;
		serve_effort(call, 1);
		if (!is_wanted(call->session, op, o))
			continue;
		add_object(&item, o);
		if (o->account)
			serve_item_add(&item, "uid", mp_i64((int64_t)o->account->uid));
		serve_item_add(&item, "bytes", mp_i64((int64_t)o->charged));
		serve_item_add(&item, "references", mp_i64(o->references));
		complete = serve_item_append(call, &item);
		left--;
	}
	return answer(call, complete);
}

static int unlink_name(struct serve_call *call, const Mp__Unlink *op)
{
	struct serve_context *context = call->session->context;
	struct serve_object *object = op->name.len > 0 ? serve_registry_find(&context->registry,
								 op->name.data, op->name.len)
						       : NULL;

	if (op->name.len > 0 && !serve_session_allows(call->session, op->name.data, op->name.len))
		return serve_fail(
			call, MP__CODE__DENIED, "this user may not open an object of that name");
	if (!object)
		return serve_fail(call, MP__CODE__NOT_FOUND, "there is no object of that name");
	if (!is_maker(call->session, object))
		return serve_fail(call, MP__CODE__DENIED,
			"the object was made by another user, whose it is to take its name away");
	serve_registry_unname(object);
	return serve_reply_ok(call->session, call->id);
}

/* --- clients ---------------------------------------------------------------------------------- */

static bool sees(const struct serve_session *session, const struct serve_session *other)
{
	return serve_is_keeper(session) || session->uid == other->uid;
}

static struct serve_session *next_of(
	const struct serve_context *context, const struct serve_session *previous)
{
	return context->clients ? serve_clients_next(context->clients, previous) : NULL;
}

static int64_t count_holds(const struct serve_session *session)
{
	int64_t n = 0;

	for (const struct serve_hold *h = session->holds; h; h = h->next)
		n++;
	session->context->effort += (uint64_t)n;
	return n;
}

static void add_client(struct serve_item *item, const struct serve_session *session)
{
	serve_item_add(item, "pid", mp_i64(session->pid));
	serve_item_add(item, "uid", mp_i64((int64_t)session->uid));
}

static int list_clients(struct serve_call *call)
{
	struct serve_context *context = call->session->context;
	bool complete = true;

	for (struct serve_session *s = next_of(context, NULL); s && complete;
		s = next_of(context, s)) {
		struct serve_item item = {.n = 0};
		serve_effort(call, 1);
		if (!sees(call->session, s))
			continue;
		add_client(&item, s);
		serve_item_add(&item, "gid", mp_i64((int64_t)s->gid));
		serve_item_add(&item, "seconds", seconds_since(s->begin_ns));
		serve_item_add(&item, "requests", mp_i64((int64_t)s->n_requests));
		serve_item_add(&item, "objects", mp_i64(s->n_open));
		serve_item_add(&item, "held", mp_i64(count_holds(s)));
		serve_item_add(&item, "waiting", mp_i64(s->n_waiters));
		serve_item_add(&item, "unread", mp_i64((int64_t)mp__buffer_size(&s->out)));
		serve_item_add(&item, "self", mp_bool(s == call->session));
		complete = serve_item_append(call, &item);
	}
	return answer(call, complete);
}

/* --- holds and waits -------------------------------------------------------------------------- */

static bool append_holds(struct serve_call *call, const struct serve_session *s)
{
	for (const struct serve_hold *h = s->holds; h; h = h->next) {
		struct serve_item item = {.n = 0};
		serve_effort(call, 1);
		add_object(&item, h->object);
		add_client(&item, s);
		serve_item_add(&item, "thread", mp_i64((int64_t)h->actor->thread));
		if (!serve_item_append(call, &item))
			return false;
	}
	return true;
}

static bool append_waits(struct serve_call *call, const struct serve_session *s)
{
	for (const struct serve_waiter *w = s->waiters; w; w = w->next_of_session) {
		struct serve_item item = {.n = 0};
		serve_effort(call, 1);
		if (!w->call.object) /* it waits for requests of others */
			continue;
		add_object(&item, w->call.object);
		add_client(&item, s);
		serve_item_add(&item, "thread", mp_i64((int64_t)w->call.thread));
		serve_item_add(&item, "method", mp_str(w->call.method->name));
		serve_item_add(&item, "seconds", seconds_since(w->since_ns));
		if (!serve_item_append(call, &item))
			return false;
	}
	return true;
}

static int list_holds(struct serve_call *call)
{
	struct serve_context *context = call->session->context;
	bool complete = true;

	for (struct serve_session *s = next_of(context, NULL); s && complete;
		s = next_of(context, s)) {
		if (sees(call->session, s))
			complete = append_holds(call, s) && append_waits(call, s);
	}
	return answer(call, complete);
}

/* --- the end ---------------------------------------------------------------------------------- */

static int shut_down(struct serve_call *call)
{
	const struct serve_session *session = call->session;

	if (!serve_is_keeper(session))
		return serve_fail(call, MP__CODE__DENIED,
			"only the server's own user and root may end the server");
	serve_log("shutdown", session->pid, session->uid, "pid %d of uid %u ends the server",
		(int)session->pid, (unsigned)session->uid);
	session->context->stop = true;
	return serve_reply_ok(call->session, call->id);
}

bool serve_inspect(struct serve_session *session, const Mp__Request *request, int *ret_r)
{
	struct serve_call call = {.session = session, .id = request->id};

	switch (request->op_case) {
	case MP__REQUEST__OP_LIST_OBJECTS:
		*ret_r = list_objects(&call, request->list_objects);
		return true;
	case MP__REQUEST__OP_LIST_CLIENTS:
		*ret_r = list_clients(&call);
		return true;
	case MP__REQUEST__OP_LIST_HOLDS:
		*ret_r = list_holds(&call);
		return true;
	case MP__REQUEST__OP_UNLINK:
		*ret_r = unlink_name(&call, request->unlink);
		return true;
	case MP__REQUEST__OP_MONITOR:
		*ret_r = serve_monitor_run(session, request);
		return true;
	case MP__REQUEST__OP_SHUTDOWN:
		*ret_r = shut_down(&call);
		return true;
	default:
		return false;
	}
}
