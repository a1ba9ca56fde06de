/* SPDX-License-Identifier: MIT */
/*
 * Queues whose users are killed at every step, by storm, or write garbage over everything.
 *
 * MP_QUEUE_KILLS=10000 build/tests/test_queue_crash --filter '*storm*' is the long run of the storm.
 */
#include <config.h>

#include "tests/support/queues.h"

#include <mp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "queue/queue.h"

T_SUITE(queue_crash);

/* --- every step ----------------------------------------------------------------------------------- */

#define N_SCRIPT 60
#define SCRIPT_SIZE 20000

/* What the victim has done for certain. */
struct progress {
	mp_queue *q;
	_Atomic int put;
	_Atomic int got;
};

static void put_number(mp_queue *q, int i, char *buffer)
{
	void *data;

	memset(buffer, i, SCRIPT_SIZE);
	memcpy(buffer, &i, sizeof(i));
	if (i % 3 == 0) {
		T_CHECK(mp_queue_reserve(q, SCRIPT_SIZE, T_TIMEOUT_MS, &data) == 0);
		memcpy(data, buffer, SCRIPT_SIZE);
		T_CHECK(mp_queue_commit(q, SCRIPT_SIZE) == 0);
	} else if (i % 3 == 1) {
		struct iovec one = {buffer, SCRIPT_SIZE};
		T_CHECK(mp_queue_put_many_bytes(q, &one, 1, T_TIMEOUT_MS) == 1);
	} else {
		T_CHECK(mp_queue_put_bytes(q, buffer, SCRIPT_SIZE, T_TIMEOUT_MS) == 0);
	}
}

static int get_number(mp_queue *q, int i, char *buffer)
{
	const void *data;
	size_t size = 0;
	int number;

	if (i % 2) {
		T_CHECK(mp_queue_get_bytes_into(q, buffer, SCRIPT_SIZE, T_TIMEOUT_MS, &size) == 0);
	} else {
		T_CHECK(mp_queue_peek(q, T_TIMEOUT_MS, &data, &size) == 0);
		T_CHECK(size == SCRIPT_SIZE);
		memcpy(buffer, data, SCRIPT_SIZE);
		T_CHECK(mp_queue_consume(q) == 0);
	}
	T_CHECK(size == SCRIPT_SIZE);
	memcpy(&number, buffer, sizeof(number));
	for (size_t b = sizeof(number); b < SCRIPT_SIZE; b++)
		T_CHECK(buffer[b] == (char)number);
	return number;
}

/* Everything that a queue does: grow, go round, shrink, rest, end. */
static int script(void *argument)
{
	struct progress *p = argument;
	char buffer[SCRIPT_SIZE];
	size_t size;

	for (; p->put < N_SCRIPT; p->put++)
		put_number(p->q, p->put, buffer);
	for (; p->got < N_SCRIPT; p->got++)
		T_CHECK(get_number(p->q, p->got, buffer) == p->got);
	T_CHECK(mp_queue_get_bytes_into(p->q, buffer, 1, 200, &size) == -ETIMEDOUT);
	T_CHECK(mp_queue_shutdown(p->q, MP_QUEUE_DRAIN) == 0);
	T_CHECK(mp_queue_shutdown(p->q, MP_QUEUE_IMMEDIATE) == 0);
	return 0;
}

static int put_in_child(void *argument)
{
	struct progress *p = argument;
	char buffer[SCRIPT_SIZE];

	for (int i = 100; i < 100 + N_SCRIPT; i++)
		put_number(p->q, i, buffer);
	return 0;
}

/* What is left is whole and in order; at most the step in which the victim died is uncertain. */
static void check_rest(struct progress *p)
{
	char buffer[SCRIPT_SIZE];
	int left = (int)mp_queue_size(p->q);
	int first = -1;

	for (int i = 0; i < left; i++) {
		int number = get_number(p->q, i, buffer);
		if (first < 0)
			first = number;
		cr_assert_eq(number, first + i);
	}
	if (left > 0) {
		cr_assert(first == p->got || first == p->got + 1, "%d after %d", first, p->got);
		cr_assert(first + left == p->put || first + left == p->put + 1);
	} else {
		cr_assert_leq(p->put - p->got, 1);
	}
}

