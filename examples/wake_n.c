/* SPDX-License-Identifier: MIT */
/* Five wait for a condition. Two are woken, then all the others. */
#include <mp.h>
#include <stdio.h>
#include <sys/mman.h>

#define WAITERS 5

static struct room {
	mp_lock lock;
	mp_condition called;  /* whoever is called goes on */
	mp_condition changed; /* a number below is another one */
	int waiting;
	int woken;
	int expected;
} * room;

static int wait_here(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	if (mp_lock_acquire(&room->lock, MP_FOREVER) != 0)
		return 1;
	room->waiting++;
	mp_condition_notify_all(&room->changed);
	int r = mp_condition_wait(&room->called, &room->lock, MP_FOREVER);
	room->waiting--;
	room->woken++;
	mp_condition_notify_all(&room->changed);
	mp_lock_release(&room->lock);
	return r != 0;
}

static int is_as_expected(void *number)
{
	return *(int *)number == room->expected;
}

/* Who waits for a condition has let go of its lock: with the lock in hand, the numbers are settled. */
static void until(int *number, int expected)
{
	mp_lock_acquire(&room->lock, MP_FOREVER);
	room->expected = expected;
	mp_condition_wait_for(&room->changed, &room->lock, is_as_expected, number, MP_FOREVER);
	printf("%d woken, %d wait\n", room->woken, room->waiting);
	mp_lock_release(&room->lock);
}

int main(int argc, char **argv)
{
	mp_process *p[WAITERS];

	mp_begin(&argc, &argv);
	room = mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED || mp_lock_init(&room->lock, NULL) < 0 ||
		mp_condition_init(&room->called, NULL) < 0 ||
		mp_condition_init(&room->changed, NULL) < 0)
		return 1;
	for (int i = 0; i < WAITERS; i++) {
		if (mp_process_new(wait_here, mp_nil(),
			    MP_PROCESS_OPTIONS(.start_method = MP_START_FORK), &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return 1;
	}
	until(&room->waiting, WAITERS);
	mp_condition_notify(&room->called, 2);
	until(&room->woken, 2);
	mp_condition_notify_all(&room->called);
	until(&room->woken, WAITERS);
	for (int i = 0; i < WAITERS; i++) {
		mp_process_join(p[i], MP_FOREVER);
		mp_process_close(p[i]);
	}
	return 0;
}
