/* SPDX-License-Identifier: MIT */
/* A task that gets stuck, one that crashes at first, and one that always does. */
#include <fcntl.h>
#include <mp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int stuck(int argc, const mp_obj *argv, mp_obj *result)
{
	volatile int here = 1;

	(void)argc;
	(void)argv;
	(void)result;
	while (here)
		;
	return 0;
}

static int fragile(int argc, const mp_obj *argv, mp_obj *result)
{
	char byte;

	(void)argc;
	if (read(mp_obj_fd(&argv[0]), &byte, 1) == 1)
		raise(SIGKILL); /* once for each byte in the pipe */
	*result = mp_str("done");
	return 0;
}

static int submit(mp_pool *pool, mp_task *task, mp_obj args, const mp_task_options *options)
{
	mp_future *future;
	mp_crash crash;
	mp_obj result = mp_nil();
	int deaths = 0;
	int r = mp_pool_submit_with(pool, task, args, options, &future);

	if (r < 0)
		return r;
	r = mp_future_result(future, MP_FOREVER, &result);
	while (mp_future_crash(future, deaths, &crash) == 0)
		deaths++;
	printf("%s: %s, %d workers died of it\n", options->name,
		r < 0 ? mp_strerror(r) : mp_obj_str(&result), deaths);
	mp_obj_free(&result);
	return mp_future_close(future);
}

int main(int argc, char **argv)
{
	mp_pool *pool;
	int ends[2];

	mp_begin(&argc, &argv);
	if (mp_pool_new(MP_POOL_OPTIONS(.workers = 1), &pool) < 0 || pipe(ends) < 0 ||
		fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return 1;
	submit(pool, stuck, mp_nil(), MP_TASK_OPTIONS(.name = "stuck", .timeout_ms = 100));
	if (write(ends[1], "12", 2) != 2)
		return 1;
	submit(pool, fragile, MP_ARGS(mp_fd(ends[0])),
		MP_TASK_OPTIONS(.name = "fragile", .retries = 2));
	if (write(ends[1], "12345", 5) != 5)
		return 1;
	submit(pool, fragile, MP_ARGS(mp_fd(ends[0])),
		MP_TASK_OPTIONS(.name = "poison", .retries = 2));
	return mp_pool_close(pool) < 0;
}
