/* SPDX-License-Identifier: MIT */
/* MP_LOCK_DEBUG: orders of locks that can end in a deadlock are reported before they do. */
#include <config.h>

#include "tests/support/starts.h"

#include "sync/order.h"
#include "sync/order_layout.h"

#include <fcntl.h>
#include <mp.h>
#include <pthread.h>
#include <sys/mman.h>

T_SUITE(lock_order);

/* What was logged, by any process of the test. */
struct heard {
	_Atomic int records;
	char text[4096];
};
static struct heard *heard;

static void hear(int level, const char *component, const char *message, void *data)
{
	size_t used = strlen(heard->text);

	(void)data;
	if (level > MP_LOG_WARNING || strcmp(component, "lock-order") != 0)
		return;
	heard->records++;
	snprintf(heard->text + used, sizeof(heard->text) - used, "%s\n", message);
}

static mp_lock *a, *b, *c;

static void begin(void)
{
	heard = mmap(
		NULL, sizeof(*heard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(heard != MAP_FAILED);
	/* Children by other methods than fork begin by the variable. */
	setenv("MP_LOCK_DEBUG", "1", 1);
	mp__order_begin("1");
	T_OK(mp_log_set_handler(MP_LOG_WARNING, hear, NULL));
	T_OK(mp_lock_new(MP_LOCK_OPTIONS(.name = "a"), &a));
	T_OK(mp_lock_new(MP_LOCK_OPTIONS(.name = "b"), &b));
	T_OK(mp_lock_new(MP_LOCK_OPTIONS(.name = "c"), &c));
}

/* Nothing of it outlives the test but one descriptor, which the suite would take for a leak. */
static void end(void)
{
	mp_lock_close(a);
	mp_lock_close(b);
	mp_lock_close(c);
	T_OK(mp_log_set_handler(MP_LOG_WARNING, NULL, NULL));
}

static int in_order(mp_lock *first, mp_lock *second)
{
	T_CHECK(mp_lock_acquire(first, MP_FOREVER) >= 0);
	T_CHECK(mp_lock_acquire(second, MP_FOREVER) >= 0);
	T_CHECK(mp_lock_release(second) == 0 && mp_lock_release(first) == 0);
	return 0;
}

#define ORDER_TEST(name)                                           \
	static int body_##name(void *argument);                    \
	Test(lock_order, name)                                     \
	{                                                          \
		struct t_child child = t_spawn(body_##name, NULL); \
		t_expect_exit(&child, 0);                          \
	}                                                          \
	static int body_##name(void *argument __attribute__((unused)))

/* Each in a process of its own, which may leave a descriptor. */

ORDER_TEST(inversion_is_reported_once_with_both_orders)
{
	begin();
	in_order(a, b);
	in_order(a, b);
	T_CHECK(heard->records == 0);
	in_order(b, a);
	T_CHECK(heard->records == 2);
	T_CHECK(strstr(heard->text, "inversion: thread"));
	T_CHECK(strstr(heard->text, "wants lock 'a' while it has lock 'b'"));
	T_CHECK(strstr(heard->text, "wanted lock 'b' while it had lock 'a'"));
	in_order(b, a);
	in_order(a, b);
	T_CHECK(heard->records == 2);
	end();
	return 0;
}

ORDER_TEST(cycle_of_three_is_reported_with_all_its_members)
{
	begin();
	in_order(a, b);
	in_order(b, c);
	T_CHECK(heard->records == 0);
	in_order(c, a);
	T_CHECK(heard->records == 3);
	T_CHECK(strstr(heard->text, "wanted lock 'c' while it had lock 'b'"));
	end();
	return 0;
}

ORDER_TEST(who_only_tries_cannot_deadlock)
{
	begin();
	in_order(a, b);
	T_CHECK(mp_lock_acquire(b, MP_FOREVER) == 0 && mp_lock_acquire(a, MP_NOWAIT) == 0);
	T_CHECK(mp_lock_release(a) == 0 && mp_lock_release(b) == 0);
	T_CHECK(heard->records == 0);
	end();
	return 0;
}

ORDER_TEST(recursion_is_no_order)
{
	mp_rlock *r;

	begin();
	T_CHECK(mp_rlock_new(MP_LOCK_OPTIONS(.name = "r"), &r) == 0);
	T_CHECK(mp_rlock_acquire(r, MP_FOREVER) == 0 && mp_lock_acquire(a, MP_FOREVER) == 0);
	T_CHECK(mp_rlock_acquire(r, MP_FOREVER) == 0); /* it has it already */
	T_CHECK(mp_rlock_release(r) == 0 && mp_lock_release(a) == 0 && mp_rlock_release(r) == 0);
	T_CHECK(heard->records == 0);
	T_CHECK(mp_lock_acquire(a, MP_FOREVER) == 0 && mp_rlock_acquire(r, MP_FOREVER) == 0);
	T_CHECK(mp_rlock_release(r) == 0 && mp_lock_release(a) == 0);
	T_CHECK(heard->records == 2 && strstr(heard->text, "rlock 'r'"));
	mp_rlock_close(r);
	end();
	return 0;
}

ORDER_TEST(rwlocks_count_for_readers_and_writers)
{
	mp_rwlock *w;

	begin();
	T_CHECK(mp_rwlock_new(MP_RWLOCK_OPTIONS(.name = "w"), &w) == 0);
	T_CHECK(mp_rwlock_acquire_read(w, MP_FOREVER) == 0 && mp_lock_acquire(a, MP_FOREVER) == 0);
	T_CHECK(mp_rwlock_acquire_read(w, MP_FOREVER) == 0);
	T_CHECK(mp_rwlock_release_read(w) == 0 && mp_lock_release(a) == 0);
	T_CHECK(mp_rwlock_release_read(w) == 0 && heard->records == 0);
	T_CHECK(mp_lock_acquire(a, MP_FOREVER) == 0 && mp_rwlock_acquire_write(w, MP_FOREVER) == 0);
	T_CHECK(mp_rwlock_downgrade(w) == 0 && mp_rwlock_release_read(w) == 0);
	T_CHECK(mp_lock_release(a) == 0);
	T_CHECK(heard->records == 2 && strstr(heard->text, "rwlock 'w'"));
	mp_rwlock_close(w);
	end();
	return 0;
}

ORDER_TEST(a_lock_given_back_during_a_wait_is_not_held)
{
	mp_condition *condition;

	begin();
	T_CHECK(mp_condition_new(NULL, &condition) == 0);
	T_CHECK(mp_lock_acquire(a, MP_FOREVER) == 0);
	T_CHECK(mp_condition_wait(condition, a, 1) == -ETIMEDOUT);
	T_CHECK(mp_lock_release(a) == 0);
	in_order(a, b);
	T_CHECK(heard->records == 0);
	/* Taken back while another one is held that comes after it. */
	T_CHECK(mp_lock_acquire(a, MP_FOREVER) == 0 && mp_lock_acquire(b, MP_FOREVER) == 0);
	T_CHECK(mp_condition_wait(condition, a, 1) == -ETIMEDOUT);
	T_CHECK(mp_lock_release(a) == 0 && mp_lock_release(b) == 0);
	T_CHECK(heard->records == 2);
	mp_condition_close(condition);
	end();
	return 0;
}

/* --- at the same instant --------------------------------------------------------------------------- */

static pthread_barrier_t both_have_one;

static void *have_one_want_other(void *order)
{
	mp_lock **locks = order;

	T_CHECK(mp_lock_acquire(locks[0], MP_FOREVER) == 0);
	pthread_barrier_wait(&both_have_one);
	if (mp_lock_acquire(locks[1], 1) == 0)
		T_CHECK(mp_lock_release(locks[1]) == 0);
	T_CHECK(mp_lock_release(locks[0]) == 0);
	return NULL;
}

/* Both threads may report it; one has to. */
ORDER_TEST(opposite_orders_at_the_same_instant_are_not_missed)
{
	begin();
	T_CHECK(pthread_barrier_init(&both_have_one, NULL, 2) == 0);
	for (int round = 0; round < 500; round++) {
		pthread_t threads[2];
		mp_lock *orders[2][2];
		T_CHECK(mp_lock_new(NULL, &orders[0][0]) == 0);
		T_CHECK(mp_lock_new(NULL, &orders[0][1]) == 0);
		orders[1][0] = orders[0][1];
		orders[1][1] = orders[0][0];
		heard->records = 0;
		heard->text[0] = '\0';
		for (int i = 0; i < 2; i++)
			T_CHECK(pthread_create(&threads[i], NULL, have_one_want_other, orders[i]) ==
				0);
		for (int i = 0; i < 2; i++)
			T_CHECK(pthread_join(threads[i], NULL) == 0);
		T_CHECK(heard->records > 0);
		mp_lock_close(orders[0][0]);
		mp_lock_close(orders[0][1]);
	}
	end();
	return 0;
}

/* --- families ------------------------------------------------------------------------------------- */

static int pipe_to_test;

static void tell(int level, const char *component, const char *message, void *data)
{
	(void)level, (void)data;
	if (strcmp(component, "lock-order") == 0)
		T_CHECK(write(pipe_to_test, message, strlen(message) + 1) > 0);
}

static int other_order(int argc, const mp_obj *argv)
{
	T_CHECK(argc == 3);
	pipe_to_test = mp_obj_fd(&argv[2]);
	T_CHECK(mp_log_set_handler(MP_LOG_WARNING, tell, NULL) == 0);
	return in_order(mp_obj_lock(&argv[1]), mp_obj_lock(&argv[0]));
}

static int family(void *argument)
{
	int method = *(int *)argument;
	char text[1024] = "";
	mp_process *p;
	int ends[2];
	int code = -1;

	begin();
	T_CHECK(pipe2(ends, O_CLOEXEC) == 0);
	in_order(a, b);
	T_CHECK(mp_process_new(other_order, MP_ARGS(mp_handle(a), mp_handle(b), mp_fd(ends[1])),
			BY(method), &p) == 0);
	T_CHECK(mp_process_start(p) == 0 && mp_process_join(p, T_TIMEOUT_MS) == 0);
	T_CHECK(mp_process_exit_code(p, &code) == 0 && code == 0);
	close(ends[1]);
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	T_CHECK(n > 0 && strstr(text, "wants lock 'a' while it has lock 'b'"));
	return 0;
}

EACH_METHOD(lock_order, one_order_in_each_of_two_processes)
{
	struct t_child child = t_spawn(family, &method);
	t_expect_exit(&child, 0);
}

/* --- the end of it ----------------------------------------------------------------------------------- */

static int abort_mode(void *argument)
{
	(void)argument;
	begin();
	mp__order_begin("abort");
	in_order(a, b);
	in_order(b, a);
	return 0;
}

Test(lock_order, abort_ends_the_process)
{
	struct t_child child = t_spawn(abort_mode, NULL);
	t_expect_signal(&child, SIGABRT);
}

static int dies_in_the_middle(void *argument)
{
	(void)argument;
	t_ready();
	return in_order(a, b);
}

static int after_a_death(void *argument)
{
	(void)argument;
	begin();
	struct t_child child = t_spawn(dies_in_the_middle, NULL);
	t_expect_signal(&child, SIGKILL);
	T_CHECK(mp_lock_acquire(a, MP_FOREVER) == MP_OWNER_DIED && mp_lock_release(a) == 0);
	in_order(b, a);
	T_CHECK(heard->records == 0);
	in_order(a, b);
	T_CHECK(heard->records == 2);
	end();
	return 0;
}

Test(lock_order, death_in_the_middle_of_a_note_costs_that_note)
{
	t_arm("order.edge", "kill");
	struct t_child child = t_spawn(after_a_death, NULL);
	t_expect_exit(&child, 0);
	cr_assert(t_fired());
	t_disarm();
}

ORDER_TEST(more_locks_at_once_than_a_thread_can_remember)
{
	enum { N = 70 };
	static mp_lock *many[N];

	begin();
	for (int i = 0; i < N; i++)
		T_CHECK(mp_lock_new(NULL, &many[i]) == 0 &&
			mp_lock_acquire(many[i], MP_FOREVER) == 0);
	T_CHECK(heard->records == 1 && strstr(heard->text, "more than 64 locks"));
	for (int i = 0; i < N; i++) {
		T_CHECK(mp_lock_release(many[i]) == 0);
		mp_lock_close(many[i]);
	}
	T_CHECK(in_order(a, b) == 0 && heard->records == 1);
	end();
	return 0;
}

ORDER_TEST(more_locks_than_there_is_room_for)
{
	enum { N = 130 };
	static mp_lock *many[N];

	begin();
	for (int i = 0; i < N; i++)
		T_CHECK(mp_lock_new(NULL, &many[i]) == 0);
	for (int i = 0; i < N; i++)
		for (int k = i + 1; k < N; k++)
			in_order(many[i], many[k]);
	T_CHECK(N * (N - 1) / 2 > MP__ORDER_EDGES);
	T_CHECK(heard->records == 1 && strstr(heard->text, "are not watched"));
	for (int i = 0; i < N; i++)
		mp_lock_close(many[i]);
	end();
	return 0;
}
