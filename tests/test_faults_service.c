/* SPDX-License-Identifier: MIT */
/*
 * What fails inside managerd where clients come in, wait for each other, or ask by other ways: the
 * connector of a private one, keys, metrics, systemd, kernels without pidfds of peers. And what fails
 * while it starts: then it says why, and leaves nothing.
 */
#include <config.h>

#include "tests/support/faulty.h"

#include "base/authkey.h"
#include "base/deadline.h"
#include "base/fds.h"
#include "conn/hmac.h"
#include "managerd/config.h"
#include "managerd/systemd.h"
#include "manager/manager.h"
#include "tests/support/place.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

TestSuite(faults_service, .init = t_begin, .fini = t_end, .timeout = 4 * T_TIMEOUT_S);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void try_use(int (*use)(void), const char *const *calls)
{
	cr_assert(t_faulty_each(&(struct t_faulty_use){.use = use, .calls = calls}) > 0);
}

/* Something that has to be watched. */
static int lock_and_go(void)
{
	mp_manager *manager;
	mp_proxy *lock;
	int r = t_faulty_connect(&manager);

	if (r < 0)
		return r;
	r = mp_manager_lock(manager, NULL, &lock);
	if (r == 0) {
		r = mp_served_lock_acquire(lock, MP_NOWAIT, NULL);
		T_OK(mp_proxy_close(lock));
	}
	T_OK(mp_manager_close(manager));
	return r;
}

/* --- ways in ---------------------------------------------------------------------------------------- */

static int connector[2];

static void be_private(struct md_daemon *daemon)
{
	close(connector[0]);
	*daemon->settings.listen = '\0';
	daemon->settings.private_fd = connector[1];
}

static int connect_privately(mp_manager **ret_manager)
{
	struct mp__address address = {.connector = fcntl(connector[0], F_DUPFD_CLOEXEC, 0)};
	int r = mp__manager_new(&address, T_TIMEOUT_MS / 2, MP_NOWAIT, NULL, ret_manager);

	if (r < 0)
		return r;
	r = mp_manager_ping(*ret_manager);
	if (r < 0)
		T_OK(mp_manager_close(*ret_manager));
	return r;
}

Test(faults_service, the_way_to_a_private_one)
{
	cr_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, connector) == 0);
	t_faulty_start(be_private, connect_privately);
	close(connector[1]);
	try_use(lock_and_go, NULL);
	t_faulty_stop();
	close(connector[0]);
}

#define KEY "a key of the test"

static void want_a_key(struct md_daemon *daemon)
{
	t_place_put(t_faulty_directory, "key", KEY "\n");
	snprintf(daemon->settings.authkey_file, sizeof(daemon->settings.authkey_file), "%s/key",
		t_faulty_directory);
	T_CHECK(chmod(daemon->settings.authkey_file, 0600) == 0);
}

static int connect_with_a_key(mp_manager **ret_manager)
{
	return mp_manager_connect(t_faulty_address,
		MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2, .authkey = KEY,
			.authkey_size = strlen(KEY)),
		ret_manager);
}

Test(faults_service, the_proof_of_a_key)
{
	if (mp__hmac_available() < 0)
		cr_skip_test("built without keys");
	t_faulty_start(want_a_key, connect_with_a_key);
	try_use(lock_and_go, NULL);
	t_faulty_stop();
}

static void be_on_an_old_kernel(struct md_daemon *daemon)
{
	(void)daemon;
	for (size_t i = 0; i < t_n_fail_calls; i++)
		if (strcmp(t_fail_calls[i].name, "SO_PEERPIDFD") == 0)
			t_fail_always(i, ENOPROTOOPT);
}

Test(faults_service, watching_a_client_on_an_old_kernel)
{
	t_faulty_start(be_on_an_old_kernel, NULL);
	try_use(lock_and_go, (const char *[]){"pidfd_open", "fopen", "epoll_ctl", NULL});
	t_faulty_stop();
}

/* --- metrics ---------------------------------------------------------------------------------------- */

static void have_metrics(struct md_daemon *daemon)
{
	snprintf(daemon->settings.metrics, sizeof(daemon->settings.metrics), "%s/metrics",
		t_faulty_directory);
}

