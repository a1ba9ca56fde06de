/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/metrics.h"

#include "base/deadline.h"
#include "base/error.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define VISITOR_OF(member_pointer, member)                                \
	((struct md_metrics_visitor *)((char *)(member_pointer)-offsetof( \
		struct md_metrics_visitor, member)))
#define METRICS_OF(source) \
	((struct md_metrics *)((char *)(source)-offsetof(struct md_metrics, listening)))

/* --- one request ------------------------------------------------------------------------------ */

static const struct {
	int code;
	const char *reason;
	const char *text;
} refusals[] = {
	{400, "Bad Request", "This is no request of HTTP.\n"},
	{404, "Not Found", "The only thing here is /metrics.\n"},
	{405, "Method Not Allowed", "Here one can only GET.\n"},
	{431, "Request Header Fields Too Large", "The request is too long.\n"},
	{500, "Internal Server Error", "Out of memory.\n"},
};

static bool starts(const char *text, size_t size, const char *with)
{
	return size >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

/* "GET /metrics HTTP/1.1": without the end of line. */
static int judge_line(const char *line, size_t size)
{
	const char *path = memchr(line, ' ', size);
	if (!path)
		return 400;
	const char *end = line + size;
	const char *version = memchr(path + 1, ' ', (size_t)(end - path - 1));
	if (!version || !starts(version + 1, (size_t)(end - version - 1), "HTTP/1."))
		return 400;
	if (!starts(line, size, "GET "))
		return 405;
	size_t length = (size_t)(version - path - 1);
	const char *query = memchr(path + 1, '?', length);
	if (query)
		length = (size_t)(query - path - 1);
	bool here = (length == 1 && path[1] == '/') ||
		    (length == 8 && memcmp(path + 1, "/metrics", 8) == 0);
	return here ? 200 : 404;
}

int md_metrics_judge(const char *request, size_t size)
{
	/* The headers do not matter, but that they are over does. */
	if (!memmem(request, size, "\r\n\r\n", 4) && !memmem(request, size, "\n\n", 2))
		return size >= MD_METRICS_REQUEST_MAX ? 431 : 0;
	size_t length = (size_t)((const char *)memchr(request, '\n', size) - request);
	if (length > 0 && request[length - 1] == '\r')
		length--;
	return judge_line(request, length);
}

static char *print_refusal(int code, size_t *ret_size)
{
	char *answer = NULL;
	size_t i = 0;

	while (refusals[i].code != code && i < sizeof(refusals) / sizeof(refusals[0]) - 1)
		i++;
	int n = asprintf(&answer,
		"HTTP/1.0 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		"%sConnection: close\r\n\r\n%s",
		refusals[i].code, refusals[i].reason, strlen(refusals[i].text),
		code == 405 ? "Allow: GET\r\n" : "", refusals[i].text);
	if (n < 0)
		return NULL;
	*ret_size = (size_t)n;
	return answer;
}

/* NULL without memory. */
static char *print_metrics(const struct serve_context *context, size_t *ret_size)
{
	size_t size = 0;
	char *answer = NULL;
	char *body = md_metrics_text(context, &size);

	if (!body)
		return NULL;
	int n = asprintf(&answer,
		"HTTP/1.0 200 OK\r\n"
		"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		"Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
		size, body);
	free(body);
	if (n < 0)
		return NULL;
	*ret_size = (size_t)n;
	return answer;
}

/* --- visitors --------------------------------------------------------------------------------- */

static void end_visit(struct md_metrics_visitor *visitor)
{
	struct md_metrics *metrics = visitor->metrics;

	serve_timer_stop(&metrics->context->timers, &visitor->end);
	serve_loop_remove(metrics->loop, &visitor->source);
	close(visitor->source.fd);
	free(visitor->answer);
	visitor->answer = NULL;
	visitor->source.fd = -1;
}

static void too_long(struct serve_timer *timer)
{
	end_visit(VISITOR_OF(timer, end));
}

/* False: it is over. */
static bool send_answer(struct md_metrics_visitor *visitor)
{
	while (visitor->sent < visitor->size) {
		ssize_t n = send(visitor->source.fd, visitor->answer + visitor->sent,
			visitor->size - visitor->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		visitor->sent += (size_t)n;
	}
	return false;
}

/* False: it is over. */
static bool receive_request(struct md_metrics_visitor *visitor)
{
	ssize_t n = recv(visitor->source.fd, visitor->request + visitor->received,
		sizeof(visitor->request) - visitor->received, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	visitor->received += (size_t)n;
	int code = md_metrics_judge(visitor->request, visitor->received);
	if (code == 0)
		return true;
	if (code == 200)
		visitor->answer = print_metrics(visitor->metrics->context, &visitor->size);
	if (!visitor->answer)
		visitor->answer = print_refusal(code == 200 ? 500 : code, &visitor->size);
	visitor->sent = 0;
	return visitor->answer && send_answer(visitor);
}

static int visitor_ready(struct serve_source *source, uint32_t events)
{
	struct md_metrics_visitor *visitor = VISITOR_OF(source, source);

	(void)events;
	if (source->fd < 0) /* its time was over in this very turn */
		return 0;
	bool goes_on = visitor->answer ? send_answer(visitor) : receive_request(visitor);
	uint32_t want = visitor->answer ? EPOLLOUT : EPOLLIN;
	if (!goes_on || serve_loop_want(visitor->metrics->loop, source, want) < 0)
		end_visit(visitor);
	return 0;
}

static int64_t visit_end_ns(void)
{
	return mp__now_ns() + (int64_t)MD_METRICS_VISIT_MS * 1000 * 1000;
}

static void begin_visit(struct md_metrics *metrics, struct md_metrics_visitor *visitor, int fd)
{
	visitor->metrics = metrics;
	visitor->received = 0;
	visitor->end = (struct serve_timer){.fire = too_long};
	visitor->source =
		(struct serve_source){.fd = fd, .events = EPOLLIN, .ready = visitor_ready};
	if (serve_loop_add(metrics->loop, &visitor->source) < 0) {
		close(fd);
		visitor->source.fd = -1;
		return;
	}
	if (!serve_timer_set(&metrics->context->timers, &visitor->end, visit_end_ns()))
		end_visit(visitor);
}

/* When all places are taken, the oldest visitor has had its time. */
static struct md_metrics_visitor *find_place(struct md_metrics *metrics)
{
	struct md_metrics_visitor *oldest = metrics->visitors;

	for (size_t i = 0; i < MD_METRICS_VISITORS; i++) {
		struct md_metrics_visitor *v = &metrics->visitors[i];
		if (v->source.fd < 0)
			return v;
		if (v->end.at_ns < oldest->end.at_ns)
			oldest = v;
	}
	end_visit(oldest);
	return oldest;
}

static void listen_again(struct serve_timer *timer)
{
	struct md_metrics *metrics =
		(struct md_metrics *)((char *)timer - offsetof(struct md_metrics, deaf));

	/* If that fails, it is tried again like this; the timer has just left room for itself. */
	if (serve_loop_want(metrics->loop, &metrics->listening, EPOLLIN) < 0)
		(void)serve_timer_set(&metrics->context->timers, timer, visit_end_ns());
}

/* The kernel has no descriptor for us: it would say so at once and for ever. */
static void pause_listening(struct md_metrics *metrics)
{
	metrics->deaf.fire = listen_again;
	if (serve_timer_set(&metrics->context->timers, &metrics->deaf, visit_end_ns()))
		(void)serve_loop_want(metrics->loop, &metrics->listening, 0);
}

static int listening_ready(struct serve_source *source, uint32_t events)
{
	struct md_metrics *metrics = METRICS_OF(source);
	int fd = serve_listener_accept(&metrics->listener);

	(void)events;
	if (fd >= 0)
		begin_visit(metrics, find_place(metrics), fd);
	else if (fd != -EAGAIN && fd != -EMFILE)
		pause_listening(metrics);
	return 0;
}

int md_metrics_start(struct md_metrics *metrics, const struct serve_listener *listener,
	struct serve_loop *loop, struct serve_context *context)
{
	metrics->listener = *listener;
	metrics->loop = loop;
	metrics->context = context;
	for (size_t i = 0; i < MD_METRICS_VISITORS; i++)
		metrics->visitors[i].source.fd = -1;
	metrics->listening = (struct serve_source){
		.fd = listener->fd, .events = EPOLLIN, .ready = listening_ready};
	int r = serve_loop_add(loop, &metrics->listening);
	return r < 0 ? mp_error_set(r, "epoll_ctl: %s", mp_strerror(r)) : 0;
}

void md_metrics_stop(struct md_metrics *metrics)
{
	if (metrics->listener.fd < 0)
		return;
	for (size_t i = 0; i < MD_METRICS_VISITORS; i++) {
		if (metrics->visitors[i].source.fd >= 0)
			end_visit(&metrics->visitors[i]);
	}
	serve_timer_stop(&metrics->context->timers, &metrics->deaf);
	serve_loop_remove(metrics->loop, &metrics->listening);
	serve_listener_close(&metrics->listener);
}
