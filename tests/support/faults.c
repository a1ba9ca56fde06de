/* SPDX-License-Identifier: MIT */
#include <config.h>

#define T_WITHOUT_NAMES
#include "tests/support/faults.h"

#include "base/deadline.h"
#include "base/fds.h"
#include "process/forkserver.h"

#include <criterion/hooks.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#define CALLS_MAX 64
#define PROCESS_S 30
#define TRIES_MAX 50
#define INTERRUPTION_US 100
#define INTERRUPTIONS_MS 100

/* What a process has, to compare. */
struct holdings {
	int fds;
	int mappings; /* of shared memory */
	int children;
	long allocations; /* not freed */
};

/* A function of libmp that was called. */
struct seen {
	char name[48];
	unsigned asked;
	unsigned hit;
};

/* One try; in memory shared with the process that makes it. */
struct report {
	unsigned counted[CALLS_MAX];
	struct holdings after;
	struct seen seen[T_FAIL_FUNCTIONS];
	size_t n_seen;
	bool fired;
	int code;
	char text[512];
};

static struct report *report;
static const struct t_fault_case *current;
static char documented[16384]; /* " EAGAIN EINVAL ... " */

/* --- what the pages say ------------------------------------------------------------------------ */

#define PAGES_MAX 32

static char pages[PAGES_MAX][64]; /* that were read */
static size_t n_pages;

static bool is_new_page(const char *name)
{
	for (size_t i = 0; i < n_pages; i++)
		if (strcmp(pages[i], name) == 0)
			return false;
	T_CHECK(n_pages < PAGES_MAX);
	snprintf(pages[n_pages++], sizeof(pages[0]), "%s", name);
	return true;
}

static void add_codes(const char *line)
{
	for (const char *at = line; (at = strstr(at, "-E")); at++) {
		size_t length = strspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
		size_t used = strlen(documented);
		T_CHECK(used + length + 2 < sizeof(documented));
		snprintf(
			documented + used, sizeof(documented) - used, "%.*s ", (int)length, at + 1);
	}
}

/* The codes in the section ERRORS of this page and of those that the section refers to. */
static void read_page(const char *name)
{
	const char *source = getenv("top_srcdir");
	char line[512];
	char other[64];
	const char *xr;
	bool errors = false;

	if (!is_new_page(name))
		return;
	snprintf(line, sizeof(line), "%s/man/%s.3", source ? source : ".", name);
	FILE *page = fopen(line, "r");
	T_CHECK(page);
	while (fgets(line, sizeof(line), page)) {
		if (sscanf(line, ".so man3/%63[a-z0-9_].3", other) == 1)
			read_page(other);
		else if (strncmp(line, ".Sh", 3) == 0)
			errors = strncmp(line, ".Sh ERRORS", 10) == 0;
		else if (errors && (xr = strstr(line, "Xr mp_")) &&
			 sscanf(xr, "Xr %63[a-z0-9_] 3", other) == 1)
			read_page(other);
		else if (errors)
			add_codes(line);
	}
	fclose(page);
}

/* By the page of a function that was hit by the failure, or called after that. */
static bool is_documented(int code)
{
	const struct t_fail_function *functions;
	char name[40];
	size_t n;

	strcpy(documented, " ");
	functions = t_fail_functions(&n);
	for (size_t i = 1; i < n; i++)
		if (functions[i].hit || functions[i].after)
			read_page(functions[i].name);
	snprintf(name, sizeof(name), " %s ", strerrorname_np(-code));
	return strstr(documented, name);
}

/* --- one try ------------------------------------------------------------------------------------- */

static int count_lines(const char *path, const char *with)
{
	FILE *file = fopen(path, "r");
	char line[1024];
	int n = 0;

	T_CHECK(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, with) != NULL;
	fclose(file);
	return n;
}

static struct holdings holdings(void)
{
	char path[64];
	struct holdings now = {0};

	mp__forkserver_stop();
	now.allocations = t_fail_live();
	now.fds = t_count_fds();
	now.mappings = count_lines("/proc/self/maps", "memfd:") +
		       count_lines("/proc/self/maps", "/dev/shm");
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	FILE *children = fopen(path, "r");
	T_CHECK(children);
	now.children = 0;
	for (int pid; fscanf(children, "%d", &pid) == 1;)
		now.children++;
	fclose(children);
	return now;
}

static void say(const char *format, ...) MP__PRINTF(1, 2);

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->text, sizeof(report->text), format, args);
	va_end(args);
}

struct fault {
	size_t call;
	int error; /* 0: none */
	unsigned at;
};

