/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/faults.h"

#include "base/deadline.h"
#include "base/fds.h"
#include "process/forkserver.h"
#include "tests/support/fail.h"

#include <malloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#define CALLS_MAX 64
#define PROCESS_S 30
#define INTERRUPTION_US 100
#define INTERRUPTIONS_MS 300

/* What a process has, to compare. */
struct holdings {
	int fds;
	int mappings; /* of shared memory */
	int children;
};

/* One try; in memory shared with the process that makes it. */
struct report {
	unsigned counted[CALLS_MAX];
	struct holdings after;
	bool fired;
	int code;
	char text[512];
};

static struct report *report;
static const struct t_fault_case *current;
static char documented[16384]; /* " EAGAIN EINVAL ... " */

/* --- what the pages say ------------------------------------------------------------------------ */

static void read_page(const char *name, size_t size)
{
	const char *source = getenv("top_srcdir");
	char path[512];
	char word[512];

	snprintf(path, sizeof(path), "%s/man/%.*s.3", source ? source : ".", (int)size, name);
	FILE *page = fopen(path, "r");
	cr_assert_not_null(page, "no page %s", path);
	while (fscanf(page, "%511s", word) == 1) {
		size_t length = strspn(word + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
		size_t used = strlen(documented);
		if (word[0] == '-' && word[1] == 'E' && used + length + 2 < sizeof(documented))
			snprintf(documented + used, sizeof(documented) - used, "%.*s ", (int)length,
				word + 1);
	}
	fclose(page);
}

static void read_pages(const char *pages)
{
	strcpy(documented, " ");
	for (const char *at = pages; *at;) {
		size_t size = strcspn(at, " ");
		read_page(at, size);
		at += size + strspn(at + size, " ");
	}
}

static bool is_documented(int code)
{
	char name[40];

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
	struct holdings now;

	mp__forkserver_stop();
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
	for (size_t i = 0; i < t_n_fail_calls; i++)
		report->counted[i] = t_fail_counted(i);
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
	read_pages(c->pages);
	report = mmap(
		NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(report != MAP_FAILED && t_n_fail_calls <= CALLS_MAX);
}

/* 1 a failure that was not borne. 0; -1 there is no such number. */
static int judge(const struct fault *fault, const struct holdings *expected)
{
	bool well = run(*fault);

	if (well && !report->fired)
		return -1;
	if (well && memcmp(&report->after, expected, sizeof(*expected)) != 0) {
		well = false;
		say("gave %s, and leaves %+d descriptors, %+d mappings, %+d children",
			report->code < 0 ? strerrorname_np(-report->code) : "success",
			report->after.fds - expected->fds,
			report->after.mappings - expected->mappings,
			report->after.children - expected->children);
	}
	if (!well)
		fprintf(stderr, "%s number %u fails with %s: %s\n", t_fail_calls[fault->call].name,
			fault->at, error_name(fault->error), report->text);
	return !well;
}

void t_faults(const struct t_fault_case *c)
{
	unsigned counted[CALLS_MAX];
	int bad = 0;
	int tried = 0;

	begin_case(c);
	cr_assert(run((struct fault){0}), "%s", report->text);
	memcpy(counted, report->counted, sizeof(counted));
	struct holdings expected = report->after;
	for (size_t call = 0; call < t_n_fail_calls; call++) {
		for (const int *error = t_fail_calls[call].errors; counted[call] && *error;
			error++) {
			struct fault fault = {call, *error, 0};
			int result;
			for (; (result = judge(&fault, &expected)) >= 0; fault.at++) {
				bad += result;
				tried++;
			}
		}
	}
	cr_assert(bad == 0, "%d of %d failures were not borne", bad, tried);
	cr_assert(tried > 0, "nothing was there to fail");
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
