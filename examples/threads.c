/* SPDX-License-Identifier: MIT */
/*
 * Threads that count, without a lock and with one; then a pool of threads. They share all memory, so
 * that nothing has to be sent; and just therefore each change needs a lock.
 */
#include <mp.h>
#include <stdatomic.h>
#include <stdio.h>

#define THREADS 4

static _Atomic int counter; /* atomic, but what happens between two accesses is not */
static mp_barrier all_have_read;
static mp_lock lock;

static int without_lock(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	int seen = counter;
	mp_barrier_wait(&all_have_read, MP_FOREVER); /* bad luck, made certain */
	counter = seen + 1;
	return 0;
}

static int with_lock(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	for (int i = 0; i < 1000; i++) {
		mp_lock_acquire(&lock, MP_FOREVER);
		int seen = counter;
		counter = seen + 1;
		mp_lock_release(&lock);
	}
	return 0;
}

static int count(mp_target *how)
{
	mp_process *t[THREADS];

	counter = 0;
	for (int i = 0; i < THREADS; i++) {
		if (mp_process_new(how, mp_nil(),
			    MP_PROCESS_OPTIONS(.start_method = MP_START_THREAD), &t[i]) < 0 ||
			mp_process_start(t[i]) < 0)
			return -1;
	}
	for (int i = 0; i < THREADS; i++) {
		mp_process_join(t[i], MP_FOREVER);
		mp_process_close(t[i]);
	}
	return counter;
}

static int in_words(int argc, const mp_obj *argv, mp_obj *ret)
{
	static const char *const words[] = {"zero", "one", "two", "three"};

	*ret = mp_str(argc == 1 ? words[mp_obj_i64(&argv[0]) & 3] : NULL);
	return 0;
}

int main(void)
{
	const mp_obj numbers[] = {mp_i64(3), mp_i64(2), mp_i64(1), mp_i64(0)};
	mp_obj words[4];
	mp_pool *pool;

	if (mp_barrier_init(&all_have_read, THREADS, NULL) < 0 || mp_lock_init(&lock, NULL) < 0)
		return 1;
	printf("%d threads add 1 each, without a lock: %d\n", THREADS, count(without_lock));
	printf("%d threads add 1000 each, with a lock: %d\n", THREADS, count(with_lock));

	if (mp_pool_new(MP_POOL_OPTIONS(.workers = 2, .start_method = MP_START_THREAD), &pool) <
			0 ||
		mp_pool_map(pool, in_words, numbers, 4, 1, words) < 0)
		return fprintf(stderr, "%s\n", mp_error_detail()), 1;
	for (int i = 0; i < 4; i++) {
		printf("%s%s", mp_obj_str(&words[i]), i < 3 ? ", " : "\n");
		mp_obj_free(&words[i]);
	}
	return mp_pool_close(pool);
}
