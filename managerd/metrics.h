/* SPDX-License-Identifier: MIT */
/*
 * managerd/metrics.h - how the daemon is, in the text form of Prometheus, on a socket of its own.
 *
 * Whoever scrapes needs no access to the objects, and whoever uses those none to this: so it is
 * another socket, with another mode. It speaks as much HTTP/1.0 as a scraper needs: one GET, one
 * answer, and the end. A library for HTTP would bring TLS, threads and a parser for everything that
 * nobody is to send here; this reads one buffer until the blank line, and nothing that it was sent
 * decides how much memory or time it takes. A handful of visitors at a time, each with some seconds.
 */
#ifndef MANAGERD_METRICS_H
#define MANAGERD_METRICS_H

#include "serve/listener.h"
#include "serve/loop.h"
#include "serve/session.h"

#define MD_METRICS_VISITORS 8
#define MD_METRICS_REQUEST_MAX 4096
#define MD_METRICS_VISIT_MS 5000

struct md_metrics_visitor {
	struct serve_source source; /* fd -1: free */
	struct md_metrics *metrics;
	struct serve_timer end;
	char *answer; /* NULL: the request is not complete */
	size_t size;
	size_t sent;
	size_t received;
	char request[MD_METRICS_REQUEST_MAX];
};

struct md_metrics {
	struct serve_listener listener;
	struct serve_source listening;
	struct serve_timer deaf; /* set: nobody is accepted until then */
	struct serve_loop *loop;
	struct serve_context *context;
	struct md_metrics_visitor visitors[MD_METRICS_VISITORS];
};

/* The listener is taken over. -errno, with its sentence. */
int md_metrics_start(struct md_metrics *metrics, const struct serve_listener *listener,
	struct serve_loop *loop, struct serve_context *context);
void md_metrics_stop(struct md_metrics *metrics);

/* The text itself, in memory of malloc(3); NULL without memory. */
char *md_metrics_text(const struct serve_context *context, size_t *ret_size);

/* What is answered to this request: 200, or the code of the error; 0: it is not complete. */
int md_metrics_judge(const char *request, size_t size);

#endif
