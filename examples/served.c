/* SPDX-License-Identifier: MIT */
/* A lock for all who know its name: a child dies with it, the next one is told, and goes on. */
#include <mp.h>
#include <stdio.h>
#include <unistd.h>

static int die_with_it(int argc, const mp_obj *argv)
{
	mp_proxy *lock = argc == 1 ? mp_obj_proxy(&argv[0]) : NULL;

	_exit(mp_served_lock_acquire(lock, MP_FOREVER, NULL));
}

static int run(mp_manager *m)
{
	mp_process *child;
	mp_proxy *lock;
	int64_t fence;

	int r = mp_manager_lock(m, "accounts", &lock);
	if (r < 0)
		return r;
	r = mp_process_new(die_with_it, MP_ARGS(mp_handle(lock)), NULL, &child);
	if (r == 0) {
		r = mp_process_start(child);
		if (r == 0)
			r = mp_process_join(child, MP_FOREVER);
		mp_process_close(child);
	}
	if (r == 0)
		r = mp_served_lock_acquire(lock, 10000, &fence);
	if (r == MP_OWNER_DIED)
		printf("the accounts may be half changed: repaired\n");
	if (r >= 0) {
		printf("holder number %lld\n", (long long)fence);
		r = mp_served_lock_release(lock);
	}
	mp_proxy_close(lock);
	return r;
}

int main(int argc, char **argv)
{
	mp_manager *m;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = run(m);
		mp_manager_close(m);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
