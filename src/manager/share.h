/* SPDX-License-Identifier: MIT */
/*
 * manager/share.h - one handle per process and managerd, and how handles travel.
 *
 * A handle that arrives in a process for the second time is the one that is there already, so that
 * ten proxies in a list of arguments make one connection. Handles know each other by a random id.
 */
#ifndef MP_MANAGER_SHARE_H
#define MP_MANAGER_SHARE_H

#include "manager/manager.h"

/* Let later arrivals find it. */
void mp__share_add(struct mp_manager *manager);
/* Drop a reference; true: that was the last, and nobody finds it any more. */
bool mp__share_drop(struct mp_manager *manager);

/* What makes a manager in another process: appended to the wire, and read from there. */
int mp__share_export(struct mp_manager *manager, struct mp__handle_wire *wire);
/* *at moves on behind it. -EBADMSG. With one reference. */
int mp__share_import(struct mp__handle_wire *wire, size_t *at, struct mp_manager **ret_manager);

#endif
