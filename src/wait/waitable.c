/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wait/waitable.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "conn/connection.h"
#include "pool/watch.h"
#include "process/process.h"
#include "queue/ready.h"
#include "sync/event.h"

#include <stdlib.h>

#define EVENTS (POLLIN | POLLPRI | POLLOUT | POLLRDHUP)

/* --- descriptors --------------------------------------------------------------------------------- */

static int fd_open(struct mp__waited *w)
{
	if (w->fd < 0)
		return mp_error_set(-EBADF, "%d is no descriptor", w->fd);
	if (w->events & ~EVENTS || w->events == 0)
		return mp_error_set(
			-EINVAL, "descriptor %d: nobody can wait for events %#x", w->fd, w->events);
	return 0;
}

/* --- connections --------------------------------------------------------------------------------- */

static void connection_ref(void *connection)
{
	(void)mp_connection_ref(connection);
}

static void connection_unref(void *connection)
{
	(void)mp_connection_close(connection);
}

static int connection_open(struct mp__waited *w)
{
	mp_connection *c = w->object;

	if (c->direction == MP_CONNECTION_WRITE)
		return mp_error_set(-EBADF, "this end of the connection only sends");
	w->fd = c->ops->watch(c, &w->events, &w->bell);
	return 0;
}

static int connection_look(struct mp__waited *w, bool suspicious)
{
	mp_connection *c = w->object;

	(void)suspicious;
	if (!w->bell && !atomic_load_explicit(&c->may_hold, memory_order_relaxed))
		return 0;

	return c->ops->holds(c) ? POLLIN : 0;
}

/* --- queues --------------------------------------------------------------------------------------- */

static void queue_ref(void *queue)
{
	(void)mp_queue_ref(queue);
}

static void queue_unref(void *queue)
{
	mp_queue_close(queue);
}

static int queue_open(struct mp__waited *w)
{
	struct mp_queue *q = w->object;

	w->bell = &q->control->items_bell;
	return 0;
}

static int queue_look(struct mp__waited *w, bool suspicious)
{
	return mp__queue_ready_to_get(w->object, suspicious) ? POLLIN : 0;
}

static int room_open(struct mp__waited *w)
{
	struct mp_queue *q = w->object;

	w->bell = &q->control->room_bell;
	return 0;
}

static int room_look(struct mp__waited *w, bool suspicious)
{
	return mp__queue_ready_to_put(w->object, suspicious) ? POLLOUT : 0;
}

/* --- events --------------------------------------------------------------------------------------- */

static void event_ref(void *event)
{
	(void)mp_event_ref(event);
}

static void event_unref(void *event)
{
	mp_event_close(event);
}

static int event_open(struct mp__waited *w)
{
	int r = mp_event_is_set(w->object);

	if (r >= 0)
		w->since = mp__event_now(w->object);
	return r < 0 ? r : 0;
}

static int event_look(struct mp__waited *w, bool suspicious)
{
	int r = mp__event_happened(w->object, w->since);

	(void)suspicious;
	return r > 0 ? POLLIN : r;
}

static bool event_arm(struct mp__waited *w, uint32_t id)
{
	return mp__event_arm(w->object, id);
}

static void event_disarm(struct mp__waited *w, uint32_t id)
{
	mp__event_disarm(w->object, id);
}

/* --- futures -------------------------------------------------------------------------------------- */

/* Another thread may collect the end; then only the watch tells. */
struct ending {
	struct mp__future_watch watch; /* first */
	bool is_watched;
	struct mp__watch cells; /* who is to be rung */
};

static void has_ended(struct mp__future_watch *watch, mp_future *future)
{
	(void)future;
	mp__watch_ring(&((struct ending *)watch)->cells);
}

static void future_ref(void *future)
{
	atomic_fetch_add_explicit(&((mp_future *)future)->refs, 1, memory_order_relaxed);
}

static void future_unref(void *future)
{
	mp__future_unref(future);
}

static int future_open(struct mp__waited *w)
{
	mp_future *f = w->object;

	int r = mp__future_check(f, "waiting for a task");
	if (r < 0)
		return r;
	struct ending *ending = calloc(1, sizeof(*ending));
	if (!ending)
		return mp_error_set(-ENOMEM, "no memory for waiting for a task");
	ending->watch.fire = has_ended;
	mp__pool_watch_begin(f->pool);
	w->extra = ending;
	w->work = f->pool;
	w->fd = mp__pool_watch_fd(f->pool);
	return 0;
}

static void future_close(struct mp__waited *w)
{
	struct ending *ending = w->extra;
	mp_future *f = w->object;

	if (ending->is_watched)
		mp__future_unwatch(f, &ending->watch);
	mp__pool_watch_end(f->pool);
	free(ending);
}

