/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/monitor.h"

#include "base/deadline.h"
#include "obj/codec.h"
#include "obj/utf8.h"
#include "proto/manager.pb-c.h"
#include "serve/inspect.h"
#include "serve/item.h"
#include "serve/waiter.h"
#include "wire/quick.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is shown of names, keys and methods; a longer key is not shown at all. */
#define NAME_SHOWN 64
#define METHOD_SHOWN 32
#define KEY_SHOWN 64

struct event {
	int64_t time_us; /* since 1970 */
	pid_t pid;
	uid_t uid;
	const char *operation;  /* of the protocol's description */
	const char *class_name; /* NULL: about no object */
	int64_t object;
	uint32_t name_size;
	uint32_t key_size;
	char method[METHOD_SHOWN];
	char name[NAME_SHOWN];
	uint8_t key[KEY_SHOWN]; /* a value, encoded */
};

struct serve_monitor {
	struct serve_context *context;
	struct serve_queue queue;
	struct serve_timer idle;
	uint64_t latest; /* number of an event; they begin with 1 */
	struct event events[SERVE_MONITOR_KEPT];
};

/* --- noting ----------------------------------------------------------------------------------- */

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* At a border of UTF-8, which it is. */
static uint32_t cut_text(char *to, size_t room, const void *text, size_t size)
{
	const char *from = text;

	if (size > room) {
		size = room;
		while (size > 0 && ((unsigned char)from[size] & 0xc0) == 0x80)
			size--;
	}
	if (size > 0)
		memcpy(to, from, size);
	return (uint32_t)size;
}

static void note_object(struct event *e, struct serve_session *session, uint64_t reference)
{
	const struct serve_object *object = serve_session_object(session, reference);

	if (!object)
		return;
	e->class_name = object->class->name;
	e->object = (int64_t)object->number;
	e->name_size = cut_text(e->name, NAME_SHOWN, object->name.data, object->name.size);
}

static void note_key(struct event *e, ProtobufCBinaryData key)
{
	struct mp__value_info info;

	/* It has not been looked at yet. */
	if (key.len == 0 || key.len > KEY_SHOWN || mp__value_check(key.data, key.len, &info) < 0 ||
		info.handles > 0 || info.references > 0)
		return;
	memcpy(e->key, key.data, key.len);
	e->key_size = (uint32_t)key.len;
}

static struct event *begin(struct serve_session *session, unsigned int op)
{
	struct serve_monitor *m = session->context->monitor;
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(&mp__request__descriptor, op);
	struct event *e = &m->events[++m->latest % SERVE_MONITOR_KEPT];

	*e = (struct event){.time_us = now_us(), .pid = session->pid, .uid = session->uid};
	e->operation = field ? field->name : "unknown";
	return e;
}

static void tell(struct serve_monitor *m);

void serve_monitor_note_quick(struct serve_session *session, const struct mp__quick *quick)
{
	struct event *e = begin(session, quick->op);

	note_object(e, session, quick->reference);
	note_key(e, quick->key);
	tell(session->context->monitor);
}

/* The member of that name and type of an operation; NULL it has none. */
static const void *member(const ProtobufCMessage *operation, const char *name, ProtobufCType type)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(operation->descriptor, name);

	return field && field->type == type ? (const char *)operation + field->offset : NULL;
}

/* The fields of one name mean the same in every operation. */
static void note_operation(
	struct event *e, struct serve_session *session, const ProtobufCMessage *operation)
{
	const uint64_t *reference = member(operation, "reference", PROTOBUF_C_TYPE_UINT64);
	const ProtobufCBinaryData *name = member(operation, "name", PROTOBUF_C_TYPE_BYTES);
	const ProtobufCBinaryData *key = member(operation, "key", PROTOBUF_C_TYPE_BYTES);
	char *const *method = (char *const *)member(operation, "method", PROTOBUF_C_TYPE_STRING);

	if (reference)
		note_object(e, session, *reference);
	if (name && mp__utf8_valid((const char *)name->data, name->len))
		e->name_size = cut_text(e->name, NAME_SHOWN, name->data, name->len);
	if (key)
		note_key(e, *key);
	if (method && mp__utf8_valid(*method, strlen(*method)))
		cut_text(e->method, METHOD_SHOWN - 1, *method, strlen(*method));
}

void serve_monitor_note(struct serve_session *session, const Mp__Request *request)
{
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
		&mp__request__descriptor, (unsigned int)request->op_case);
	const ProtobufCMessage *operation = NULL;

	/* Looking is not shown: it would never end. */
	if (request->op_case == MP__REQUEST__OP_MONITOR)
		return;
	struct event *e = begin(session, (unsigned int)request->op_case);
	if (field && request->op_case != MP__REQUEST__OP__NOT_SET)
		memcpy(&operation, (const char *)request + field->offset, sizeof(operation));
	if (operation)
		note_operation(e, session, operation);
	tell(session->context->monitor);
}

