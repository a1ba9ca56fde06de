/* SPDX-License-Identifier: MIT */
/* A table that a child reads while this process does too; who writes has it alone. */
#include <mp.h>
#include <stdio.h>

static int look(int argc, const mp_obj *argv)
{
	mp_rwlock *rwlock = mp_obj_rwlock(&argv[0]);

	(void)argc;
	if (mp_rwlock_acquire_read(rwlock, MP_FOREVER) < 0)
		return 1;
	printf("%d read, somebody writes: %s\n", mp_rwlock_readers(rwlock),
		mp_rwlock_writer(rwlock) == 0 ? "no" : "yes");
	fflush(stdout);
	return mp_rwlock_release_read(rwlock) < 0;
}

int main(int argc, char **argv)
{
	mp_rwlock *rwlock;
	mp_process *p;

	if (mp_begin(&argc, &argv) < 0 || mp_rwlock_new(NULL, &rwlock) < 0)
		return 1;
	mp_rwlock_acquire_write(rwlock, MP_FOREVER);
	mp_rwlock_downgrade(rwlock); /* what was written is read by all */
	if (mp_process_new(look, MP_ARGS(mp_handle(rwlock)), NULL, &p) < 0 ||
		mp_process_start(p) < 0)
		return 1;
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	mp_rwlock_release_read(rwlock);
	mp_rwlock_close(rwlock);
	return 0;
}
