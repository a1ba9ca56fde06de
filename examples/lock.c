/* SPDX-License-Identifier: MIT */
/* A counter that four processes raise. One dies while it holds the lock. */
#include <mp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared {
	mp_lock lock;
	int count;
};

static struct shared *shared;

static int raise_it(int argc, const mp_obj *argv)
{
	(void)argc;
	if (mp_lock_acquire(&shared->lock, MP_FOREVER) < 0)
		return 1;
	shared->count++;
	if (mp_obj_i64(&argv[0]) == 2)
		kill(getpid(), SIGKILL);
	mp_lock_release(&shared->lock);
	return 0;
}

int main(void)
{
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || mp_lock_init(&shared->lock, NULL) < 0)
		return 1;
	for (int i = 0; i < 4; i++) {
		mp_process *p;
		if (mp_process_new(raise_it, MP_ARGS(mp_i64(i)),
			    MP_PROCESS_OPTIONS(.start_method = MP_START_FORK), &p) < 0 ||
			mp_process_start(p) < 0)
			return 1;
		mp_process_join(p, MP_FOREVER);
		mp_process_close(p);
		if (mp_lock_acquire(&shared->lock, MP_FOREVER) == MP_OWNER_DIED)
			printf("%d: its holder died\n", i);
		mp_lock_release(&shared->lock);
	}
	printf("count %d\n", shared->count);
	return mp_lock_destroy(&shared->lock) < 0;
}