/* --- telling ---------------------------------------------------------------------------------- */

static bool append_event(struct serve_call *call, const struct event *e, uint64_t number)
{
	struct serve_item item = {.n = 0};
	mp_obj key = mp_nil();

	serve_item_add(&item, "number", mp_i64((int64_t)number));
	serve_item_add(&item, "time", mp_f64((double)e->time_us / 1e6));
	serve_item_add(&item, "pid", mp_i64(e->pid));
	serve_item_add(&item, "uid", mp_i64((int64_t)e->uid));
	serve_item_add(&item, "operation", mp_str(e->operation));
	if (e->method[0] != '\0')
		serve_item_add(&item, "method", mp_str(e->method));
	if (e->class_name) {
		serve_item_add(&item, "class", mp_str(e->class_name));
		serve_item_add(&item, "object", mp_i64(e->object));
	}
	if (e->name_size > 0)
		serve_item_add(&item, "name", mp_strn(e->name, e->name_size));
	if (e->key_size > 0 && mp_obj_decode(e->key, e->key_size, &key) == 0)
		serve_item_add(&item, "key", key);
	bool appended = serve_item_append(call, &item);
	mp_obj_free(&key);
	return appended;
}

/* What came after that number, as far as it is still there, and where to go on. */
static int answer(struct serve_call *call, const struct serve_monitor *m, uint64_t after)
{
	uint64_t first = after + 1;
	uint64_t end = m->latest + 1;

	if (end - first > SERVE_MONITOR_KEPT)
		first = end - SERVE_MONITOR_KEPT;
	if (end - first > SERVE_MONITOR_TOLD)
		end = first + SERVE_MONITOR_TOLD;
	for (uint64_t n = first; n < end; n++) {
		if (!append_event(call, &m->events[n % SERVE_MONITOR_KEPT], n))
			return call->failed;
	}
	serve_effort(call, end - first);
	if (!serve_item_append_value(call, mp_i64((int64_t)(end - 1))))
		return call->failed;
	return serve_answer_list(call);
}

static void tell(struct serve_monitor *m)
{
	struct serve_waiter *w;

	while ((w = serve_queue_first(&m->queue))) {
		answer(&w->call, m, (uint64_t)w->number);
		serve_unpark(w);
	}
}

/* The time is over, nothing has come: an answer like others. */
static bool nothing_came(struct serve_waiter *w, enum serve_end why)
{
	const struct serve_monitor *m = w->call.session->context->monitor;

	if (why == SERVE_END_TIMEOUT)
		answer(&w->call, m, (uint64_t)w->number);
	else
		serve_answer_end(w, why);
	return false;
}

static const struct serve_wait waits = {.ended = nothing_came};

/* --- beginning and end ------------------------------------------------------------------------ */

void serve_monitor_end(struct serve_context *context)
{
	if (!context->monitor)
		return;
	serve_timer_stop(&context->timers, &context->monitor->idle);
	free(context->monitor);
	context->monitor = NULL;
}

static void be_alert(struct serve_monitor *m)
{
	/* Without memory for it, it stays a little longer. */
	(void)serve_timer_set(&m->context->timers, &m->idle,
		mp__now_ns() + (int64_t)SERVE_MONITOR_IDLE_MS * 1000 * 1000);
}

static void idle(struct serve_timer *timer)
{
	struct serve_monitor *m =
		(struct serve_monitor *)((char *)timer - offsetof(struct serve_monitor, idle));

	if (serve_queue_first(&m->queue))
		be_alert(m);
	else
		serve_monitor_end(m->context);
}

static struct serve_monitor *monitor_of(struct serve_context *context)
{
	struct serve_monitor *m = context->monitor;

	if (!m) {
		m = context->monitor = calloc(1, sizeof(*m));
		if (!m)
			return NULL;
		m->context = context;
		m->idle.fire = idle;
	}
	be_alert(m);
	return m;
}

int serve_monitor_run(struct serve_session *session, const Mp__Request *request)
{
	struct serve_call call = {
		.session = session, .id = request->id, .timeout_ms = request->monitor->timeout_ms};
	uint64_t after = request->monitor->after;
	struct serve_waiter *waiter;

	if (!serve_is_keeper(session))
		return serve_fail(&call, MP__CODE__DENIED,
			"only the server's own user and root may see what others ask for");
	struct serve_monitor *m = monitor_of(session->context);
	if (!m)
		return serve_fail_no_memory(&call);
	/* From now on; also for one who comes back after the ring has gone and numbers began anew. */
	if (after == 0 || after > m->latest) {
		m->latest += m->latest == 0;
		return answer(&call, m, m->latest);
	}
	if (after < m->latest || call.timeout_ms == 0)
		return answer(&call, m, after);
	int r = serve_park(&call, &m->queue, &waits, &waiter);
	if (waiter)
		waiter->number = (int64_t)after;
	return r;
}