static void round_without_fault(void)
{
	if (current->setup)
		current->setup();
	int code = current->call();
	if (code < 0) {
		say("without a failure it gives %s (%s)", mp_strerror(code), mp_error_detail());
		_exit(T_CHILD_FAILED);
	}
	if (current->end)
		current->end();
}

/* What was counted, for the process that judges. */
static void note(void)
{
	const struct t_fail_function *functions = t_fail_functions(&report->n_seen);

	for (size_t i = 0; i < t_n_fail_calls; i++)
		report->counted[i] = t_fail_counted(i);
	for (size_t i = 1; i < report->n_seen; i++) {
		struct seen *seen = &report->seen[i];
		snprintf(seen->name, sizeof(seen->name), "%s", functions[i].name);
		seen->asked = functions[i].asked;
		seen->hit = functions[i].hit;
	}
}

static int try_fault(void *argument)
{
	const struct fault *fault = argument;

	alarm(PROCESS_S);
	if (current->setup)
		current->setup();
	t_fail_begin(fault->call, fault->error, fault->at);
	int code = current->call();
	report->fired = t_fail_end();
	report->code = code;
	note();
	if (code < 0 && !is_documented(code)) {
		say("%s (%s) is not documented", strerrorname_np(-code), mp_error_detail());
		return T_CHILD_FAILED;
	}
	if (code < 0 && mp_error_detail()[0] == '\0') {
		say("%s without a sentence", strerrorname_np(-code));
		return T_CHILD_FAILED;
	}
	if (code < 0) {
		int again = current->again ? current->again() : current->call();
		if (again < 0) {
			say("gave %s; tried again, %s (%s)", strerrorname_np(-code),
				strerrorname_np(-again), mp_error_detail());
			return T_CHILD_FAILED;
		}
	}
	if (current->end)
		current->end();
	round_without_fault();
	report->after = holdings();
	return 0;
}

static const char *error_name(int error)
{
	return error == T_SHORT ? "half" : error == 0 ? "nothing" : strerrorname_np(error);
}

/* The child's end; says false, and why in report->text. */
static bool ends_well(pid_t pid)
{
	siginfo_t info = {0};

	cr_assert(waitid(P_PID, (id_t)pid, &info, WEXITED) == 0);
	if (info.si_code == CLD_EXITED && info.si_status == 0)
		return true;
	if (report->text[0] == '\0' && info.si_status == SIGALRM)
		say("hangs");
	else if (report->text[0] == '\0')
		say("ended with %s %d", info.si_code == CLD_EXITED ? "code" : "signal",
			info.si_status);
	return false;
}

static bool run(struct fault fault)
{
	memset(report, 0, sizeof(*report));
	struct t_child child = t_spawn(try_fault, &fault);
	bool well = ends_well(child.pid);
	close(child.pidfd);
	close(child.ready);
	return well;
}

/* --- all of them ---------------------------------------------------------------------------------- */

static void begin_case(const struct t_fault_case *c)
{
	current = c;
	report = mmap(
		NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(report != MAP_FAILED && t_n_fail_calls <= CALLS_MAX);
}

static bool leaves_something(const struct holdings *after, const struct holdings *expected)
{
	return after->fds != expected->fds || after->mappings != expected->mappings ||
	       after->children != expected->children || after->allocations != expected->allocations;
}

/* 1 a failure that was not borne. 0; -1 there is no such number. */
static int judge(const struct fault *fault, const struct holdings *expected)
{
	bool well = run(*fault);

	if (well && !report->fired)
		return -1;
	if (well && leaves_something(&report->after, expected)) {
		well = false;
		say("gave %s, and leaves %+d descriptors, %+d mappings, %+d children, "
		    "%+ld allocations",
			report->code < 0 ? strerrorname_np(-report->code) : "success",
			report->after.fds - expected->fds,
			report->after.mappings - expected->mappings,
			report->after.children - expected->children,
			report->after.allocations - expected->allocations);
	}
	if (!well)
		fprintf(stderr, "%s number %u fails with %s: %s\n", t_fail_calls[fault->call].name,
			fault->at, error_name(fault->error), report->text);
	return !well;
}

/* The failures that were made, to those of before. */
static void add_hits(struct seen *seen, size_t n)
{
	for (size_t i = 1; i < report->n_seen; i++)
		for (size_t k = 1; report->seen[i].hit && k < n; k++)
			seen[k].hit += strcmp(seen[k].name, report->seen[i].name) == 0;
}

static int try_all(const unsigned *counted, struct seen *seen, size_t n_seen, int *ret_tried)
{
	struct holdings expected = report->after;
	int bad = 0;

	*ret_tried = 0;
	for (size_t call = 0; call < t_n_fail_calls; call++) {
		const int *error = t_fail_calls[call].errors;
		for (; counted[call] && *error; error++) {
			struct fault fault = {call, *error, 0};
			int result;
			for (; (result = judge(&fault, &expected)) >= 0; fault.at++) {
				bad += result;
				++*ret_tried;
				add_hits(seen, n_seen);
			}
		}
	}
	return bad;
}

/* Tests run in processes of Criterion's, of another name but the same program. */
static const char *file_of_calls(void)
{
	static char path[512];
	char program[256];
	const char *build = getenv("top_builddir");

	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	cr_assert(n > 0);
	program[n] = '\0';
	const char *name = strrchr(program, '/') + 1;
	snprintf(path, sizeof(path), "%s/tests/%s.calls", build ? build : ".",
		strncmp(name, "lt-", 3) == 0 ? name + 3 : name);
	return path;
}

/* Only what this run sees counts. */
ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	unlink(file_of_calls());
}

