/* SPDX-License-Identifier: MIT */
/* Death in the middle of every change of a shared heap: the others go on, nothing is lost or torn. */
#include <config.h>

#include "tests/support/support.h"

#include "base/cleanup.h"
#include "base/deadline.h"
#include "shm/heap_handle.h"

#include <mp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

T_SUITE(heap_crash);

#define TEXT "what the living have"

static mp_heap *heap;

static void make(void)
{
	char *text;

	T_OK(mp_heap_new(8192, MP_HEAP_OPTIONS(.max_size = 64 << 20), &heap));
	T_OK(mp_heap_alloc(heap, 100, &text));
	strcpy(text, TEXT);
	T_OK(mp_heap_set_root(heap, text));
}

/* A way through every step: blocks from a bin and from a larger one, aligned ones, all mergers. */
static int work(void *argument)
{
	char *p[6], *q;

	(void)argument;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 6; i++)
			T_CHECK(mp_heap_alloc(heap, 100 + (size_t)i * 50, &p[i]) == 0);
		T_CHECK(mp_heap_free(heap, p[0]) == 0);
		T_CHECK(mp_heap_free(heap, p[2]) == 0);
		T_CHECK(mp_heap_free(heap, p[4]) == 0);
		T_CHECK(mp_heap_free(heap, p[3]) == 0); /* between two free ones */
		T_CHECK(mp_heap_alloc_aligned(heap, 1024, 200, &q) == 0);
		T_CHECK(mp_heap_free(heap, q) == 0);
		T_CHECK(mp_heap_alloc(heap, 1 << 20, &q) == 0);
		memset(q, 1, 1 << 20);
		T_CHECK(mp_heap_free(heap, q) == 0);
		T_CHECK(mp_heap_free(heap, p[5]) == 0);
		T_CHECK(mp_heap_free(heap, p[1]) == 0);
	}
	return 0;
}

/* Large ones, which go back to the system and come again, alone and with their neighbours. */
static int work_largely(void *argument)
{
	char *p[3];

	(void)argument;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			T_CHECK(mp_heap_alloc(heap, i % 2 ? 2 << 20 : 5 << 20, &p[i]) == 0);
		for (int i = 0; i < 3; i += 2)
			T_CHECK(mp_heap_free(heap, p[i]) == 0);
		T_CHECK(mp_heap_free(heap, p[1]) == 0);
		T_CHECK(mp_heap_alloc(heap, 100, &p[0]) == 0);
		T_CHECK(mp_heap_alloc(heap, 11 << 20, &p[1]) == 0);
		memset(p[1], 1, 11 << 20);
		T_CHECK(mp_heap_free(heap, p[1]) == 0);
		T_CHECK(mp_heap_free(heap, p[0]) == 0);
	}
	return 0;
}

/* Whole, as the living left it, and free of what the dead had. */
static void expect_whole(void)
{
	mp_heap_stats stats;
	void *p;

	T_OK(mp_heap_alloc(heap, 300, &p));
	T_OK(mp_heap_check(heap));
	T_OK(mp_heap_free(heap, p));
	cr_assert_geq(mp_heap_reclaim(heap), 0);
	T_OK(mp_heap_check(heap));
	T_OK(mp_heap_stat(heap, &stats));
	cr_assert_eq(stats.n_used, 1);
	cr_assert_leq(stats.n_free, 2); /* before and behind ours */
	cr_assert_str_eq(mp_heap_root(heap), TEXT);
}

static void wait_until_stopped(struct t_child *child)
{
	siginfo_t info;

	cr_assert_eq(waitid(P_PID, (id_t)child->pid, &info, WSTOPPED), 0);
	cr_assert_eq(info.si_code, CLD_STOPPED);
}

/* What is reached by which work. */
static const struct step {
	const char *point;
	int (*work)(void *argument);
} steps[] = {{"heap.unlink", work}, {"heap.unlinked", work}, {"heap.cut", work},
	{"heap.cut_front", work}, {"heap.split", work}, {"heap.taken", work}, {"heap.given", work},
	{"heap.join_next", work}, {"heap.join_before", work}, {"heap.joined_before", work},
	{"heap.marked", work}, {"heap.allocated", work}, {"heap.new_end", work},
	{"heap.grown", work}, {"heap.release", work_largely}, {"heap.released", work_largely},
	{"heap.release_settled", work_largely}, {"heap.punched", work_largely},
	{"heap.restore", work_largely}, {"heap.restore_rest", work_largely},
	{"heap.restored", work_largely}};

Test(heap_crash, killed_at_any_step)
{
	for (size_t i = 0; i < MP__COUNT_OF(steps); i++) {
		make();
		t_arm(steps[i].point, "kill");
		struct t_child child = t_spawn(steps[i].work, NULL);
		t_expect_signal(&child, SIGKILL);
		cr_assert(t_fired(), "%s was not reached", steps[i].point);
		t_disarm();
		expect_whole();
		mp_heap_close(heap);
	}
}