static void kill_at(const char *point, const char *action)
{
	struct progress *p = t_shared(sizeof(*p));
	char buffer[SCRIPT_SIZE];
	size_t size;

	p->q = make(MP_QUEUE_OPTIONS(.joinable = true));
	t_die_at(point, action, script, p);
	if (!mp_queue_is_shutdown(p->q)) {
		check_rest(p);
		struct t_child putter = t_spawn(put_in_child, p);
		for (int i = 100; i < 100 + N_SCRIPT; i++)
			cr_assert_eq(get_number(p->q, i, buffer), i);
		t_expect_exit(&putter, 0);
		for (int i = 0; i < N_SCRIPT; i++)
			T_OK(mp_queue_task_done(p->q));
		while (mp_queue_task_done(p->q) == 0)
			;
		T_OK(mp_queue_join(p->q, T_TIMEOUT_MS));
		T_RESULT(mp_queue_get_bytes_into(p->q, buffer, 1, 300, &size), -ETIMEDOUT);
		cr_assert_eq(mp_queue_bytes(p->q), 0);
	}
	T_OK(mp_queue_shutdown(p->q, MP_QUEUE_IMMEDIATE));
	T_RESULT(mp_queue_put_bytes(p->q, "", 0, 0), -EPIPE);
	T_RESULT(mp_queue_get_bytes_into(p->q, buffer, 1, 0, &size), -EPIPE);
	mp_queue_close(p->q);
	munmap(p, sizeof(*p));
}

static const char *const points[] = {"queue.put.allocated", "queue.put.jump", "queue.put.placed",
	"queue.put.copied", "queue.put.committed", "queue.put.rung", "queue.many.committed",
	"queue.reserve.set", "queue.reserve.committed", "queue.get.found", "queue.get.copied",
	"queue.get.consumed", "queue.get.rung", "queue.get.freeing", "queue.get.left",
	"queue.get.unallocated", "queue.get.punched", "queue.peek.set", "queue.peek.cleared",
	"queue.cell.cleared", "queue.cell.counted", "queue.trim.jump", "queue.trim.tail",
	"queue.shutdown.puts", "queue.shutdown.gets"};

Test(queue_crash, killed_at_every_step)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		kill_at(points[i], "kill");
}

Test(queue_crash, exits_at_every_step)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		kill_at(points[i], "exit");
}

/* --- storm ---------------------------------------------------------------------------------------- */

#define N_SIDE 2
#define N_MESSAGES (1u << 24)
#define KILLS_SHORT 150

struct storm {
	mp_queue *q;
	_Atomic int stop;
	struct {
		_Atomic uint32_t trying; /* number + 1 that is being put */
		_Atomic uint32_t put;    /* number + 1 that was put last */
	} producer[N_SIDE];
	struct {
		_Atomic uint64_t current;      /* 1 + what is being consumed */
		_Atomic uint32_t last[N_SIDE]; /* number + 1 seen last, of each producer */
		_Atomic uint32_t out_of_order;
	} consumer[N_SIDE];
	_Atomic uint8_t unknown[N_SIDE][N_MESSAGES]; /* its producer or consumer died over it */
	_Atomic uint8_t seen[N_SIDE][N_MESSAGES];
};

struct role {
	struct storm *s;
	int which; /* producers, then consumers */
};

struct message {
	uint32_t producer;
	uint32_t number;
	uint32_t check;
	char more[];
};

