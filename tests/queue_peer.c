/* SPDX-License-Identifier: MIT */
/* A program that opens two queues by name, NAME and NAME.replies, and sends back what it gets. */
#include <config.h>

#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int serve(mp_queue *requests, mp_queue *replies)
{
	mp_obj value;
	int r;

	while ((r = mp_queue_get(requests, MP_FOREVER, &value)) == 0) {
		r = mp_queue_put(replies, value, MP_FOREVER);
		mp_obj_free(&value);
		if (r < 0)
			break;
	}
	return r == -EPIPE ? mp_queue_shutdown(replies, MP_QUEUE_DRAIN) : r;
}

int main(int argc, char **argv)
{
	char reply_name[256];
	mp_queue *requests = NULL;
	mp_queue *replies = NULL;

	if (argc != 2)
		return 2;
	snprintf(reply_name, sizeof(reply_name), "%s.replies", argv[1]);
	int r = mp_queue_open(argv[1], &requests);
	if (r == 0)
		r = mp_queue_open(reply_name, &replies);
	if (r == 0)
		r = serve(requests, replies);
	if (r < 0)
		fprintf(stderr, "queue_peer: %s\n", mp_error_detail());
	mp_queue_close(replies);
	mp_queue_close(requests);
	return r < 0;
}
