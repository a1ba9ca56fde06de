/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/children.h"

#include "base/error.h"
#include "process/process.h"

#include <pthread.h>
#include <stdlib.h>

/* The lock guards the list and is held over nothing that waits. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mp_process *first;
static struct mp_process *last;
static size_t n_listed;

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
	first = last = NULL;
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
