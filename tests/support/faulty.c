/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/faulty.h"

#include "base/deadline.h"
#include "managerd/log.h"
#include "tests/support/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>

#define CALLS_MAX 64
#define BEGIN SIGRTMIN
#define END (SIGRTMIN + 1)
/* Some calls come the more often the slower the machine is. */
#define TRIES_MAX 60

static struct orders {
	struct t_fault fault;
	bool fired;
	unsigned counted[CALLS_MAX];
	long allocations;
	_Atomic bool done;
} * orders;

char t_faulty_directory[T_PLACE_SIZE];
char t_faulty_address[T_PLACE_SIZE + 16];
mp_manager *t_other;
static int (*way)(mp_manager **ret);
static struct t_child its_process;
static int ready[2];

/* What it has when nobody asks for anything. */
static struct rest {
	int fds;
	long allocations;
} rest;

const char *t_fault_text(const struct t_fault *fault)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s number %u fails with %s", t_fail_calls[fault->call].name,
		fault->at, fault->error == T_SHORT ? "half" : strerrorname_np(fault->error));
	return text;
}

/* --- in the daemon ---------------------------------------------------------------------------------- */

static void obey(int signal)
{
	int err = errno;

	if (signal == BEGIN) {
		t_fail_begin(orders->fault.call, orders->fault.error, orders->fault.at);
	} else {
		orders->fired = t_fail_end();
		for (size_t i = 0; i < t_n_fail_calls; i++)
			orders->counted[i] = t_fail_counted(i);
		orders->allocations = t_fail_live();
	}
	orders->done = true;
	errno = err;
}

static int no_settings(struct md_settings *ret_settings, void *data)
{
	(void)ret_settings;
	(void)data;
	return -ENOENT;
}

static int serve(void *argument)
{
	static struct md_daemon daemon = {.load = no_settings, .listen_fd = -1, .metrics_fd = -1};
	void (*const *prepare)(struct md_daemon * daemon) = argument;
	struct sigaction action = {.sa_handler = obey, .sa_flags = SA_RESTART};
	struct md_settings *settings = &daemon.settings;

	close(ready[0]);
	T_CHECK(sigaction(BEGIN, &action, NULL) == 0 && sigaction(END, &action, NULL) == 0);
	md_settings_init(settings);
	snprintf(settings->listen, sizeof(settings->listen), "%s/socket", t_faulty_directory);
	settings->ready_fd = ready[1];
	if (*prepare)
		(*prepare)(&daemon);
	md_log_open();
	int r = md_daemon_run(&daemon);
	md_log_close();
	if (r < 0)
		fprintf(stderr, "managerd ends: %s\n", mp_error_detail());
	return r == 0 ? 0 : T_CHILD_FAILED;
}

/* --- orders ----------------------------------------------------------------------------------------- */

static void expect_alive(const char *what)
{
	struct pollfd end = {.fd = its_process.pidfd, .events = POLLIN};

	cr_assert(poll(&end, 1, 0) == 0, "%s: managerd has ended", what);
}

void t_faulty_signal(int signal)
{
	cr_assert(kill(its_process.pid, signal) == 0);
}

static void tell(int signal)
{
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 2);

	orders->done = false;
	t_faulty_signal(signal);
	while (!orders->done) {
		expect_alive("it is told what to do");
		cr_assert(!mp__deadline_passed(deadline), "managerd hangs");
		sched_yield();
	}
}

static int count_fds(void)
{
	char name[64];
	int n = 0;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)its_process.pid);
	DIR *dir = opendir(name);
	cr_assert(dir, "managerd has ended");
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* What a client has left is closed, and freed, a little later. */
static void expect_fds(const char *what)
{
	mp__deadline deadline = mp__deadline_in(T_TIMEOUT_MS / 2);
	int n;

	while ((n = count_fds()) != rest.fds) {
		expect_alive(what);
		cr_assert(!mp__deadline_passed(deadline), "%s: %d descriptors, not %d", what, n,
			rest.fds);
		sched_yield();
	}
}

