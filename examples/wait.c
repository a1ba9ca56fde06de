/* SPDX-License-Identifier: MIT */
/* Work that comes over a connection and through a queue, until a child ends or "stop" is set. */
#include <mp.h>
#include <stdio.h>

static int worker(int argc, const mp_obj *argv)
{
	if (argc != 3 || mp_connection_send(mp_obj_connection(&argv[0]), mp_str("hello"), 1000) < 0)
		return 1;
	if (mp_event_wait(mp_obj_event(&argv[2]), 10000) < 0)
		return 1;
	return mp_queue_put(mp_obj_queue(&argv[1]), mp_i64(42), 1000) < 0;
}

int main(int argc, char **argv)
{
	mp_connection *here, *there;
	mp_queue *queue;
	mp_event *go, *stop;
	mp_process *child;
	mp_obj message;

	mp_begin(&argc, &argv);
	if (mp_pipe(NULL, &here, &there) < 0 || mp_queue_new(NULL, &queue) < 0 ||
		mp_event_new(NULL, &go) < 0 || mp_event_new(NULL, &stop) < 0)
		return 1;
	if (mp_process_new(worker, MP_ARGS(mp_handle(there), mp_handle(queue), mp_handle(go)), NULL,
		    &child) < 0 ||
		mp_process_start(child) < 0)
		return 1;

	mp_waitable items[] = {MP_WAIT(queue), MP_WAIT(here), MP_WAIT(stop), MP_WAIT(child)};
	while (mp_wait(items, 4, 10000) > 0) {
		if (items[0].ready && mp_queue_get(queue, MP_NOWAIT, &message) == 0) {
			printf("from the queue: %d\n", (int)mp_obj_i64(&message));
			mp_obj_free(&message);
		} else if (items[1].ready && mp_connection_recv(here, MP_NOWAIT, &message) == 0) {
			printf("over the connection: %s\n", mp_obj_str(&message));
			mp_obj_free(&message);
			mp_event_set(go);
		} else if (items[2].ready || items[3].ready) {
			puts(items[2].ready ? "stopped" : "the child has ended");
			break;
		}
	}
	mp_process_join(child, MP_FOREVER);
	mp_process_close(child);
	mp_connection_close(here);
	mp_connection_close(there);
	mp_queue_close(queue);
	mp_event_close(go);
	mp_event_close(stop);
	return 0;
}
