/* SPDX-License-Identifier: MIT */
/*
 * A plate of noodles, one fork, two who want to eat. One takes the noodles first, the other the fork:
 * a deadlock. Deadlines end it here; while it lasts `mpctl locks` names it, and MP_LOCK_DEBUG reports
 * the two orders, even if nobody has to wait. One order solves it, or one recursive lock for both.
 */
#include <errno.h>
#include <mp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct table {
	mp_lock noodles, fork;
	mp_rlock both;
	mp_barrier guests;
	_Atomic int reported;
} * table;

static void note_report(int level, const char *component, const char *message, void *data)
{
	(void)level, (void)component, (void)message, (void)data;
	table->reported = 1;
}

/* The exit codes are the results: 0 has eaten, 1 gave up. */
static int eat(mp_lock *first, mp_lock *second, bool meet)
{
	mp_lock_acquire(first, MP_FOREVER);
	if (meet)
		mp_barrier_wait(&table->guests, MP_FOREVER); /* each has one thing */
	int r = mp_lock_acquire(second, meet ? 100 : MP_FOREVER);
	if (meet)
		mp_barrier_wait(&table->guests, MP_FOREVER); /* each has given up */
	if (r == 0)
		mp_lock_release(second);
	mp_lock_release(first);
	return r == -ETIMEDOUT;
}

static int in_opposite_orders(int argc, const mp_obj *argv)
{
	bool polite = argc == 1 && mp_obj_i64(&argv[0]) == 0;

	return polite ? eat(&table->noodles, &table->fork, true)
		      : eat(&table->fork, &table->noodles, true);
}

static int in_one_order(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	return eat(&table->noodles, &table->fork, false);
}

static int with_one_rlock(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	mp_rlock_acquire(&table->both, MP_FOREVER); /* the noodles, or the fork */
	mp_rlock_acquire(&table->both, MP_FOREVER); /* the other one: mine already */
	mp_rlock_release(&table->both);
	return mp_rlock_release(&table->both) < 0;
}

static void dinner(const char *how, mp_target *eater)
{
	mp_process *p[2];
	int eaten = 0;

	for (int i = 0; i < 2; i++) {
		if (mp_process_new(eater, MP_ARGS(mp_i64(i)), NULL, &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			exit(1);
	}
	for (int i = 0; i < 2; i++) {
		int code = 1;
		mp_process_join(p[i], MP_FOREVER);
		mp_process_exit_code(p[i], &code);
		mp_process_close(p[i]);
		eaten += code == 0;
	}
	printf("%s: %d of 2 have eaten; %s\n", how, eaten,
		table->reported ? "a deadlock was reported" : "nothing to report");
}

int main(int argc, char **argv)
{
	if (argc == 1 && !getenv("MP_LOCK_DEBUG") && setenv("MP_LOCK_DEBUG", "1", 0) == 0)
		execv("/proc/self/exe", argv); /* once more: it is read when a program starts */
	mp_start_method_set(MP_START_FORK);
	mp_log_set_handler(MP_LOG_WARNING, note_report, NULL);
	table = mmap(
		NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED ||
		mp_lock_init(&table->fork, MP_LOCK_OPTIONS(.name = "fork")) < 0 ||
		mp_lock_init(&table->noodles, MP_LOCK_OPTIONS(.name = "noodles")) < 0 ||
		mp_rlock_init(&table->both, NULL) < 0 ||
		mp_barrier_init(&table->guests, 2, NULL) < 0)
		return 1;
	dinner("one order", in_one_order);
	dinner("one recursive lock", with_one_rlock);
	dinner("opposite orders", in_opposite_orders);
	return 0;
}
