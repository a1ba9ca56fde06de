/* SPDX-License-Identifier: MIT */
/*
 * manager/message.h - requests packed and replies unpacked, those of usual size without malloc.
 */
#ifndef MP_MANAGER_MESSAGE_H
#define MP_MANAGER_MESSAGE_H

#include "obj/arena.h"
#include "proto/manager.pb-c.h"
#include "wire/frame.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

/* A request of one operation: MP__REQUEST(PING, ping, &ping). The id comes with its sending. */
#define MP__REQUEST(operation, member, value)                                     \
	((Mp__Request){.base = PROTOBUF_C_MESSAGE_INIT(&mp__request__descriptor), \
		.op_case = MP__REQUEST__OP_##operation,                           \
		.member = (value)})

/* Requests up to this size are packed on the stack. */
#define MP__REQUEST_SMALL 2048

struct mp__packed {
	struct mp__buffer buffer; /* in `small`, or malloc'ed */
	uint8_t small[MP__REQUEST_SMALL];
};

void mp__packed_init(struct mp__packed *packed);
/* Append it as a frame of at most `max` bytes. -EMSGSIZE, -ENOMEM. */
int mp__request_pack(struct mp__packed *packed, const Mp__Request *request, size_t max);
void mp__packed_free(struct mp__packed *packed);

/* A reply of usual size needs no malloc. */
#define MP__REPLY_SMALL 512
#define MP__REPLY_BLOCK 1024

struct mp__reply {
	Mp__Response *response; /* valid until the reply is freed */
	Mp__Response plain;     /* most are this, and not in the arena */
	uint8_t *data;          /* the message: `small`, or malloc'ed */
	size_t size;
	bool answered; /* the daemon has: a failure is its own */
	bool refused;  /* it has, and its sentence says why, but not what was asked for */
	struct mp__arena arena;
	uint8_t small[MP__REPLY_SMALL];
	alignas(max_align_t) uint8_t block[MP__REPLY_BLOCK];
};

/* Keep a copy of the message: 0 or -ENOMEM. reply->data is `small` before. */
int mp__reply_fill(struct mp__reply *reply, const uint8_t *message, size_t size);
/* Read it: what its code means, positive only with `news`. In all cases it is to be freed. */
int mp__reply_unpack(struct mp__reply *reply, bool news);
void mp__reply_free(struct mp__reply *reply);

/* The message with which the daemon hangs up: the reason, negative. */
int mp__reply_last_words(const uint8_t *message, size_t size);

#endif
