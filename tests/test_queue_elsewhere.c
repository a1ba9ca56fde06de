/* SPDX-License-Identifier: MIT */
/* Consumers in another PID namespace, whose numbers mean nothing here: the dead and the living. */
#include <config.h>

#include "tests/support/queues.h"

#include "queue/store.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

T_SUITE(queue_elsewhere);

/* What consumers get from, and what ends them. */
static mp_queue *q;
static mp_queue *orders;

/* The consumer is the first process of a new namespace. Its end is that of the child. */
static int elsewhere(void *consumer)
{
	int (*function)(void) = *(int (**)(void))consumer;
	int status;

	T_CHECK(unshare(CLONE_NEWPID) == 0);
	pid_t pid = fork();
	T_CHECK(pid >= 0);
	if (pid == 0)
		_exit(function());
	T_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool may_go_elsewhere(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWPID) < 0);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static struct t_child start_elsewhere(int (*consumer)(void))
{
	if (!may_go_elsewhere())
		cr_skip_test("needs the right to make a PID namespace");
	struct t_child child = t_spawn(elsewhere, &consumer);
	t_wait_ready(&child);
	return child;
}

static mp__stamp stamp_of_cell(void)
{
	for (unsigned i = 0; i < MP__QUEUE_CELLS; i++) {
		if (q->cells[i].process != 0)
			return q->cells[i].process;
	}
	return 0;
}

/* A hash of eight bits: once in 256 times it is the same. */
static void skip_if_same(mp__stamp stamp)
{
	if (mp__stamp_is_of_here(stamp))
		cr_skip_test("the namespaces look the same");
}

static int wait_for_orders(void)
{
	mp_obj value;

	t_ready();
	T_CHECK(mp_queue_get(orders, T_TIMEOUT_MS, &value) == 0);
	return (int)mp_obj_i64(&value);
}

static void order(int what)
{
	T_OK(mp_queue_put(orders, mp_i64(what), MP_NOWAIT));
}

/* --- joining ---------------------------------------------------------------------------------------- */

#define DIE 0
#define BE_DONE 1

static int get_two(void)
{
	mp_obj value;

	for (int i = 0; i < 2; i++)
		T_CHECK(mp_queue_get(q, T_TIMEOUT_MS, &value) == 0);
	if (wait_for_orders() == BE_DONE) {
		T_CHECK(mp_queue_task_done(q) == 0);
		T_CHECK(mp_queue_task_done(q) == 0);
		t_ready();
		T_CHECK(wait_for_orders() == DIE);
	}
	return 0;
}

static struct t_child consume(int order_of_queue, int (*consumer)(void))
{
	q = make(MP_QUEUE_OPTIONS(.joinable = true, .order = order_of_queue));
	orders = make(NULL);
	for (int i = 0; i < 2; i++)
		T_OK(mp_queue_put(q, mp_i64(i), MP_NOWAIT));
	return start_elsewhere(consumer);
}

static void close_both(void)
{
	mp_queue_close(q);
	mp_queue_close(orders);
}

static int join_for_ever(void *argument)
{
	(void)argument;
	return mp_queue_join(q, MP_FOREVER) == 0 ? 0 : 1;
}

static void join_after_death(int order_of_queue)
{
	struct t_child consumer = consume(order_of_queue, get_two);

	skip_if_same(stamp_of_cell());
	T_RESULT(mp_queue_join(q, 200), -ETIMEDOUT);
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	struct t_child joiner = t_spawn(join_for_ever, NULL);
	order(DIE);
	t_expect_exit(&consumer, 0);
	t_expect_exit(&joiner, 0);
	T_OK(mp_queue_join(q, MP_NOWAIT));
	close_both();
}

Test(queue_elsewhere, what_the_dead_have_got_is_done)
{
	join_after_death(MP_QUEUE_FIFO);
	join_after_death(MP_QUEUE_LIFO);
}

Test(queue_elsewhere, the_living_are_waited_for)
{
	struct t_child consumer = consume(MP_QUEUE_FIFO, get_two);

	skip_if_same(stamp_of_cell());
	mp__guard_patience_ns = 1; /* is for those of whom nobody knows */
	T_RESULT(mp_queue_join(q, 300), -ETIMEDOUT);
	struct t_child joiner = t_spawn(join_for_ever, NULL);
	order(BE_DONE);
	t_expect_exit(&joiner, 0);
	order(DIE);
	t_expect_exit(&consumer, 0);
	close_both();
}

/* Its child has the queue too, and outlives it. */
static int get_two_and_die(void)
{
	mp_obj value;

	for (int i = 0; i < 2; i++)
		T_CHECK(mp_queue_get(q, T_TIMEOUT_MS, &value) == 0);
	pid_t pid = fork();
	T_CHECK(pid >= 0);
	return pid == 0 ? wait_for_orders() : 0;
}