static int produce(void *argument)
{
	struct storm *s = ((struct role *)argument)->s;
	int me = ((struct role *)argument)->which;
	char buffer[4000] = "";
	struct message *m = (struct message *)buffer;

	while (!s->stop) {
		uint32_t n = s->producer[me].trying;
		if (n + 1 == N_MESSAGES) { /* a long storm: the others go on to be killed */
			sched_yield();
			continue;
		}
		s->producer[me].trying = n + 1;
		*m = (struct message){(uint32_t)me, n, ~n};
		size_t size = sizeof(*m) + (n % 7 == 0 ? n % 3900 : n % 50);
		int r;
		do
			r = mp_queue_put_bytes(s->q, buffer, size, T_TIMEOUT_MS);
		while (r == -EAGAIN);
		T_CHECK(r == 0);
		s->producer[me].put = n + 1;
	}
	return 0;
}

/* By reading in place, so that it is known which message a death is over. */
static int consume(void *argument)
{
	struct storm *s = ((struct role *)argument)->s;
	int me = ((struct role *)argument)->which - N_SIDE;
	const struct message *m;
	const void *data;
	size_t size;

	for (;;) {
		int r = mp_queue_peek(s->q, T_TIMEOUT_MS, &data, &size);
		if (r == -EPIPE)
			return 0;
		T_CHECK(r == 0);
		m = data;
		uint32_t producer = m->producer;
		uint32_t n = m->number;
		T_CHECK(size >= sizeof(*m) && producer < N_SIDE && n < N_MESSAGES &&
			m->check == ~n);
		s->consumer[me].current = 1 + ((uint64_t)producer << 32 | n);
		T_CHECK(mp_queue_consume(s->q) == 0);
		s->seen[producer][n]++;
		if (n < s->consumer[me].last[producer])
			s->consumer[me].out_of_order++;
		s->consumer[me].last[producer] = n + 1;
		s->consumer[me].current = 0;
	}
}

static void note_death(struct storm *s, int which)
{
	if (which < N_SIDE) {
		uint32_t trying = s->producer[which].trying;
		if (trying != s->producer[which].put)
			s->unknown[which][trying - 1] = 1;
		return;
	}
	uint64_t current = s->consumer[which - N_SIDE].current;
	if (current != 0)
		s->unknown[(current - 1) >> 32][(uint32_t)(current - 1)] = 1;
	s->consumer[which - N_SIDE].current = 0;
}

static uint64_t check_storm(struct storm *s)
{
	uint64_t total = 0;

	for (int p = 0; p < N_SIDE; p++) {
		for (uint32_t n = 0; n < s->producer[p].trying; n++) {
			/* A consumer may die between consuming and noting it. */
			cr_assert(s->seen[p][n] == 1 || (s->seen[p][n] == 0 && s->unknown[p][n]),
				"message %u of %d came %d times", n, p, s->seen[p][n]);
			total += s->seen[p][n];
		}
		cr_assert_eq(s->consumer[p].out_of_order, 0);
	}
	return total;
}

Test(queue_crash, storm_of_kills, .timeout = 3600)
{
	struct storm *s = t_shared(sizeof(*s));
	struct role roles[2 * N_SIDE];
	struct t_child c[2 * N_SIDE];
	const char *wanted = getenv("MP_QUEUE_KILLS");
	long kills = wanted ? atol(wanted) : KILLS_SHORT;
	unsigned random = (unsigned)mp__now_ns();

	cr_log_info("seed %u", random);
	s->q = make(MP_QUEUE_OPTIONS(.maxsize = 3000));
	for (int i = 0; i < 2 * N_SIDE; i++) {
		roles[i] = (struct role){s, i};
		c[i] = t_spawn(i < N_SIDE ? produce : consume, &roles[i]);
	}
	for (long k = 0; k < kills; k++) {
		random = random * 1103515245 + 12345;
		int i = (int)(random >> 16) % (2 * N_SIDE);
		struct timespec pause = {.tv_nsec = (random >> 8) % 2000000};
		nanosleep(&pause, NULL);
		if (k % 2)
			t_kill(&c[i], SIGSTOP);
		t_kill(&c[i], SIGKILL);
		note_death(s, i);
		c[i] = t_spawn(i < N_SIDE ? produce : consume, &roles[i]);
	}
	s->stop = 1;
	for (int i = 0; i < N_SIDE; i++)
		t_expect_exit(&c[i], 0);
	T_OK(mp_queue_shutdown(s->q, MP_QUEUE_DRAIN));
	for (int i = N_SIDE; i < 2 * N_SIDE; i++)
		t_expect_exit(&c[i], 0);
	cr_assert_gt(check_storm(s), 0);
	cr_assert(mp_queue_empty(s->q));
	mp_queue_close(s->q);
	munmap(s, sizeof(*s));
}