static long count_allocations(const char *what)
{
	/*
	 * The last descriptor is closed before the last memory is freed, but in one turn of the loop; and
	 * after this answer there are the buffers that go with a large one.
	 */
	expect_fds(what);
	(void)t_faulty_waiting();
	tell(END);
	return orders->allocations;
}

/* --- the others ------------------------------------------------------------------------------------- */

static mp_proxy *their_lock;
static struct t_child waiting;

static int connect_by_address(mp_manager **ret_manager)
{
	return mp_manager_connect(
		t_faulty_address, MP_MANAGER_OPTIONS(.timeout_ms = T_TIMEOUT_MS / 2), ret_manager);
}

int t_faulty_connect(mp_manager **ret_manager)
{
	return way(ret_manager);
}

static int wait_for_seven(void *argument)
{
	mp_manager *manager;
	mp_proxy *queue;
	mp_obj seven;

	(void)argument;
	T_CHECK(t_faulty_connect(&manager) == 0);
	T_CHECK(mp_manager_queue(manager, "seven", NULL, &queue) == 0);
	T_CHECK(mp_served_queue_get(queue, MP_FOREVER, &seven) == 0 && seven.as.i64 == 7);
	T_CHECK(mp_proxy_close(queue) == 0 && mp_manager_close(manager) == 0);
	return 0;
}

int t_faulty_waiting(void)
{
	mp_obj list;
	int n = 0;

	T_OK(mp_manager_clients(t_other, &list));
	for (size_t i = 0; i < mp_obj_len(&list); i++)
		n += mp_obj_get(mp_obj_at(&list, i), mp_str("waiting"))->as.i64 > 0;
	mp_obj_free(&list);
	return n;
}

static void start_others(void)
{
	T_OK(t_faulty_connect(&t_other));
	T_OK(mp_manager_lock(t_other, NULL, &their_lock));
	T_OK(mp_served_lock_acquire(their_lock, MP_NOWAIT, NULL));
	waiting = t_spawn(wait_for_seven, NULL);
	while (t_faulty_waiting() == 0)
		expect_alive("somebody is to wait");
}

static void stop_others(void)
{
	mp_proxy *queue;

	T_OK(mp_served_lock_release(their_lock));
	T_OK(mp_proxy_close(their_lock));
	T_OK(mp_manager_queue(t_other, "seven", NULL, &queue));
	T_OK(mp_served_queue_put(queue, mp_i64(7), MP_NOWAIT));
	t_expect_exit(&waiting, 0);
	T_OK(mp_proxy_close(queue));
	T_OK(mp_manager_close(t_other));
}

void t_faulty_start(void (*prepare)(struct md_daemon *daemon), int (*connect)(mp_manager **ret))
{
	char byte;

	t_place_make(t_faulty_directory);
	snprintf(t_faulty_address, sizeof(t_faulty_address), "unix:%s/socket", t_faulty_directory);
	way = connect ? connect : connect_by_address;
	orders = t_shared(sizeof(*orders));
	cr_assert(t_n_fail_calls <= CALLS_MAX);
	cr_assert(pipe2(ready, O_CLOEXEC) == 0);
	its_process = t_spawn(serve, &prepare);
	close(ready[1]);
	T_OK(t_read_full(ready[0], &byte, 1));
	close(ready[0]);
	start_others();
	rest.fds = count_fds();
}

void t_faulty_stop(void)
{
	stop_others();
	t_faulty_signal(SIGTERM);
	t_expect_exit(&its_process, 0);
	t_place_remove(t_faulty_directory);
	munmap(orders, sizeof(*orders));
}

/* --- what a failure may cost ------------------------------------------------------------------------ */

const char *const t_memory[] = {
	"malloc", "calloc", "realloc", "strdup", "strndup", "asprintf", NULL};

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names;
}

