/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/limits.h"

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/error.h"
#include "base/hot.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void mp__limits_stamp(struct mp__pool_worker *record)
{
	struct timespec cpu = {0};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	atomic_store_explicit(&record->cpu_us,
		(uint64_t)cpu.tv_sec * 1000000 + (uint64_t)cpu.tv_nsec / 1000,
		memory_order_relaxed);
	atomic_store_explicit(&record->started_ns, (uint64_t)mp__now_ns(), memory_order_relaxed);
}

static int begin_timer(clockid_t clock, uint32_t ms, timer_t *ret_timer)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};

	if (timer_create(clock, &event, ret_timer) < 0)
		return mp__error_errno("timer for the limit of a task");
	if (timer_settime(*ret_timer, 0, &when, NULL) < 0) {
		int r = mp__error_errno("timer for the limit of a task");
		timer_delete(*ret_timer);
		return r;
	}
	return 0;
}

/* Bytes of address space in use. */
static rlim_t mapped(void)
{
	char text[64] = "";
	MP__AUTO_CLOSE int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return RLIM_INFINITY;
	return strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

int mp__limit_memory(uint64_t kib, struct rlimit *ret_before)
{
	rlim_t now = mapped();

	if (now == RLIM_INFINITY || getrlimit(RLIMIT_AS, ret_before) < 0)
		return mp_error_set(-EACCES, "limiting the memory of a task: what the worker has "
					     "cannot be told (/proc/self/statm)");
	struct rlimit limit = *ret_before;
	rlim_t wanted =
		kib < (RLIM_INFINITY - now) / 1024 ? now + (rlim_t)kib * 1024 : RLIM_INFINITY;
	if (wanted >= limit.rlim_cur)
		return 0; /* it is narrower already */
	limit.rlim_cur = wanted;
	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return mp__error_errno("limiting the memory of a task");
	return 1;
}

MP__HOT int mp__limits_begin(struct mp__limits *limits, const struct mp__pool_segment *segment,
	uint32_t number, struct mp__pool_worker *record)
{
	uint32_t room = segment->slots[number].room;
	bool has = room < segment->n_slots;
	uint32_t timeout_ms = has ? segment->rooms[room].timeout_ms : 0;
	uint32_t cpu_ms = has ? segment->rooms[room].cpu_ms : 0;
	uint32_t memory_kib = has ? segment->rooms[room].memory_kib : 0;
	int r = 0;

	limits->has_timer = limits->has_cpu_timer = limits->has_memory = false;
	if (timeout_ms == 0 && cpu_ms == 0 && memory_kib == 0)
		return 0;
	mp__limits_stamp(record);
	if (memory_kib > 0) {
		r = mp__limit_memory(memory_kib, &limits->memory);
		limits->has_memory = r > 0;
		r = r < 0 ? r : 0;
	}
	if (r == 0 && timeout_ms > 0) {
		r = begin_timer(CLOCK_MONOTONIC, timeout_ms, &limits->timer);
		limits->has_timer = r == 0;
	}
	if (r == 0 && cpu_ms > 0) {
		r = begin_timer(CLOCK_PROCESS_CPUTIME_ID, cpu_ms, &limits->cpu_timer);
		limits->has_cpu_timer = r == 0;
	}
	return r;
}

MP__HOT void mp__limits_end(struct mp__limits *limits)
{
	if (limits->has_timer)
		timer_delete(limits->timer);
	if (limits->has_cpu_timer)
		timer_delete(limits->cpu_timer);
	if (limits->has_memory)
		setrlimit(RLIMIT_AS, &limits->memory);
}
