/* SPDX-License-Identifier: MIT */
/*
 * managerd/stats_request.h - the operation stats: managerd's metrics over its own protocol.
 *
 * It is the text that the socket of metrics gives (managerd/metrics.h), so that what is counted has one
 * list of names. It tells of all users: for the daemon's own and root.
 */
#ifndef MANAGERD_STATS_REQUEST_H
#define MANAGERD_STATS_REQUEST_H

#include "serve/session.h"

/* False: it is another operation. */
bool md_stats_request(struct serve_session *session, const struct Mp__Request *request, int *ret_r);

#endif