Test(heap_crash, exited_at_any_step)
{
	for (size_t i = 0; i < MP__COUNT_OF(steps); i++) {
		make();
		t_arm(steps[i].point, "exit");
		struct t_child child = t_spawn(steps[i].work, NULL);
		t_expect_exit(&child, 86);
		t_disarm();
		expect_whole();
		mp_heap_close(heap);
	}
}

/* Whoever repairs gives back what the dead one was about to. */
Test(heap_crash, killed_while_releasing)
{
	static const char *const points[] = {
		"heap.released", "heap.release_settled", "heap.punched"};
	mp_heap_stats stats;
	struct stat st;

	for (size_t i = 0; i < MP__COUNT_OF(points); i++) {
		make();
		t_arm(points[i], "kill");
		struct t_child child = t_spawn(work_largely, NULL);
		t_expect_signal(&child, SIGKILL);
		t_disarm();
		expect_whole();
		T_OK(mp_heap_stat(heap, &stats));
		T_OK(fstat(heap->segment.fd, &st));
		cr_assert_geq(stats.released, 5 << 20);
		cr_assert_leq((uint64_t)st.st_blocks * 512, stats.size - stats.released + (1 << 19),
			"%s: %ld KiB stayed of what is released", points[i],
			(long)st.st_blocks / 2);
		mp_heap_close(heap);
	}
}

static int work_once_ready(void *step)
{
	t_ready();
	return ((const struct step *)step)->work(NULL);
}

Test(heap_crash, stopped_then_killed_with_others_waiting)
{
	for (size_t i = 0; i < MP__COUNT_OF(steps); i++) {
		make();
		t_arm(steps[i].point, "stop");
		struct t_child victim = t_spawn(steps[i].work, NULL);
		wait_until_stopped(&victim);
		t_disarm();
		struct t_child waiter = t_spawn(work_once_ready, (void *)&steps[i]);
		t_wait_ready(&waiter);
		t_kill(&victim, SIGKILL);
		t_expect_exit(&waiter, 0);
		expect_whole();
		mp_heap_close(heap);
	}
}

Test(heap_crash, stopped_then_continued)
{
	make();
	t_arm("heap.split", "stop");
	struct t_child victim = t_spawn(work, NULL);
	wait_until_stopped(&victim);
	t_disarm();
	struct t_child waiter = t_spawn(work_once_ready, (void *)&steps[0]);
	t_wait_ready(&waiter);
	t_kill(&victim, SIGCONT);
	t_expect_exit(&waiter, 0);
	t_expect_exit(&victim, 0);
	expect_whole();
	mp_heap_close(heap);
}

Test(heap_crash, killed_while_repairing)
{
	static const char *const repairs[] = {"heap.taken_over", "heap.rebuild", "heap.rebuilt"};

	for (size_t i = 0; i < MP__COUNT_OF(steps); i++) {
		for (size_t k = 0; k < MP__COUNT_OF(repairs); k++) {
			if (strcmp(steps[i].point, "heap.allocated") == 0)
				continue; /* outside the guard: there is nothing to repair */
			make();
			t_arm(steps[i].point, "kill");
			struct t_child child = t_spawn(steps[i].work, NULL);
			t_expect_signal(&child, SIGKILL);
			t_disarm();
			t_arm(repairs[k], "kill");
			child = t_spawn(work, NULL);
			t_expect_signal(&child, SIGKILL);
			cr_assert(t_fired(), "%s after %s was not reached", repairs[k],
				steps[i].point);
			t_disarm();
			expect_whole();
			mp_heap_close(heap);
		}
	}
}

static int leave_many(void *argument)
{
	void *p;

	(void)argument;
	for (int i = 0; i < 20; i++)
		T_CHECK(mp_heap_alloc(heap, 50, &p) == 0);
	return 0;
}

static int reclaim(void *argument)
{
	(void)argument;
	return mp_heap_reclaim(heap);
}

Test(heap_crash, killed_while_reclaiming)
{
	make();
	struct t_child child = t_spawn(leave_many, NULL);
	t_expect_exit(&child, 0);
	t_arm("heap.reclaimed", "kill");
	child = t_spawn(reclaim, NULL);
	t_expect_signal(&child, SIGKILL);
	t_disarm();
	cr_assert_eq(mp_heap_reclaim(heap), 19);
	expect_whole();
	mp_heap_close(heap);
}

Test(heap_crash, a_stopped_process_is_waited_for_no_longer_than_said)
{
	void *p;

	make();
	t_arm("heap.split", "stop");
	struct t_child victim = t_spawn(work, NULL);
	wait_until_stopped(&victim);
	t_disarm();
	T_RESULT(mp_heap_alloc(heap, 1, &p), -ETIMEDOUT);
	t_kill(&victim, SIGKILL);
	expect_whole();
	mp_heap_close(heap);
}