static void write_seen(const struct seen *seen, size_t n)
{
	char text[T_FAIL_FUNCTIONS * 128];
	size_t used = 0;

	for (size_t i = 1; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %u %u %s\n",
			seen[i].name, seen[i].asked, seen[i].hit, current->name);
	int fd = open(file_of_calls(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	cr_assert(fd >= 0, "%s: %s", file_of_calls(), strerror(errno));
	cr_assert(write(fd, text, used) == (ssize_t)used);
	close(fd);
}

static bool asked_for_something(void)
{
	for (size_t i = 0; i < t_n_fail_calls; i++)
		if (report->counted[i] > 0)
			return true;
	return false;
}

void t_faults(const struct t_fault_case *c)
{
	unsigned counted[CALLS_MAX];
	struct seen seen[T_FAIL_FUNCTIONS];
	int tried;

	begin_case(c);
	/* Where one shall wait for another, on a busy machine the other may have been there before. */
	for (int i = 0; i < TRIES_MAX; i++) {
		cr_assert(run((struct fault){0}), "%s", report->text);
		if (asked_for_something())
			break;
	}
	memcpy(counted, report->counted, sizeof(counted));
	memcpy(seen, report->seen, sizeof(seen));
	size_t n_seen = report->n_seen;
	int bad = try_all(counted, seen, n_seen, &tried);
	cr_assert(bad == 0, "%d of %d failures were not borne", bad, tried);
	cr_assert(tried > 0, "nothing was there to fail");
	write_seen(seen, n_seen);
	munmap(report, sizeof(*report));
}

void t_quiet(const struct t_fault_case *c)
{
	begin_case(c);
	cr_assert(run((struct fault){0}), "%s", report->text);
	bool quiet = true;
	for (size_t i = 1; i < report->n_seen; i++) {
		if (report->seen[i].asked > 0)
			fprintf(stderr, "%s makes %u calls that can fail\n", report->seen[i].name,
				report->seen[i].asked);
		quiet = quiet && report->seen[i].asked == 0;
	}
	cr_assert(quiet, "it has to be a case of FAULTS()");
	write_seen(report->seen, report->n_seen);
	munmap(report, sizeof(*report));
}

/* --- interruptions ---------------------------------------------------------------------------------- */

static void nothing(int signal)
{
	(void)signal;
}

static int be_interrupted(void *argument)
{
	struct sigaction action = {.sa_handler = nothing};
	struct itimerval often = {{0, INTERRUPTION_US}, {0, INTERRUPTION_US}};
	mp__deadline deadline = mp__deadline_in(INTERRUPTIONS_MS);

	(void)argument;
	T_CHECK(sigaction(SIGALRM, &action, NULL) == 0 &&
		setitimer(ITIMER_REAL, &often, NULL) == 0);
	do {
		if (current->setup)
			current->setup();
		int code = current->call();
		if (code < 0) {
			say("interrupted, it gives %s (%s)", strerrorname_np(-code),
				mp_error_detail());
			return T_CHILD_FAILED;
		}
		if (current->end)
			current->end();
	} while (mp__deadline_poll_ms(deadline) > 0);
	return 0;
}

void t_interruptions(const struct t_fault_case *c)
{
	begin_case(c);
	struct t_child child = t_spawn(be_interrupted, NULL);
	t_wait_pidfd(child.pidfd);
	cr_assert(ends_well(child.pid), "%s", report->text);
	close(child.pidfd);
	close(child.ready);
	munmap(report, sizeof(*report));
}