/* --- short waits ----------------------------------------------------------------------------------- */

static int dies_reading(void *argument)
{
	const void *data;
	size_t size;

	T_CHECK(mp_queue_peek(argument, 0, &data, &size) == 0);
	t_ready();
	t_hang();
}

static int dies_writing(void *argument)
{
	void *data;

	T_CHECK(mp_queue_reserve(argument, 8, 0, &data) == 0);
	t_ready();
	t_hang();
}

static int dies_with_a_task(void *argument)
{
	mp_obj task;

	T_CHECK(mp_queue_get(argument, 0, &task) == 0);
	t_ready();
	t_hang();
}

static void kill_who(int (*function)(void *), mp_queue *q)
{
	struct t_child victim = t_spawn(function, q);

	t_wait_ready(&victim);
	t_kill(&victim, SIGKILL);
}

/* Shorter than the time after which others are asked for in a longer wait. */
#define MOMENT_MS 5

Test(queue_crash, who_waits_only_for_moments_is_not_held_up_by_the_dead)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
	mp_obj value;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	kill_who(dies_reading, q);
	T_OK(mp_queue_get(q, MOMENT_MS, &value));
	kill_who(dies_writing, q);
	T_OK(mp_queue_put(q, mp_i64(2), MOMENT_MS));
	T_OK(mp_queue_task_done(q));
	kill_who(dies_with_a_task, q);
	T_OK(mp_queue_join(q, MOMENT_MS));
	mp_queue_close(q);
}

Test(queue_crash, a_short_wait_for_several_things_is_not_held_up_by_the_dead)
{
	mp_queue *q = make(NULL);
	mp_waitable item = MP_WAIT(q);
	mp_waitable room = MP_WAIT_ROOM(q);

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	kill_who(dies_reading, q);
	T_RESULT(mp_wait(&item, 1, MOMENT_MS), 1);
	kill_who(dies_writing, q);
	T_RESULT(mp_wait(&room, 1, MOMENT_MS), 1);
	mp_queue_close(q);
}

static int put_one(void *argument)
{
	return mp_queue_put(argument, mp_i64(1), T_TIMEOUT_MS);
}

Test(queue_crash, a_stopped_putter_is_no_more_than_a_full_queue_for_who_does_not_wait)
{
	mp_queue *q = make(NULL);
	siginfo_t info;

	t_arm("queue.put.placed", "stop");
	struct t_child stopped = t_spawn(put_one, q);
	cr_assert(waitid(P_PIDFD, (id_t)stopped.pidfd, &info, WSTOPPED) == 0);
	t_disarm();
	T_RESULT(mp_queue_put(q, mp_i64(2), MP_NOWAIT), -EAGAIN);
	T_RESULT(mp_queue_put(q, mp_i64(2), MOMENT_MS), -ETIMEDOUT);
	t_kill(&stopped, SIGCONT);
	t_expect_exit(&stopped, 0);
	T_OK(mp_queue_put(q, mp_i64(2), MP_NOWAIT));
	mp_queue_close(q);
}

/* --- a hostile peer ------------------------------------------------------------------------------- */

#define HOSTILE_BYTES 131072

