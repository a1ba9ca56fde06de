/* SPDX-License-Identifier: MIT */
/*
 * mpctl/daemon.h - what a managerd tells about itself: requests that are about no object.
 *
 * They are those of proto/manager.proto "for those who look after a server". Results are libmp's.
 */
#ifndef MPCTL_DAEMON_H
#define MPCTL_DAEMON_H

#include "mpctl/line.h"

#include <mp/manager.h>

/* What is to be told of each item of a list; nonzero ends it, as the result. */
typedef int daemon_item(struct line *line, const mp_obj *item, void *data);

/* All objects, page by page. */
int daemon_objects(
	struct line *line, const mp_objects_options *which, daemon_item *tell, void *data);
/* Lists of dicts, to be freed with mp_obj_free(). */
int daemon_clients(struct line *line, mp_obj *ret_list);
int daemon_holds(struct line *line, mp_obj *ret_list);
/* The text of the metrics, the same. */
int daemon_stats(struct line *line, mp_obj *ret_text);
/*
 * What clients have asked for after *after, which is 0 at first, and goes on: a list of dicts, and
 * behind them a number. Waits so long until there is something.
 */
int daemon_monitor(struct line *line, int timeout_ms, uint64_t *after, mp_obj *ret_list);
int daemon_unlink(struct line *line, const char *name);
int daemon_shutdown(struct line *line);

/* Of such a dict: a number or a text; 0, NULL if there is none. */
int64_t item_i64(const mp_obj *item, const char *key);
double item_f64(const mp_obj *item, const char *key);
const char *item_str(const mp_obj *item, const char *key);

#endif
