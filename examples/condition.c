/* SPDX-License-Identifier: MIT */
/* A child waits for work in shared memory; the parent puts it there and says so. */
#include <mp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shared {
	mp_lock lock;
	mp_condition changed;
	int items;
} * s;

static int has_items(void *arg)
{
	(void)arg;
	return s->items > 0;
}

static int consume(void)
{
	for (int i = 0; i < 3; i++) {
		int r = mp_lock_acquire(&s->lock, MP_FOREVER);
		if (r == 0)
			r = mp_condition_wait_for(
				&s->changed, &s->lock, has_items, NULL, MP_FOREVER);
		if (r != 0) /* an error, or MP_OWNER_DIED: is s->items as it should be? */
			return 1;
		s->items--;
		mp_lock_release(&s->lock);
	}
	return 0;
}

int main(void)
{
	int status;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED || mp_lock_init(&s->lock, NULL) < 0 ||
		mp_condition_init(&s->changed, NULL) < 0)
		return 1;
	pid_t child = fork();
	if (child == 0)
		_exit(consume());
	for (int i = 0; i < 3; i++) {
		mp_lock_acquire(&s->lock, MP_FOREVER);
		s->items++;
		mp_lock_release(&s->lock);
		mp_condition_notify(&s->changed, 1);
	}
	waitpid(child, &status, 0);
	printf("%d left, status %d\n", s->items, status);
	return 0;
}
