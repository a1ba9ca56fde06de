/* SPDX-License-Identifier: MIT */
/* What managerd tells Prometheus, and visitors who are something else. */
#include <config.h>

#include "base/fds.h"
#include "managerd/metrics.h"
#include "tests/support/daemon.h"
#include "tests/support/place.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

T_SUITE(metrics);

static char path[96];
static char answer[65536];

static struct t_daemon start(void)
{
	struct t_daemon daemon;

	t_place_make(daemon.directory);
	snprintf(path, sizeof(path), "%s/metrics", daemon.directory);
	t_daemon_start_in(&daemon, (const char *[]){"--metrics", path, NULL});
	return daemon;
}

static void stop(struct t_daemon *daemon)
{
	t_daemon_stop(daemon);
	cr_assert(access(path, F_OK) < 0);
}

static int visit(const char *request)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0);
	strcpy(address.sun_path, path);
	cr_assert(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	cr_assert(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
	return fd;
}

/* Everything until it hangs up. */
static const char *read_answer(int fd)
{
	size_t n = 0;

	for (ssize_t r = 1; r > 0; n += r > 0 ? (size_t)r : 0) {
		T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
		r = read(fd, answer + n, sizeof(answer) - n - 1);
	}
	answer[n] = '\0';
	close(fd);
	return answer;
}

static const char *ask(const char *request)
{
	return read_answer(visit(request));
}

/* The value of this line; -1: there is none. */
static long long value_of(const char *name)
{
	const char *text = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	const char *at = text;

	cr_assert(strncmp(text, "HTTP/1.0 200 OK\r\n", 17) == 0, "%s", text);
	while ((at = strstr(at, name)) != NULL) {
		if (at[-1] == '\n' && at[strlen(name)] == ' ')
			return strtoll(at + strlen(name), NULL, 10);
		at++;
	}
	return -1;
}

Test(metrics, count_what_happens)
{
	struct t_daemon daemon = start();
	mp_manager *m;
	mp_dict *d;
	mp_obj value;

	cr_assert(value_of("managerd_connections") == 0);
	cr_assert(value_of("managerd_connections_total") == 0);
	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	T_OK(mp_manager_dict(m, "d", &d));
	for (int i = 0; i < 10; i++)
		T_OK(mp_dict_set(d, mp_i64(i), mp_i64(i)));
	T_RESULT(mp_dict_get(d, mp_i64(77), &value), -ENOENT);
	cr_assert(value_of("managerd_connections") == 1);
	cr_assert(value_of("managerd_connections_total") == 1);
	cr_assert(value_of("managerd_objects") == 1);
	cr_assert(value_of("managerd_requests_total{operation=\"hello\"}") == 1);
	cr_assert(value_of("managerd_requests_total{operation=\"dict_set\"}") == 10);
	cr_assert(value_of("managerd_errors_total{code=\"not_found\"}") == 1);
	cr_assert(value_of("managerd_received_bytes_total") > 100);
	cr_assert(value_of("managerd_sent_bytes_total") > 100);
	cr_assert(value_of("managerd_loop_turn_seconds_count") > 10);
	char user[64];
	snprintf(user, sizeof(user), "managerd_user{uid=\"%u\",asset=\"connections\"}", geteuid());
	cr_assert(value_of(user) == 1);
	cr_assert(value_of("process_resident_memory_bytes") > 100000);
	mp_dict_close(d);
	mp_manager_close(m);
	stop(&daemon);
}

/* What promtool check metrics would say: help and type before, a name and a number, the last newline. */
Test(metrics, are_in_the_form_that_prometheus_reads)
{
	struct t_daemon daemon = start();
	const char *text = ask("GET / HTTP/1.0\r\n\r\n");
	char *body = strstr(text, "\r\n\r\n");
	char *line;
	char *rest = NULL;
	char type[128] = "";
	size_t length = 0;

	cr_assert(body != NULL);
	cr_assert(sscanf(strstr(text, "Content-Length:"), "Content-Length: %zu", &length) == 1);
	body += 4;
	cr_assert(strlen(body) == length && body[length - 1] == '\n');
	for (line = strtok_r(body, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char name[128];
		char *end = NULL;
		if (line[0] == '#') {
			(void)sscanf(line, "# TYPE %127s", type);
			continue;
		}
		size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
		snprintf(name, sizeof(name), "%.*s", (int)n, line);
		cr_assert(strncmp(name, type, strlen(type)) == 0, "%s after the type of %s", line,
			type);
		char *value = strrchr(line, ' ');
		cr_assert(value != NULL && (line[n] == ' ' || line[n] == '{'), "%s", line);
		(void)strtod(value + 1, &end);
		cr_assert(end > value + 1 && *end == '\0', "%s", line);
	}
	stop(&daemon);
}

static void expect_judged(const char *request, int code)
{
	int got = md_metrics_judge(request, strlen(request));

	cr_assert(got == code, "%s: %d", request, got);
}

Test(metrics, judge_a_request)
{
	static char long_request[MD_METRICS_REQUEST_MAX];

	expect_judged("", 0);
	expect_judged("GET /metrics HTTP/1.1\r\n", 0);
	expect_judged("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200);
	expect_judged("GET /metrics HTTP/1.0\n\n", 200);
	expect_judged("GET / HTTP/1.1\r\n\r\n", 200);
	expect_judged("GET /metrics?collect=x HTTP/1.1\r\n\r\n", 200);
	expect_judged("GET /metricsx HTTP/1.1\r\n\r\n", 404);
	expect_judged("GET /etc/passwd HTTP/1.1\r\n\r\n", 404);
	expect_judged("GET  HTTP/1.1\r\n\r\n", 404);
	expect_judged("POST /metrics HTTP/1.1\r\n\r\n", 405);
	expect_judged("HEAD /metrics HTTP/1.1\r\n\r\n", 405);
	expect_judged("GET /metrics\r\n\r\n", 400);
	expect_judged("GET /metrics SSH-2.0\r\n\r\n", 400);
	expect_judged("\r\n\r\n", 400);
	expect_judged("\n\n", 400);
	expect_judged("GET\r\n\r\n", 400);
	memset(long_request, 'x', sizeof(long_request));
	cr_assert(md_metrics_judge(long_request, sizeof(long_request) - 1) == 0);
	cr_assert(md_metrics_judge(long_request, sizeof(long_request)) == 431);
}

Test(metrics, other_requests_get_their_answer)
{
	struct t_daemon daemon = start();
	char request[MD_METRICS_REQUEST_MAX + 1];

	cr_assert(strstr(ask("GET /x HTTP/1.1\r\n\r\n"), "HTTP/1.0 404 Not Found") == answer);
	cr_assert(strstr(ask("PUT / HTTP/1.1\r\n\r\n"), "HTTP/1.0 405 ") == answer);
	cr_assert(strstr(answer, "\r\nAllow: GET\r\n") != NULL);
	cr_assert(strstr(ask("nonsense\r\n\r\n"), "HTTP/1.0 400 ") == answer);
	memset(request, 'x', sizeof(request) - 1);
	request[sizeof(request) - 1] = '\0';
	cr_assert(strstr(ask(request), "HTTP/1.0 431 ") == answer);
	stop(&daemon);
}

/* Who says nothing makes room when others come; and the objects are served all the while. */
Test(metrics, silent_visitors_keep_nobody_out)
{
	struct t_daemon daemon = start();
	int silent[3 * MD_METRICS_VISITORS];
	const int n = (int)(sizeof(silent) / sizeof(silent[0]));
	mp_manager *m;
	char byte;

	T_OK(mp_manager_connect(daemon.path, T_PATIENT, &m));
	for (int i = 0; i < n; i++)
		silent[i] = visit("GET /metrics");
	cr_assert(value_of("managerd_connections") == 1);
	T_OK(mp_manager_ping(m));
	/* The first ones have been sent away. */
	T_OK(mp__fd_wait(silent[0], POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	cr_assert(read(silent[0], &byte, 1) <= 0);
	/* One who stays has some seconds. */
	int slow = visit("GET /metrics HTTP/1.1\r\n");
	T_OK(mp__fd_wait(slow, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
	cr_assert(read(slow, &byte, 1) == 0);
	close(slow);
	mp__fds_close(silent, (size_t)n);
	mp_manager_close(m);
	stop(&daemon);
}

Test(metrics, a_socket_has_its_own_mode)
{
	struct t_daemon daemon = start();
	struct stat st;

	cr_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	stop(&daemon);
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--metrics-mode", "9", NULL}), 2);
	T_RESULT(t_daemon_run((const char *[]){"--check-config", "--metrics", "tcp:80", NULL}), 2);
}