static int visit(void)
{
	static char answer[65536];
	static const char get[] = "GET /metrics HTTP/1.0\r\n\r\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t size = 0;
	size_t n = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/metrics", t_faulty_directory);
	cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	ssize_t r = send(fd, get, strlen(get), MSG_NOSIGNAL);
	while (r > 0) {
		T_OK(mp__fd_wait(fd, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
		r = recv(fd, answer + n, sizeof(answer) - n - 1, 0);
		n += r > 0 ? (size_t)r : 0;
	}
	close(fd);
	answer[n] = '\0';
	const char *length = strstr(answer, "Content-Length: ");
	const char *body = strstr(answer, "\r\n\r\n");
	if (!length || !body || sscanf(length, "Content-Length: %zu", &size) != 1 ||
		strlen(body + 4) != size)
		return -EPIPE;
	return strncmp(answer, "HTTP/1.0 200 ", 13) == 0 ? 0 : -ENOMEM;
}

Test(faults_service, a_visitor_of_the_metrics)
{
	t_faulty_start(have_metrics, NULL);
	try_use(visit, NULL);
	t_faulty_stop();
}

/* --- systemd ---------------------------------------------------------------------------------------- */

#define WATCHDOG_USEC "4000"
static char notify_name[40];
static int notified = -1;
static int queued; /* notifications at most */

/* Of the abstract ones, since the directory is made later. */
static void listen_as_systemd(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(notify_name, sizeof(notify_name), "@mp-test-notify-%d", (int)getpid());
	strcpy(address.sun_path, notify_name);
	address.sun_path[0] = '\0';
	FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
	if (!file || fscanf(file, "%d", &queued) != 1)
		queued = 512; /* the most that is usual */
	if (file)
		fclose(file);
	notified = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert(notified >= 0);
	cr_assert(bind(notified, (struct sockaddr *)&address,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				      strlen(notify_name))) == 0);
}

static void complain(const char *sentence, void *data)
{
	(void)data;
	fprintf(stderr, "%s\n", sentence);
}

static int load_file(struct md_settings *ret_settings, void *data)
{
	char path[64];

	(void)data;
	snprintf(path, sizeof(path), "%s/conf", t_faulty_directory);
	md_settings_init(ret_settings);
	return md_config_read(path, ret_settings, complain, NULL);
}

static void be_a_service(struct md_daemon *daemon)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	T_CHECK(setenv("NOTIFY_SOCKET", notify_name, 1) == 0);
	T_CHECK(setenv("WATCHDOG_USEC", WATCHDOG_USEC, 1) == 0 &&
		setenv("WATCHDOG_PID", pid, 1) == 0);
	T_CHECK(md_systemd_init() == 0);
	t_place_put(t_faulty_directory, "conf", "[limits]\nmax-connections = 100\n");
	daemon->load = load_file;
}

/*
 * SIGHUP is heard of until READY=1 comes again. -EPIPE: that did not come, though behind the ticks from
 * before the signal there were some more, of turns in which it was looked at, interrupted or not.
 */
static int reload(void)
{
	char text[512];
	bool ready = false;

	while (recv(notified, text, sizeof(text), MSG_DONTWAIT) > 0)
		;
	t_faulty_signal(SIGHUP);
	for (int ticks = 0; ticks < queued + 10 && !(ready && ticks > 0);) {
		T_OK(mp__fd_wait(notified, POLLIN, mp__deadline_in(T_TIMEOUT_MS / 2)));
		ssize_t n = recv(notified, text, sizeof(text) - 1, 0);
		cr_assert(n > 0);
		text[n] = '\0';
		ticks += strstr(text, "WATCHDOG=1") != NULL;
		ready = ready || strstr(text, "READY=1");
	}
	return ready ? 0 : -EPIPE;
}

Test(faults_service, systemd_hears_of_a_reload_and_the_watchdog_is_fed)
{
#ifndef HAVE_SYSTEMD
	cr_skip_test("built without libsystemd");
#endif
	listen_as_systemd();
	t_faulty_start(be_a_service, NULL);
	try_use(reload, (const char *[]){"send", "read", "malloc", "calloc", "realloc", "strdup",
				"fopen", "open", "poll", "epoll_wait", NULL});
	close(notified); /* it need not be heard any more */
	t_faulty_stop();
}

