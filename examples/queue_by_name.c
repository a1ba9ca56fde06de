/* SPDX-License-Identifier: MIT */
/* Two programs that share nothing but a name: one takes orders, the other one sends them. */
#include <mp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int send_orders(const char *name)
{
	mp_queue *q;

	if (mp_queue_open(name, &q) < 0)
		return 1;
	mp_queue_put(q, MP_LIST(mp_str("bolts"), mp_i64(500)), MP_FOREVER);
	mp_queue_put(q, MP_LIST(mp_str("nuts"), mp_i64(480)), MP_FOREVER);
	mp_queue_shutdown(q, MP_QUEUE_DRAIN); /* nothing more to come */
	mp_queue_close(q);
	return 0;
}

int main(int argc, char **argv)
{
	mp_queue *q;
	mp_obj order;
	int status;

	if (argc == 3 && strcmp(argv[1], "send") == 0)
		return send_orders(argv[2]);
	if (mp_queue_create(NULL, MP_QUEUE_OPTIONS(.mode = 0660), &q) < 0) {
		fprintf(stderr, "%s\n", mp_error_detail());
		return 1;
	}
	if (fork() == 0) { /* somebody starts the other program */
		execl("/proc/self/exe", argv[0], "send", mp_queue_name(q), (char *)NULL);
		_exit(127);
	}
	while (mp_queue_get(q, MP_FOREVER, &order) == 0) {
		printf("%lld %s\n", (long long)mp_obj_i64(mp_obj_at(&order, 1)),
			mp_obj_str(mp_obj_at(&order, 0)));
		mp_obj_free(&order);
	}
	wait(&status);
	mp_queue_close(q); /* the last user: the name goes too */
	return 0;
}
