/* SPDX-License-Identifier: MIT */
/* A timer in an event loop: three beats, then it cancels itself. */
#include <mp.h>
#include <poll.h>
#include <stdio.h>

static void beat(mp_timer *timer, uint64_t periods, void *data)
{
	int *left = data;

	if (periods > 1)
		fprintf(stderr, "%d beats came too late\n", (int)periods - 1);
	printf("%d to go\n", --*left);
	if (*left == 0)
		mp_timer_cancel(timer, MP_NOWAIT);
}

int main(void)
{
	mp_timer *timer;
	int left = 3;

	if (mp_timer_new(
		    beat, &left, MP_TIMER_OPTIONS(.interval_ms = 20, .periodic = true), &timer) < 0)
		return 1;
	mp_timer_start(timer);
	while (left > 0) {
		struct pollfd p = {.fd = mp_timer_fd(timer), .events = POLLIN};
		if (poll(&p, 1, -1) > 0)
			mp_timer_dispatch(timer);
	}
	return mp_timer_close(timer) < 0;
}
