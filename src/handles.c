/* SPDX-License-Identifier: MIT */
/*
 * All types whose handles travel inside an mp_obj. This is the one file that sees every module: the
 * module obj, which uses the table, knows none of them.
 */
#include <config.h>

#include "conn/connection.h"
#include "sync/lock.h"
#include "sync/rwlock.h"
#include "obj/handle.h"
#include "sync/event.h"
#include "sync/semaphore.h"
#include "sync/barrier_round.h"
#include "queue/queue.h"
#include "sync/cells.h"
#include "sync/condition.h"
#include "shm/block.h"
#include "shm/list.h"
#include "shm/heap.h"

#ifdef ENABLE_MANAGER
#include "manager/manager.h"
#include "manager/proxy.h"
#endif

const struct mp__handle_class *const mp__handle_classes[] = {
	&mp__block_class,
	&mp__shared_list_class,
	&mp__connection_class,
	&mp__lock_type.class,
	&mp__rlock_type.class,
	&mp__rwlock_type.class,
#ifdef ENABLE_MANAGER
	&mp__manager_class,
	&mp__dict_class,
	&mp__proxy_class,
#endif
	&mp__event_type.class,
	&mp__semaphore_type.class,
	&mp__barrier_type.class,
	&mp__queue_class,
	&mp__condition_type.class,
	&mp__heap_class,
	&mp__value_class,
	&mp__array_class,
	NULL,
};
