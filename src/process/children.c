/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/children.h"

#include "base/error.h"
#include "process/process.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* The lock guards the list and is held over nothing that waits. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mp_process *first;
static struct mp_process *last;
static size_t n_listed;
static struct mp_process *next_to_reap; /* NULL: the first */

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
	first = last = next_to_reap = NULL;
	n_listed = 0;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void mp__children_add(struct mp_process *process)
{
	if (process->unlisted)
		return;
	pthread_mutex_lock(&lock);
	process->next = NULL;
	process->previous = last;
	if (last)
		last->next = process;
	else
		first = process;
	last = process;
	n_listed++;
	pthread_mutex_unlock(&lock);
}

void mp__children_remove(struct mp_process *process)
{
	if (process->unlisted)
		return;
	pthread_mutex_lock(&lock);
	if (next_to_reap == process)
		next_to_reap = process->next;
	if (process->previous)
		process->previous->next = process->next;
	else
		first = process->next;
	if (process->next)
		process->next->previous = process->previous;
	else
		last = process->previous;
	n_listed--;
	pthread_mutex_unlock(&lock);
}

/* Threads are no zombies, and the children of the fork server are not ours to reap. */
static bool is_zombie_when_it_ends(const struct mp_process *process)
{
	return !process->server && process->method != MP_START_THREAD;
}

/* The next few of the list, each with a reference. */
static size_t choose(struct mp_process **chosen, size_t room)
{
	size_t n = 0;

	pthread_mutex_lock(&lock);
	for (size_t looked_at = 0; looked_at < n_listed && looked_at < room; looked_at++) {
		struct mp_process *p = next_to_reap ? next_to_reap : first;
		next_to_reap = p->next;
		if (!is_zombie_when_it_ends(p))
			continue;
		mp__process_ref(p);
		chosen[n++] = p;
	}
	pthread_mutex_unlock(&lock);
	return n;
}

#define N_LOOKED_AT 16

void mp__children_reap(void)
{
	struct mp_process *chosen[N_LOOKED_AT];
	struct pollfd polled[N_LOOKED_AT];

	size_t n = choose(chosen, N_LOOKED_AT);
	for (size_t i = 0; i < n; i++)
		polled[i] = (struct pollfd){.fd = chosen[i]->pidfd, .events = POLLIN};
	int ended = n > 0 ? poll(polled, n, 0) : 0;
	for (size_t i = 0; i < n; i++) {
		if (ended > 0 && polled[i].revents &&
			atomic_load(&chosen[i]->state) >= MP__PROCESS_RUNNING)
			mp__process_wait(chosen[i], mp__deadline_in(0));
		mp__process_unref(chosen[i]);
	}
}

int mp__children_take(struct mp_process ***ret_children, size_t *ret_n)
{
	struct mp_process **children = NULL;
	size_t n = 0;

	pthread_mutex_lock(&lock);
	if (n_listed > 0)
		children = malloc(n_listed * sizeof(*children));
	for (struct mp_process *p = first; p && children; p = p->next) {
		mp__process_ref(p);
		children[n++] = p;
	}
	bool failed = n < n_listed;
	pthread_mutex_unlock(&lock);
	if (failed)
		return mp_error_set(-ENOMEM, "list of children: out of memory");
	*ret_children = children;
	*ret_n = n;
	return 0;
}

void mp__children_drop(struct mp_process **children, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mp__process_unref(children[i]);
	free(children);
}

int mp_process_children(mp_process **ret_children, size_t room)
{
	struct mp_process **children;
	size_t n;
	int alive = 0;

	int r = mp__children_take(&children, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		/* Between the two it may be started only just, or ended but not collected yet. */
		if (atomic_load(&children[i]->state) < MP__PROCESS_RUNNING ||
			mp__process_wait(children[i], mp__deadline_in(0)) == 0 ||
			mp_process_is_alive(children[i]) == 0)
			continue;
		if ((size_t)alive < room)
			ret_children[alive] = children[i];
		alive++;
	}
	mp__children_drop(children, n);
	return alive;
}
