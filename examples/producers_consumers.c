/* SPDX-License-Identifier: MIT */
/* Two producers, three consumers. An end mark for each consumer says that nothing more comes. */
#include <mp.h>
#include <stdio.h>

#define PRODUCERS 2
#define CONSUMERS 3
#define BUNS 10

static int produce(int argc, const mp_obj *argv)
{
	mp_queue *buns = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;

	for (int i = 1; i <= BUNS; i++)
		mp_queue_put(buns, mp_i64(i), MP_FOREVER);
	return 0;
}

/* The exit code is how many it ate. */
static int consume(int argc, const mp_obj *argv)
{
	mp_queue *buns = argc == 1 ? mp_obj_queue(&argv[0]) : NULL;
	int eaten = 0;
	mp_obj bun;

	while (mp_queue_get(buns, MP_FOREVER, &bun) == 0) {
		bool end = bun.type == MP_TYPE_NIL;
		mp_obj_free(&bun);
		if (end)
			break;
		eaten++;
	}
	return eaten;
}

static mp_process *start(mp_target *target, mp_queue *buns)
{
	mp_process *p = NULL;

	if (mp_process_new(target, MP_ARGS(mp_handle(buns)), NULL, &p) < 0 ||
		mp_process_start(p) < 0)
		fprintf(stderr, "%s\n", mp_error_detail());
	return p;
}

static int join(mp_process *p)
{
	int code = 0;

	mp_process_join(p, MP_FOREVER);
	mp_process_exit_code(p, &code);
	mp_process_close(p);
	return code;
}

int main(int argc, char **argv)
{
	mp_process *producers[PRODUCERS];
	mp_process *consumers[CONSUMERS];
	mp_queue *buns;
	int eaten = 0;

	mp_begin(&argc, &argv);
	if (mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 4), &buns) < 0)
		return 1;
	for (int i = 0; i < CONSUMERS; i++)
		consumers[i] = start(consume, buns);
	for (int i = 0; i < PRODUCERS; i++)
		producers[i] = start(produce, buns);
	for (int i = 0; i < PRODUCERS; i++)
		join(producers[i]);
	for (int i = 0; i < CONSUMERS; i++)
		mp_queue_put(buns, mp_nil(), MP_FOREVER);
	for (int i = 0; i < CONSUMERS; i++)
		eaten += join(consumers[i]);
	printf("%d buns baked, %d eaten, %d left\n", PRODUCERS * BUNS, eaten,
		(int)mp_queue_size(buns));
	mp_queue_close(buns);
	return 0;
}
