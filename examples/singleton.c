/* SPDX-License-Identifier: MIT */
/*
 * Something that is built once, however many ask for it at the same time: by the threads of a process
 * with call_once(3), by several processes with a lock in the memory that they share.
 */
#include <mp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <threads.h>

#define USERS 8

static struct settings {
	mp_lock lock;
	bool ready;
	int answer;
	_Atomic int built; /* how often: for this example only */
} * shared;

static struct settings *get_shared(void)
{
	int r = mp_lock_acquire(&shared->lock, MP_FOREVER);

	if (r < 0)
		return NULL;
	if (!shared->ready) { /* nor if who was at it has died: MP_OWNER_DIED, and it is built anew */
		shared->answer = 42;
		shared->built++;
		shared->ready = true; /* last */
	}
	mp_lock_release(&shared->lock);
	return shared;
}

static struct settings own;

static void build_own(void)
{
	own.answer = 42;
	own.built++;
}

static struct settings *get_own(void)
{
	static once_flag once = ONCE_FLAG_INIT;

	call_once(&once, build_own);
	return &own;
}

static int use(int argc, const mp_obj *argv)
{
	struct settings *s = argc == 1 && mp_obj_i64(&argv[0]) ? get_own() : get_shared();

	return s && s->answer == 42 ? 0 : 1;
}

static int users(int method)
{
	mp_process *p[USERS];
	int content = 0;

	for (int i = 0; i < USERS; i++) {
		if (mp_process_new(use, MP_ARGS(mp_i64(method == MP_START_THREAD)),
			    MP_PROCESS_OPTIONS(.start_method = method), &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return -1;
	}
	for (int i = 0; i < USERS; i++) {
		int code = 1;
		mp_process_join(p[i], MP_FOREVER);
		mp_process_exit_code(p[i], &code);
		mp_process_close(p[i]);
		content += code == 0;
	}
	return content;
}

int main(void)
{
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || mp_lock_init(&shared->lock, NULL) < 0)
		return 1;
	int threads = users(MP_START_THREAD);
	printf("%d threads have it, built %d time\n", threads, own.built);
	int processes = users(MP_START_FORK);
	printf("%d processes have it, built %d time\n", processes, shared->built);
	return 0;
}
