/* SPDX-License-Identifier: MIT */
/* Two permits. A child is killed with one of them: it comes back. */
#include <errno.h>
#include <mp.h>
#include <signal.h>
#include <stdio.h>

static int take_and_die(int argc, const mp_obj *argv)
{
	mp_proxy *permits = argc == 1 ? mp_obj_proxy(&argv[0]) : NULL;

	if (mp_served_semaphore_acquire(permits, MP_FOREVER) == 0)
		printf("the child has one: %d left\n", mp_served_semaphore_value(permits));
	fflush(stdout);
	raise(SIGKILL);
	return 1;
}

static int lose_a_child(mp_proxy *permits)
{
	mp_process *p;

	int r = mp_process_new(take_and_die, MP_ARGS(mp_handle(permits)), NULL, &p);
	if (r < 0)
		return r;
	r = mp_process_start(p);
	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	return r;
}

static int run(mp_manager *m)
{
	mp_proxy *permits;

	int r = mp_manager_bounded_semaphore(m, "permits", 2, &permits);
	if (r < 0)
		return r;
	r = mp_served_semaphore_acquire(permits, MP_FOREVER);
	if (r == 0)
		r = lose_a_child(permits);
	if (r == 0)
		r = mp_served_semaphore_acquire(permits, MP_FOREVER); /* what the child had */
	if (r == 0) {
		printf("we have both: %d left\n", mp_served_semaphore_value(permits));
		if (mp_served_semaphore_acquire(permits, MP_NOWAIT) == -EAGAIN)
			printf("%s\n", mp_error_detail());
		r = mp_served_semaphore_release_n(permits, 2);
	}
	mp_proxy_close(permits);
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
