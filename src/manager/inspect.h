/* SPDX-License-Identifier: MIT */
/*
 * manager/inspect.h - what a managerd tells about itself: requests that are about no object.
 *
 * They are those of proto/manager.proto "for those who look after a server"; the public functions are
 * these with the deadline of the manager. Results are to be freed with mp_obj_free().
 */
#ifndef MP_MANAGER_INSPECT_H
#define MP_MANAGER_INSPECT_H

#include "manager/manager.h"

/* A request whose answer is a list. -EPROTO: it was something else. */
int mp__inspect_list(
	struct mp_manager *manager, Mp__Request *request, mp__deadline deadline, mp_obj *ret_list);

/* As mp_manager_objects() and the others. */
int mp__inspect_objects(struct mp_manager *manager, mp__deadline deadline,
	const mp_objects_options *which, uint64_t *after, mp_obj *ret_list);
int mp__inspect_clients(struct mp_manager *manager, mp__deadline deadline, mp_obj *ret_list);
int mp__inspect_holds(struct mp_manager *manager, mp__deadline deadline, mp_obj *ret_list);
int mp__inspect_stats(struct mp_manager *manager, mp__deadline deadline, mp_obj *ret_text);
int mp__inspect_unlink(struct mp_manager *manager, mp__deadline deadline, const char *name);

#endif