enum t_cost t_fault_cost(const struct t_fault *fault)
{
	/* Who cannot be watched is served all the same, and without a spare descriptor too. */
	static const char *const dispensable[] = {
		"SO_PEERPIDFD", "pidfd_open", "fopen", "open", NULL};
	const char *name = t_fail_calls[fault->call].name;

	switch (fault->error) {
	case EINTR:
	case EAGAIN:
	case T_SHORT:
	case ECONNABORTED:
		return T_NOTHING;
	default:
		break;
	}
	if (is_one_of(name, dispensable))
		return T_NOTHING;
	/* Who cannot be accepted now is accepted later. */
	if (fault->error == ENOMEM && strcmp(name, "accept4") == 0)
		return T_NOTHING;
	return fault->error == ENOMEM || strcmp(name, "epoll_ctl") == 0 ? T_MEMORY : T_CONNECTION;
}

static void judge(const struct t_fault *fault, int result, int plain)
{
	enum t_cost cost = t_fault_cost(fault);

	if (result == plain || (cost == T_MEMORY && result == -ENOMEM) ||
		(cost != T_NOTHING && result == -EPIPE))
		return;
	cr_assert_fail("%s: %s (%s)", t_fault_text(fault),
		result < 0 ? strerrorname_np(-result) : "success", mp_error_detail());
}

/* --- all failures ----------------------------------------------------------------------------------- */

/* The client's result; *ret_fired: it has failed. */
static int try_fault(const struct t_faulty_use *use, const struct t_fault *fault, const int *plain,
	bool *ret_fired)
{
	const char *what = fault->error ? t_fault_text(fault) : "without a failure";

	if (use->setup)
		use->setup();
	/* When this small answer is there, nothing is left to be done for a large one before. */
	(void)t_faulty_waiting();
	orders->fault = *fault;
	tell(BEGIN);
	int result = use->use();
	expect_alive(what);
	tell(END);
	*ret_fired = orders->fired;
	expect_fds(what);
	if (fault->error)
		judge(fault, result, *plain);
	if (use->end)
		use->end(fault, result, plain ? *plain : result);
	long n = count_allocations(what);
	if (plain)
		cr_assert(n <= rest.allocations, "%s: %ld allocations are left", what,
			n - rest.allocations);
	else
		rest.allocations = n;
	return result;
}

/* Its first call fails so, then the second, until there is no such call. */
static int try_error(const struct t_faulty_use *use, size_t call, int error, int plain)
{
	struct t_fault fault = {.call = call, .error = error};
	bool fired = true;

	for (; fault.at < TRIES_MAX; fault.at++) {
		(void)try_fault(use, &fault, &plain, &fired);
		if (!fired)
			break;
	}
	return (int)fault.at;
}

/* The sockets are streams: half may be sent, and received. */
static bool is_stream(size_t call)
{
	return is_one_of(t_fail_calls[call].name, (const char *[]){"send", "recv", NULL});
}

int t_faulty_each(const struct t_faulty_use *use)
{
	const struct t_fault none = {0};
	unsigned counted[CALLS_MAX];
	bool fired;
	int tried = 0;

	int plain = try_fault(use, &none, NULL, &fired); /* makes what is made once */
	cr_assert(plain >= 0 || plain == -ETIMEDOUT, "without a failure: %s", mp_error_detail());
	(void)try_fault(use, &none, &plain, &fired);
	memcpy(counted, orders->counted, sizeof(counted));
	for (size_t call = 0; call < t_n_fail_calls; call++) {
		const int *error = t_fail_calls[call].errors;
		if (counted[call] == 0 ||
			(use->calls && !is_one_of(t_fail_calls[call].name, use->calls)))
			continue;
		for (; *error; error++)
			tried += try_error(use, call, *error, plain);
		if (!use->calls && is_stream(call))
			tried += try_error(use, call, T_SHORT, plain);
	}
	return tried;
}
