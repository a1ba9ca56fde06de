/* SPDX-License-Identifier: MIT */
/*
 * Ten buyers, one ticket in a file. Each reads how many are left, thinks, and writes one less.
 * Without a lock all have read before the first one writes, and each gets "the last" ticket.
 */
#include <jansson.h>
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BUYERS 10

static int tickets_left(const char *path)
{
	json_t *root = json_load_file(path, 0, NULL);
	int left = (int)json_integer_value(json_object_get(root, "tickets"));

	json_decref(root);
	return left;
}

static void set_tickets(const char *path, int left)
{
	json_t *root = json_pack("{s:i}", "tickets", left);

	json_dump_file(root, path, 0);
	json_decref(root);
}

/* Exit code 0: got one. */
static int buy(int argc, const mp_obj *argv)
{
	const char *path = argc == 3 ? mp_obj_str(&argv[0]) : "";
	mp_lock *lock = mp_obj_lock(&argv[1]);
	mp_barrier *all_have_read = mp_obj_barrier(&argv[2]);

	if (lock && mp_lock_acquire(lock, MP_FOREVER) < 0)
		return 2;
	int left = tickets_left(path);
	if (!lock && mp_barrier_wait(all_have_read, MP_FOREVER) < 0) /* thinking */
		return 2;
	if (left > 0)
		set_tickets(path, left - 1);
	if (lock)
		mp_lock_release(lock);
	return left > 0 ? 0 : 1;
}

static int sell(const char *path, mp_obj lock, mp_barrier *all_have_read)
{
	mp_process *p[BUYERS];
	int sold = 0;

	set_tickets(path, 1);
	for (int i = 0; i < BUYERS; i++) {
		if (mp_process_new(buy, MP_ARGS(mp_str(path), lock, mp_handle(all_have_read)), NULL,
			    &p[i]) < 0 ||
			mp_process_start(p[i]) < 0)
			return -1;
	}
	for (int i = 0; i < BUYERS; i++) {
		int code = 2;
		mp_process_join(p[i], MP_FOREVER);
		mp_process_exit_code(p[i], &code);
		mp_process_close(p[i]);
		sold += code == 0;
	}
	return sold;
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/tickets-XXXXXX";
	mp_barrier *all_have_read;
	mp_lock *lock;

	mp_begin(&argc, &argv);
	int fd = mkstemp(path);
	if (fd < 0 || mp_lock_new(NULL, &lock) < 0 ||
		mp_barrier_new(BUYERS, NULL, &all_have_read) < 0)
		return 1;
	close(fd);
	printf("without a lock: sold %d times\n", sell(path, mp_nil(), all_have_read));
	printf("with a lock: sold %d times\n", sell(path, mp_handle(lock), all_have_read));
	unlink(path);
	mp_barrier_close(all_have_read);
	mp_lock_close(lock);
	return 0;
}