/* Nobody has died, but somebody lies. */
Test(heap_crash, memory_that_is_not_there_is_not_read)
{
	struct mp__heap_header *h;
	void *p;

	make();
	h = heap->view.header;
	uint64_t size = atomic_load(&h->segment.size);
	uint64_t end = h->end;
	atomic_store(&h->segment.size, heap->view.limit);
	h->end = heap->view.limit / 2;
	cr_assert_null(mp_heap_pointer(heap, h->end, 8));
	T_RESULT(mp_heap_alloc(heap, 1 << 20, &p), -EBADMSG);
	h->end = end;
	atomic_store(&h->segment.size, size);
	expect_whole();
	mp_heap_close(heap);
}

/* --- who gets on ------------------------------------------------------------------------------- */

/* In the guard whenever somebody looks, and yet there are changes. */
static void *be_busy(void *until)
{
	struct mp__heap_header *h = heap->view.header;

	T_OK(mp__guard_enter_within(&h->guard, T_TIMEOUT_MS));
	atomic_store((_Atomic bool *)until, true);
	for (mp__deadline end = mp__deadline_in(4000); !mp__deadline_passed(end); sched_yield())
		atomic_fetch_add(&h->changes, 1);
	mp__guard_leave(&h->guard);
	return NULL;
}

Test(heap_crash, who_works_without_a_pause_is_not_taken_for_stopped)
{
	_Atomic bool inside = false;
	pthread_t busy;
	void *p;

	make();
	cr_assert_eq(pthread_create(&busy, NULL, be_busy, &inside), 0);
	while (!inside)
		sched_yield();
	mp__guard_patience_ns = INT64_C(3000000000);
	T_OK(mp_heap_alloc(heap, 1, &p));
	pthread_join(busy, NULL);
	T_OK(mp_heap_free(heap, p));
	expect_whole();
	mp_heap_close(heap);
}

static void interrupt_a_call(int signal)
{
	void *p;
	int r = mp_heap_alloc(heap, 1, &p);

	(void)signal;
	_exit(r == -EDEADLK ? 0 : 1);
}

static int be_interrupted(void *argument)
{
	struct sigaction action = {.sa_handler = interrupt_a_call};

	T_CHECK(sigaction(SIGCONT, &action, NULL) == 0);
	return work(argument);
}

Test(heap_crash, a_signal_handler_inside_a_call_is_told)
{
	make();
	t_arm("heap.split", "stop");
	struct t_child child = t_spawn(be_interrupted, NULL);
	wait_until_stopped(&child);
	t_disarm();
	t_kill(&child, SIGCONT);
	t_expect_exit(&child, 0);
	expect_whole();
	mp_heap_close(heap);
}

/* --- storm --------------------------------------------------------------------------------------- */

#define STORM_PROCESSES 4
#define STORM_KILLS 60
#define STORM_LIVE 64

/* Each block says who has it and how long it is, in every byte: nobody else writes there. */
static void storm_fill(unsigned char *p, uint32_t size, int who)
{
	memcpy(p, &size, sizeof(size));
	memset(p + sizeof(size), who, size - sizeof(size));
}

static bool storm_whole(const unsigned char *p, int who)
{
	uint32_t size;

	memcpy(&size, p, sizeof(size));
	for (uint32_t i = sizeof(size); i < size; i++) {
		if (p[i] != (unsigned char)who)
			return false;
	}
	return true;
}

static int storm(void *argument)
{
	int who = *(int *)argument;
	unsigned char *live[STORM_LIVE] = {NULL};
	uint64_t random = (uint64_t)getpid();

	for (uint64_t i = 0;; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		unsigned char **slot = &live[random >> 33 & (STORM_LIVE - 1)];
		uint32_t size = 4 + (uint32_t)(random >> 40) % (i % 50 == 0 ? 50000 : 500);
		if (*slot) {
			T_CHECK(storm_whole(*slot, who));
			T_CHECK(mp_heap_free(heap, *slot) == 0);
			*slot = NULL;
		} else if (i % 7 == 0) {
			T_CHECK(mp_heap_alloc_aligned(heap, 256, size, slot) == 0);
			storm_fill(*slot, size, who);
		} else {
			T_CHECK(mp_heap_alloc(heap, size, slot) == 0);
			storm_fill(*slot, size, who);
		}
		if (i == 200)
			t_ready();
	}
}

Test(heap_crash, storm_of_kills)
{
	struct t_child children[STORM_PROCESSES];
	int who[STORM_PROCESSES];

	make();
	for (int i = 0; i < STORM_PROCESSES; i++) {
		who[i] = i + 1;
		children[i] = t_spawn(storm, &who[i]);
	}
	for (int kill = 0; t_again(kill, STORM_KILLS); kill++) {
		int i = kill % STORM_PROCESSES;
		t_wait_ready(&children[i]);
		t_kill(&children[i], SIGKILL);
		if (kill % 7 == 0)
			T_OK(mp_heap_check(heap));
		if (kill % 5 == 0)
			cr_assert_geq(mp_heap_reclaim(heap), 0);
		who[i]++;
		children[i] = t_spawn(storm, &who[i]);
	}
	for (int i = 0; i < STORM_PROCESSES; i++) {
		t_wait_ready(&children[i]);
		t_kill(&children[i], SIGKILL);
	}
	expect_whole();
	mp_heap_close(heap);
}
