/* SPDX-License-Identifier: MIT */
/* Five toilets, thirteen users: a semaphore lets five in. */
#include <mp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#define TOILETS 5
#define USERS 13

struct washroom {
	mp_semaphore toilets;
	_Atomic int inside;
	_Atomic int most;
	_Atomic int served;
};

static struct washroom *w;

static int use(int argc, const mp_obj *argv)
{
	struct timespec moment = {.tv_nsec = 5 * 1000 * 1000};

	(void)argc, (void)argv;
	if (mp_semaphore_acquire(&w->toilets, MP_FOREVER) < 0)
		return 1;
	int inside = ++w->inside;
	int most = w->most;
	while (inside > most && !atomic_compare_exchange_weak(&w->most, &most, inside))
		;
	nanosleep(&moment, NULL);
	w->inside--;
	w->served++;
	return mp_semaphore_release(&w->toilets) < 0;
}

int main(void)
{
	mp_process *p[USERS];

	w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED || mp_semaphore_init(&w->toilets, TOILETS, NULL) < 0)
		return 1;
	for (int i = 0; i < USERS; i++) {
		if (mp_process_new(use, mp_nil(), MP_PROCESS_OPTIONS(.start_method = MP_START_FORK),
			    &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return 1;
	}
	for (int i = 0; i < USERS; i++) {
		mp_process_join(p[i], MP_FOREVER);
		mp_process_close(p[i]);
	}
	printf("%d served, never more than %d at once: %s\n", w->served, TOILETS,
		w->most <= TOILETS ? "true" : "false");
	return mp_semaphore_destroy(&w->toilets) < 0;
}
