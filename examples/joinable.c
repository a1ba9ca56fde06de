/* SPDX-License-Identifier: MIT */
/*
 * Producers and consumers with a joinable queue. Nobody sends end marks: a producer waits until all
 * that was put is done, and the consumers, who wait for ever, are daemonic and end with the program.
 */
#include <mp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#define PRODUCERS 2
#define CONSUMERS 3
#define BUNS 10

static _Atomic int *eaten;

static int produce(int argc, const mp_obj *argv)
{
	mp_queue *buns = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;

	for (int i = 1; i <= BUNS; i++)
		mp_queue_put(buns, mp_i64(i), MP_FOREVER);
	return mp_queue_join(buns, MP_FOREVER) < 0;
}

static int consume(int argc, const mp_obj *argv)
{
	mp_queue *buns = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;
	mp_obj bun;

	while (mp_queue_get(buns, MP_FOREVER, &bun) == 0) {
		mp_obj_free(&bun);
		++*eaten;
		mp_queue_task_done(buns); /* if it died before this, the bun would count as done */
	}
	return 0;
}

int main(int argc, char **argv)
{
	static mp_process *consumers[CONSUMERS];
	static mp_queue *buns;
	mp_process *producers[PRODUCERS];

	mp_begin(&argc, &argv);
	eaten = mmap(
		NULL, sizeof(*eaten), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (eaten == MAP_FAILED ||
		mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 4, .joinable = true), &buns) < 0)
		return 1;
	for (int i = 0; i < CONSUMERS; i++) {
		if (mp_process_new(consume, MP_ARGS(mp_handle(buns)),
			    MP_PROCESS_OPTIONS(.daemon = true), &consumers[i]) < 0 ||
			mp_process_start(consumers[i]) < 0)
			return 1;
	}
	for (int i = 0; i < PRODUCERS; i++) {
		if (mp_process_new(produce, MP_ARGS(mp_handle(buns)), NULL, &producers[i]) < 0 ||
			mp_process_start(producers[i]) < 0)
			return 1;
	}
	for (int i = 0; i < PRODUCERS; i++) {
		mp_process_join(producers[i], MP_FOREVER);
		mp_process_close(producers[i]);
	}
	printf("%d buns baked, %d eaten; %d consumers wait for more\n", PRODUCERS * BUNS, *eaten,
		mp_process_children(NULL, 0));
	return 0; /* exit(3) ends them */
}