static bool future_turn(struct mp__waited *w)
{
	mp_future *f = w->object;

	if (mp__future_is_finished(f))
		return false;
	(void)mp__pool_watch_turn(f->pool);
	return true;
}

static int future_look(struct mp__waited *w, bool suspicious)
{
	(void)suspicious;
	return mp__future_is_finished(w->object) ? POLLIN : 0;
}

static bool future_arm(struct mp__waited *w, uint32_t id)
{
	struct ending *ending = w->extra;
	mp_future *f = w->object;

	bool armed = mp__watch_arm(&ending->cells, id);
	if (!ending->is_watched) {
		pthread_mutex_lock(&f->pool->lock);
		ending->is_watched = mp__future_watch(f, &ending->watch) > 0;
		pthread_mutex_unlock(&f->pool->lock);
	}
	return armed && ending->is_watched;
}

static void future_disarm(struct mp__waited *w, uint32_t id)
{
	mp__watch_disarm(&((struct ending *)w->extra)->cells, id);
}

/* --- listeners, processes ------------------------------------------------------------------------ */

static int listener_open(struct mp__waited *w)
{
	w->fd = mp_listener_fileno(w->object);
	return w->fd < 0 ? w->fd : 0;
}

static void process_ref(void *process)
{
	mp__process_ref(process);
}

static void process_unref(void *process)
{
	mp__process_unref(process);
}

static int process_open(struct mp__waited *w)
{
	w->fd = mp_process_sentinel(w->object);
	return w->fd < 0 ? w->fd : 0;
}

/* --- the table ----------------------------------------------------------------------------------- */

static const struct mp__waitable_class classes[] = {
	[MP_WAIT_KIND_FD] = {.name = "descriptor", .open = fd_open},
	[MP_WAIT_KIND_CONNECTION] = {.name = "connection",
		.ref = connection_ref,
		.unref = connection_unref,
		.works_in_children = true,
		.open = connection_open,
		.look = connection_look},
	[MP_WAIT_KIND_LISTENER] = {.name = "listener", .open = listener_open},
	[MP_WAIT_KIND_PROCESS] = {.name = "process",
		.ref = process_ref,
		.unref = process_unref,
		.open = process_open},
	[MP_WAIT_KIND_QUEUE] = {.name = "queue",
		.ref = queue_ref,
		.unref = queue_unref,
		.works_in_children = true,
		.open = queue_open,
		.look = queue_look},
	[MP_WAIT_KIND_ROOM] = {.name = "queue",
		.ref = queue_ref,
		.unref = queue_unref,
		.works_in_children = true,
		.open = room_open,
		.look = room_look},
	[MP_WAIT_KIND_EVENT] = {.name = "event",
		.ref = event_ref,
		.unref = event_unref,
		.works_in_children = true,
		.open = event_open,
		.look = event_look,
		.arm = event_arm,
		.disarm = event_disarm},
	[MP_WAIT_KIND_FUTURE] = {.name = "future",
		.ref = future_ref,
		.unref = future_unref,
		.open = future_open,
		.close = future_close,
		.turn = future_turn,
		.look = future_look,
		.arm = future_arm,
		.disarm = future_disarm},
};

int mp__waitable_open(const mp_waitable *item, struct mp__waited *ret_waited)
{
	if (item->kind < MP_WAIT_KIND_FD || (size_t)item->kind >= MP__COUNT_OF(classes))
		return mp_error_set(
			-EINVAL, "there is no kind %d of things to wait for", item->kind);
	const struct mp__waitable_class *class = &classes[item->kind];
	struct mp__waited w = {
		.class = class,
		.object = item->object,
		.fd = item->kind == MP_WAIT_KIND_FD ? item->fd : -1,
		.events = item->events,
	};
	if (!item->object && item->kind != MP_WAIT_KIND_FD)
		return mp_error_set(-EINVAL, "no %s", class->name);
	int r = class->open(&w);
	if (r == 0)
		*ret_waited = w;
	return r;
}

bool mp__waitable_arm(struct mp__waited *w, uint32_t id)
{
	return w->class->arm ? w->class->arm(w, id) : mp__watched_bell_arm(w->bell, id);
}

void mp__waitable_disarm(struct mp__waited *w, uint32_t id)
{
	if (w->class->disarm)
		w->class->disarm(w, id);
	else
		mp__watch_disarm(&w->bell->watch, id);
}

int mp__waitable_polled(const struct mp__waited *w, int revents)
{
	/* It may even be closed, with the pool: the next turn will see to it. */
	if (w->class->turn)
		return 0;
	if (revents & POLLNVAL)
		return mp_error_set(-EBADF, "descriptor %d is not open", w->fd);
	if (revents == 0 || !w->object)
		return revents;
	return POLLIN;
}