__attribute__((noreturn)) static int scribble(void *argument)
{
	struct progress *p = argument;
	unsigned random = 7;

	t_ready();
	for (;;) {
		random = random * 1103515245 + 12345;
		/* Mostly where it hurts: the words. */
		size_t at = (random >> 8) % (random & 64 ? HOSTILE_BYTES : 1024);
		if (at < 256)
			at += 256; /* what is read once at the attach */
		p->q->base[at] = (char)(random >> 24);
		p->put++;
	}
}

static int use(void *argument)
{
	struct progress *p = argument;
	char buffer[3000] = "";
	const void *peeked;
	void *data;
	size_t size;
	mp_obj value;

	/* A guard that seems to be taken costs some calls seconds: enough is enough. */
	mp__deadline end = mp__deadline_in(10000);
	for (int i = 0; i < 300 && !mp__deadline_passed(end); i++) {
		(void)mp_queue_put_bytes(p->q, buffer, (size_t)i % 3000, 1);
		(void)mp_queue_put(p->q, mp_i64(i), 0);
		if (mp_queue_get_bytes(p->q, 1, &data, &size) == 0)
			free(data);
		if (mp_queue_get(p->q, 0, &value) == 0)
			mp_obj_free(&value);
		if (mp_queue_reserve(p->q, 500, 0, &data) == 0) {
			memset(data, 1, 500);
			(void)mp_queue_commit(p->q, 500);
		}
		if (mp_queue_peek(p->q, 0, &peeked, &size) == 0) {
			volatile int last = size > 0 ? ((const char *)peeked)[size - 1] : 0;
			(void)last;
			(void)mp_queue_consume(p->q);
		}
		(void)mp_queue_join(p->q, 0);
		(void)mp_queue_size(p->q);
		(void)mp_queue_full(p->q);
		/* Words that say "taken by a living thread" or "shut down" would end the test here. */
		p->q->control->put_guard = p->q->control->get_guard = 0;
		p->q->control->shutdown = 0;
		p->q->control->lent = p->q->control->reserved = 0;
	}
	return 0;
}

Test(queue_crash, a_hostile_peer_causes_errors_only)
{
	struct progress *p = t_shared(sizeof(*p));

	p->q = make(MP_QUEUE_OPTIONS(.max_bytes = 20000, .joinable = true));
	struct t_child hostile = t_spawn(scribble, p);
	t_wait_ready(&hostile);
	struct t_child c = t_spawn(use, p);
	t_expect_exit(&c, 0);
	t_kill(&hostile, SIGKILL);
	cr_assert_gt(p->put, 0);
	mp_queue_close(p->q);
	munmap(p, sizeof(*p));
}

Test(queue_crash, a_damaged_ring_is_an_error)
{
	mp_queue *q = make(NULL);
	mp_obj value;
	char buffer[8];
	size_t size;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	memset(q->base + MP__QUEUE_REGION, 0x7f, 8);
	T_RESULT(mp_queue_get(q, 0, &value), -EBADMSG);
	T_RESULT(mp_queue_get_bytes_into(q, buffer, 8, 0, &size), -EBADMSG);
	q->control->head = UINT64_MAX >> 1;
	T_RESULT(mp_queue_get(q, 0, &value), -EBADMSG);
	q->control->tail = UINT64_MAX;
	T_RESULT(mp_queue_put(q, mp_i64(1), 0), -EBADMSG);
	mp_queue_close(q);
}

Test(queue_crash, what_is_no_value_goes_with_an_error)
{
	mp_queue *q = make(NULL);
	mp_obj value;

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_OK(mp_queue_put(q, mp_i64(2), 0));
	q->base[MP__QUEUE_REGION + 8] = (char)0xff;
	T_RESULT(mp_queue_get(q, 0, &value), -EBADMSG);
	T_OK(mp_queue_get(q, 0, &value));
	cr_assert_eq(mp_obj_i64(&value), 2);
	mp_queue_close(q);
}
