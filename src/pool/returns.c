/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/returns.h"

#include "base/fds.h"

#include <stdlib.h>

/* More than a socket holds; but a worker gone mad may go on for ever. */
#define SWEEP_MAX 10000

int mp__returns_send(int socket, uint32_t slot, uint32_t generation, const int *fds, size_t n_fds)
{
	struct mp__pool_cargo_message message = {.slot = slot, .generation = generation};

	return mp__socket_send(socket, &message, sizeof(message), fds, n_fds);
}

void mp__returned_free(struct mp__returned *returned, bool here)
{
	if (!returned)
		return;
	if (here)
		mp__fds_close(returned->fds, returned->n_fds);
	free(returned);
}

/* One message: 1, 0 there is none, -ENOMEM. */
static int receive(mp_pool *pool)
{
	struct mp__pool_cargo_message message = {.slot = MP__POOL_NONE};
	struct mp__returned *r = malloc(sizeof(*r) + MP__FDS_MAX * sizeof(int));

	if (!r)
		return mp_error_set(-ENOMEM, "no memory for the descriptors of a result");
	r->n_fds = MP__FDS_MAX;
	ssize_t n =
		mp__socket_receive(pool->returns[0], &message, sizeof(message), r->fds, &r->n_fds);
	if (n <= 0 && n != -EMSGSIZE) {
		free(r);
		return 0;
	}
	r->cut = n == -EMSGSIZE;
	if (n < 0)
		r->n_fds = 0;
	r->slot = message.slot;
	r->generation = message.generation;
	struct mp__returned *fits = realloc(r, sizeof(*r) + r->n_fds * sizeof(int));
	if (fits)
		r = fits;
	r->next = pool->returned;
	pool->returned = r;
	return 1;
}

/* Will its task ask for it? */
static bool is_awaited(const mp_pool *pool, const struct mp__returned *r)
{
	return r->slot < pool->n_fresh && pool->pending[r->slot].active &&
	       pool->pending[r->slot].generation == r->generation;
}

void mp__returns_sweep(mp_pool *pool)
{
	struct mp__returned **at = &pool->returned;

	for (int i = 0; i < SWEEP_MAX && receive(pool) > 0; i++)
		;
	while (*at) {
		struct mp__returned *r = *at;
		if (is_awaited(pool, r)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		mp__returned_free(r, true);
	}
}

static struct mp__returned *find(mp_pool *pool, uint32_t slot)
{
	struct mp__returned **at = &pool->returned;

	while (*at && ((*at)->slot != slot || (*at)->generation != pool->pending[slot].generation))
		at = &(*at)->next;
	struct mp__returned *r = *at;
	if (r)
		*at = r->next;
	return r;
}

int mp__returns_take(mp_pool *pool, uint32_t slot, struct mp__returned **ret_returned)
{
	struct mp__returned *r;
	int more = 1;

	while (!(r = find(pool, slot)) && (more = receive(pool)) > 0)
		;
	if (!r)
		return more < 0 ? more
				: mp_error_set(-EBADMSG,
					  "the worker did not send the descriptors of its result");
	if (r->cut) {
		mp__returned_free(r, true);
		return mp_error_set(-EMFILE, "no room for the descriptors of a result");
	}
	*ret_returned = r;
	return 0;
}