/* The first process of a namespace takes all others along: so it is not the one that dies. */
static int first_of_all(void)
{
	pid_t pid = fork();

	T_CHECK(pid >= 0);
	if (pid == 0)
		_exit(get_two_and_die());
	while (wait(NULL) > 0)
		;
	return 0;
}

Test(queue_elsewhere, a_child_of_the_dead_does_not_stand_for_it)
{
	struct t_child first = consume(MP_QUEUE_FIFO, first_of_all);

	skip_if_same(stamp_of_cell());
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	order(DIE);
	t_expect_exit(&first, 0);
	close_both();
}

static int remarks;

static void note(int level, const char *component, const char *message, void *data)
{
	(void)data;
	(void)message;
	remarks += level == MP_LOG_WARNING && strcmp(component, "queue") == 0;
}

/* As if it had not been able to show that it lives: without /proc, for example. */
Test(queue_elsewhere, a_stranger_is_not_waited_for_without_end)
{
	struct t_child consumer = consume(MP_QUEUE_FIFO, get_two);

	skip_if_same(stamp_of_cell());
	T_OK(mp_log_set_handler(MP_LOG_WARNING, note, NULL));
	for (unsigned i = 0; i < MP__QUEUE_CELLS; i++)
		q->cells[i].process &= ~MP__LIFE_SHOWN;
	mp__guard_patience_ns = INT64_C(1300000000);
	T_RESULT(mp_queue_join(q, MP_FOREVER), -ETIMEDOUT);
	cr_assert_eq(remarks, 1);
	order(BE_DONE);
	t_wait_ready(&consumer);
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	order(DIE);
	t_expect_exit(&consumer, 0);
	close_both();
}

/* --- leases ----------------------------------------------------------------------------------------- */

static int lease_one(void)
{
	mp_lease lease;
	mp_obj value;

	T_CHECK(mp_queue_lease(q, T_TIMEOUT_MS, &value, &lease) == 0);
	return wait_for_orders();
}

Test(queue_elsewhere, leases_of_the_dead_come_back_those_of_the_living_do_not)
{
	mp_lease lease;
	mp_obj value;

	q = make(MP_QUEUE_OPTIONS(.leases = true));
	orders = make(NULL);
	T_OK(mp_queue_put(q, mp_i64(5), MP_NOWAIT));
	struct t_child consumer = start_elsewhere(lease_one);
	skip_if_same(mp__store_entry(q->store, q->store->root->leased - 1)->owner);
	T_RESULT(mp_queue_lease(q, 200, &value, &lease), -ETIMEDOUT);
	order(DIE);
	t_expect_exit(&consumer, 0);
	T_OK(mp_queue_lease(q, T_TIMEOUT_MS, &value, &lease));
	cr_assert_eq(mp_obj_i64(&value), 5);
	cr_assert(lease.redelivered);
	T_OK(mp_queue_ack(q, lease));
	close_both();
}

/* --- the proof itself ------------------------------------------------------------------------------- */

static int hold_and_hang(void *fd)
{
	struct mp__life life = {0};

	T_CHECK(mp__life_stamp(&life, *(int *)fd) & MP__LIFE_SHOWN);
	t_ready();
	t_hang();
}

/* As a stamp of another namespace, which it is not. */
static mp__stamp from_elsewhere(mp__stamp stamp)
{
	return (stamp ^ UINT64_C(1) << 22) | MP__LIFE_SHOWN;
}

Test(queue_elsewhere, a_lock_that_only_death_ends)
{
	int fd = memfd_create("life", MFD_CLOEXEC);
	struct mp__life life = {0};
	struct mp__life twice = {0};
	mp__stamp self = mp__stamp_process();

	cr_assert_eq(mp__life_begin(&life, fd) & ~MP__LIFE_SHOWN, self);
	cr_assert_eq(mp__life_stamp(&life, fd), life.stamp);
	cr_assert(mp__life_is_own(life.stamp) && mp__life_can_be_seen(life.stamp));
	cr_assert_not(mp__life_ended(fd, life.stamp));
	/* Nobody of that namespace has shown itself. */
	cr_assert(mp__life_ended(fd, from_elsewhere(self)));
	/* Who says nothing of itself may live. */
	cr_assert_not(mp__life_ended(fd, from_elsewhere(self) & ~MP__LIFE_SHOWN));
	cr_assert_not(mp__life_can_be_seen(from_elsewhere(self) & ~MP__LIFE_SHOWN));
	/* Two handles of one process. */
	(void)mp__life_begin(&twice, fd);
	mp__life_end(&life);
	mp__life_end(&life);
	mp__life_end(&twice);
	struct t_child child = t_spawn(hold_and_hang, &fd);
	t_wait_ready(&child);
	t_kill(&child, SIGKILL);
	close(fd);
}