/* --- waiting for each other ------------------------------------------------------------------------- */

struct meeting {
	const char *class;
	mp_obj args;
	const char *fill;     /* by the others, with the number 7 */
	const char *prior;    /* what the waiter does first */
	const char *wait;     /* and then for a long time */
	const char *before;   /* what the client does before, */
	const char *wake;     /* while something fails, */
	const char *again[4]; /* and what others do in its place if it could not */
};

static const struct meeting *meeting;
static mp_proxy *object;
static mp_manager *client;
static mp_proxy *its;
static pthread_t waiter;
static int waited;
static int woke;
static int put_again;

static int call(mp_proxy *of, const char *method)
{
	bool with_number = strcmp(method, "put") == 0 || strcmp(method, "append") == 0;

	return mp_proxy_call(
		of, method, with_number ? MP_LIST(mp_i64(7)) : mp_nil(), T_TIMEOUT_MS / 2, NULL);
}

static int wait_with(mp_proxy *of)
{
	int64_t version;
	int r = mp_proxy_version(of, &version);

	if (r == 0 && meeting->prior)
		r = call(of, meeting->prior);
	if (r < 0)
		return r;
	if (strcmp(meeting->wait, "watch") == 0)
		return mp_proxy_watch(of, version, T_TIMEOUT_MS / 2, NULL);
	return call(of, meeting->wait);
}

static void *wait_long(void *unused)
{
	mp_manager *manager;
	mp_proxy *of;

	(void)unused;
	waited = t_faulty_connect(&manager);
	if (waited < 0)
		return NULL;
	waited = mp_manager_open(manager, meeting->class, "object", meeting->args, &of);
	if (waited == 0) {
		waited = wait_with(of);
		mp_proxy_close(of);
	}
	mp_manager_close(manager);
	return NULL;
}

static void begin_meeting(void)
{
	T_OK(mp_manager_open(t_other, meeting->class, "object", meeting->args, &object));
	if (meeting->fill)
		T_OK(call(object, meeting->fill));
	T_OK(t_faulty_connect(&client));
	T_OK(mp_manager_open(client, meeting->class, "object", meeting->args, &its));
	/* Whoever waits with a lock has it first. */
	if (meeting->before && !meeting->prior)
		cr_assert(call(its, meeting->before) >= 0);
	cr_assert(pthread_create(&waiter, NULL, wait_long, NULL) == 0);
	while (t_faulty_waiting() < 2)
		;
	if (meeting->before && meeting->prior)
		cr_assert(call(its, meeting->before) >= 0);
	put_again = 0;
}

/* The waiter has to come back, whatever has failed. */
static int meet(void)
{
	woke = call(its, meeting->wake);
	T_OK(mp_proxy_close(its));
	T_OK(mp_manager_close(client));
	if (woke < 0 && t_faulty_waiting() == 2) {
		for (const char *const *method = meeting->again; *method; method++)
			put_again += call(object, *method) == 0 && strcmp(*method, "put") == 0;
	}
	cr_assert(pthread_join(waiter, NULL) == 0);
	return woke < 0 ? woke : waited < 0 ? waited : 0;
}

/* An item that was put is got or still there, unless it was on its way through a broken connection. */
static void count_items(const struct t_fault *fault)
{
	enum t_cost cost = fault->error ? t_fault_cost(fault) : T_NOTHING;
	size_t left;

	T_OK(mp_served_queue_size(object, &left));
	int n = (int)left + (waited >= 0);
	int put = (woke >= 0) + put_again;
	cr_assert(n >= put - (waited == -EPIPE && cost == T_CONNECTION) &&
			  n <= put + (woke == -EPIPE),
		"%s: %d items of %d (put: %s; got: %s)", fault->error ? t_fault_text(fault) : "", n,
		put, mp_strerror(woke), mp_strerror(waited));
}

static void end_meeting(const struct t_fault *fault, int result, int plain)
{
	(void)result;
	(void)plain;
	if (strcmp(meeting->wake, "put") == 0)
		count_items(fault);
	T_OK(mp_manager_unlink(t_other, "object"));
	T_OK(mp_proxy_close(object));
}

