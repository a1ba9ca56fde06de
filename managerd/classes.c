/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/classes.h"

#include "managerd/dict_request.h"
#include "managerd/obj_array.h"
#include "managerd/obj_barrier.h"
#include "managerd/obj_condition.h"
#include "managerd/obj_dict.h"
#include "managerd/obj_event.h"
#include "managerd/obj_list.h"
#include "managerd/obj_lock.h"
#include "managerd/obj_namespace.h"
#include "managerd/obj_queue.h"
#include "managerd/obj_semaphore.h"
#include "managerd/obj_value.h"
#include "managerd/transaction.h"
#include "managerd/stats_request.h"

static const struct serve_class *const classes[] = {
	&md_dict_class,
	&md_list_class,
	&md_lock_class,
	&md_namespace_class,
	&md_queue_class,
	&md_rlock_class,
	&md_semaphore_class,
	&md_bounded_semaphore_class,
	&md_event_class,
	&md_barrier_class,
	&md_condition_class,
	&md_value_class,
	&md_counter_class,
	&md_array_class,
	NULL,
};

static bool run(struct serve_session *session, const Mp__Request *request, int *ret_r)
{
	return md_dict_request(session, request, ret_r) ||
	       md_stats_request(session, request, ret_r);
}

static const struct serve_method methods[] = {
	{"transact_all", md_transact_all, 2, 2},
};

const struct serve_service md_served = {
	.program = "managerd " PACKAGE_VERSION,
	.classes = classes,
	.methods = methods,
	.n_methods = sizeof(methods) / sizeof(methods[0]),
	.run = run,
	.run_quick = md_dict_quick,
};
