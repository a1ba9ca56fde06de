/* SPDX-License-Identifier: MIT */
/* Joinable queues: what is out, what is done, and whose it was. */
#include <config.h>

#include "tests/support/queues.h"

T_SUITE(queue_joinable);

static int work(void *argument)
{
	mp_obj value;

	for (;;) {
		T_CHECK(mp_queue_get(argument, T_TIMEOUT_MS, &value) == 0);
		bool end = value.type == MP_TYPE_NIL;
		T_CHECK(mp_queue_task_done(argument) == 0);
		if (end)
			return 0;
	}
}

Test(queue_joinable, test_task_done)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
	struct t_child c[4];

	for (int i = 0; i < 4; i++)
		c[i] = t_spawn(work, q);
	for (int i = 0; i < 10; i++)
		T_OK(mp_queue_put(q, mp_i64(i), MP_FOREVER));
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	for (int i = 0; i < 4; i++)
		T_OK(mp_queue_put(q, mp_nil(), MP_FOREVER));
	for (int i = 0; i < 4; i++)
		t_expect_exit(&c[i], 0);
	T_OK(mp_queue_join(q, MP_NOWAIT));
	T_RESULT(mp_queue_task_done(q), -ERANGE);
	mp_queue_close(q);
}

Test(queue_joinable, a_message_that_is_out_keeps_join_waiting)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	get_i64(q);
	T_RESULT(mp_queue_join(q, 20), -ETIMEDOUT);
	T_OK(mp_queue_task_done(q));
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
	q = make(NULL);
	T_RESULT(mp_queue_join(q, 0), -EINVAL);
	T_RESULT(mp_queue_task_done(q), -EINVAL);
	mp_queue_close(q);
}

static int get_and_hang(void *argument)
{
	mp_obj value;

	T_CHECK(mp_queue_get(argument, T_TIMEOUT_MS, &value) == 0);
	t_ready();
	t_hang();
}

Test(queue_joinable, join_does_not_wait_for_the_dead)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	struct t_child c = t_spawn(get_and_hang, q);
	t_wait_ready(&c);
	T_RESULT(mp_queue_join(q, MP_NOWAIT), -EAGAIN);
	t_kill(&c, SIGKILL);
	T_OK(mp_queue_join(q, T_TIMEOUT_MS));
	mp_queue_close(q);
}

static int task_done_of_another(void *argument)
{
	return mp_queue_task_done(argument) == 0 ? 0 : 1;
}

Test(queue_joinable, another_process_may_call_a_message_done)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));

	T_OK(mp_queue_put(q, mp_i64(1), 0));
	get_i64(q);
	struct t_child c = t_spawn(task_done_of_another, q);
	t_expect_exit(&c, 0);
	T_OK(mp_queue_join(q, MP_NOWAIT));
	mp_queue_close(q);
}

Test(queue_joinable, more_processes_than_a_joinable_queue_has_cells)
{
	mp_queue *q = make(MP_QUEUE_OPTIONS(.joinable = true));
	mp_obj value;

	/* Of another namespace: they may live. */
	for (unsigned i = 0; i < MP__QUEUE_CELLS; i++)
		q->cells[i].process = mp__stamp_process() ^ UINT64_C(1) << 22;
	T_OK(mp_queue_put(q, mp_i64(1), 0));
	T_RESULT(mp_queue_get(q, 0, &value), -EUSERS);
	cr_assert_eq(mp_queue_size(q), 1);
	/* One of them has died: the number is that of nobody. */
	q->cells[5].process = mp__stamp_process() ^ UINT64_C(1) << 40;
	q->cells[5].taken = 9;
	cr_assert_eq(get_i64(q), 1);
	cr_assert_eq(q->cells[5].taken, 1);
	mp_queue_close(q);
}