Test(faults_service, who_waits_is_answered_whatever_fails)
{
	const struct meeting meetings[] = {
		{"queue", mp_nil(), .wait = "get", .wake = "put", .again = {"put"}},
		{"queue", MP_LIST(mp_nil(), mp_i64(0), mp_bool(true)), .wait = "get", .wake = "put",
			.again = {"put"}},
		{"queue", MP_LIST(mp_nil(), mp_i64(1)), .fill = "put", .wait = "put", .wake = "get",
			.again = {"get"}},
		{"queue", MP_LIST(mp_nil(), mp_i64(0), mp_bool(true)), .fill = "put",
			.before = "get", .wait = "join", .wake = "task_done",
			.again = {"task_done"}},
		{"lock", mp_nil(), .before = "acquire", .wait = "acquire", .wake = "release"},
		{"rlock", mp_nil(), .before = "acquire", .wait = "acquire", .wake = "release"},
		{"semaphore", MP_LIST(mp_i64(0)), .wait = "acquire", .wake = "release",
			.again = {"release"}},
		{"event", mp_nil(), .wait = "wait", .wake = "set", .again = {"set"}},
		{"barrier", MP_LIST(mp_i64(2)), .wait = "wait", .wake = "wait", .again = {"wait"}},
		{"condition", mp_nil(), .prior = "acquire", .wait = "wait", .before = "acquire",
			.wake = "notify", .again = {"acquire", "notify", "release"}},
		{"list", mp_nil(), .wait = "watch", .wake = "append", .again = {"append"}},
	};
	const struct t_faulty_use use = {.setup = begin_meeting, .use = meet, .end = end_meeting};

	t_faulty_start(NULL, NULL);
	for (meeting = meetings; meeting < meetings + COUNT(meetings); meeting++)
		cr_assert(t_faulty_each(&use) > 0);
	t_faulty_stop();
}

/* --- the start -------------------------------------------------------------------------------------- */

static struct md_daemon started;
static char place[T_PLACE_SIZE];

static void fail_start(const char *what, const char *text)
{
	fprintf(stderr, "%s: %s (%s)\n", what, text, mp_error_detail());
	_exit(T_CHILD_FAILED);
}

/* Until the signal to end, which is there already. */
static bool start_with(struct t_fault fault)
{
	const char *what = fault.error ? t_fault_text(&fault) : "without a failure";
	int fds = t_count_fds();
	long allocations = t_fail_live();

	t_fail_begin(fault.call, fault.error, fault.at);
	int r = md_daemon_run(&started);
	bool fired = t_fail_end();
	if (r < 0 && mp_error_detail()[0] == '\0')
		fail_start(what, "no sentence");
	if (r < 0 && (!fired || fault.error == EINTR || fault.error == T_SHORT))
		fail_start(what, mp_strerror(r));
	if (t_count_fds() != fds)
		fail_start(what, "descriptors are left");
	if (t_fail_live() != allocations)
		fail_start(what, "memory is left");
	if (access(started.settings.listen, F_OK) == 0)
		fail_start(what, "the socket is left");
	return fired;
}

static int start_again_and_again(void *unused)
{
	unsigned counted[64];
	sigset_t set;

	(void)unused;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	T_CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	started = (struct md_daemon){.load = load_file, .listen_fd = -1, .metrics_fd = -1};
	md_settings_init(&started.settings);
	snprintf(started.settings.listen, sizeof(started.settings.listen), "%s/socket", place);
	snprintf(started.settings.metrics, sizeof(started.settings.metrics), "%s/metrics", place);
	raise(SIGTERM);
	(void)start_with((struct t_fault){0});
	for (size_t i = 0; i < t_n_fail_calls; i++)
		counted[i] = t_fail_counted(i);
	for (size_t call = 0; call < t_n_fail_calls; call++) {
		const int *error = t_fail_calls[call].errors;
		for (; counted[call] && *error; error++) {
			struct t_fault fault = {call, *error, 0};
			raise(SIGTERM);
			while (start_with(fault)) {
				fault.at++;
				raise(SIGTERM);
			}
		}
	}
	return 0;
}

Test(faults_service, it_starts_or_says_why_and_leaves_nothing)
{
	t_place_make(place);
	struct t_child child = t_spawn(start_again_and_again, NULL);
	t_expect_exit(&child, 0);
	t_place_remove(place);
}
