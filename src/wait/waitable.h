/* SPDX-License-Identifier: MIT */
/*
 * wait/waitable.h - what each type must say so that it can be waited for with others.
 *
 * Two worlds meet here: descriptors, for which the kernel can wait by the thousand, and objects in
 * shared memory, which have none. An item has a descriptor to poll, or a watch on shared memory that
 * rings the waiter's doorbell (shm/watch.h), or both. The table of classes in waitable.c is the only
 * place that knows all types; each has one entry there.
 */
#ifndef MP_WAIT_WAITABLE_H
#define MP_WAIT_WAITABLE_H

#include "shm/watch.h"

#include <mp/wait.h>

struct mp__waitable_class;

/* An item while it is waited for. */
struct mp__waited {
	const struct mp__waitable_class *class;
	void *object;
	int fd; /* to poll; -1: none */
	short events;
	uint32_t since;                /* of an event: when the wait began */
	struct mp__watched_bell *bell; /* that is rung for it; NULL: the descriptor says all */
	/* Of a future: */
	const void *work; /* its pool */
	void *extra;      /* waitable.c's */
};

struct mp__waitable_class {
	const char *name;
	/* For who keeps it. NULL: it cannot be kept alive. */
	void (*ref)(void *object);
	void (*unref)(void *object);
	bool works_in_children; /* a reference that a child has got by fork is one to be dropped */
	/* Check the object, and fill in fd and events. 0, or why it cannot be waited for. */
	int (*open)(struct mp__waited *w);
	/* The end of what open() began. NULL: nothing. */
	void (*close)(struct mp__waited *w);
	/*
	 * Do what has to be done so that it becomes ready at all; before a look, and again when the
	 * descriptor says so, which then says nothing else. False: there is nothing to do any more
	 * for this one; what has the same `work` as one for which it was done needs it no more.
	 */
	bool (*turn)(struct mp__waited *w);
	/*
	 * Is it ready as far as can be said without its descriptor? Poll bits, 0; -errno it cannot
	 * be waited for any more. `suspicious`: nothing has happened for a while, who is in the way
	 * may be dead. NULL: the descriptor says all.
	 */
	int (*look)(struct mp__waited *w, bool suspicious);
	/*
	 * The next look is the last before a sleep: have this doorbell rung when it is worth another
	 * one. False: nobody will ring, look again soon. NULL: `bell` is rung.
	 */
	bool (*arm)(struct mp__waited *w, uint32_t id);
	void (*disarm)(struct mp__waited *w, uint32_t id);
};

/* The class of an item, checked and opened. -EINVAL, and what open() says. */
int mp__waitable_open(const mp_waitable *item, struct mp__waited *ret_waited);

/* Does it depend on shared memory, that is: has it to be armed before a sleep? */
static inline bool mp__waitable_is_watched(const struct mp__waited *w)
{
	return w->bell || w->class->arm;
}

static inline void mp__waitable_close(struct mp__waited *w)
{
	if (w->class->close)
		w->class->close(w);
}

bool mp__waitable_arm(struct mp__waited *w, uint32_t id);
void mp__waitable_disarm(struct mp__waited *w, uint32_t id);

/* What poll(2) said of its descriptor, as the user is told. */
int mp__waitable_polled(const struct mp__waited *w, int revents);

#endif
