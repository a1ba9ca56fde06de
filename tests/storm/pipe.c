/* SPDX-License-Identifier: MIT */
/*
 * Connections in the kill storm: a pipe over shared memory, and a pair of sockets. A process at each
 * end sends numbered messages, short and long ones, and receives the other's. What was sent arrives
 * once, whole and in order; missing may be only what somebody died over.
 */
#include <config.h>

#include "tests/storm/storm.h"

#include <stdlib.h>
#include <string.h>

#define NUMBERS (1u << 16)
#define SHORT_MS 5
#define LONG_MESSAGE 20000  /* does not go through the ring of a pipe */
#define HUGE_MESSAGE 300000 /* goes in several packets */

/* What one end sends and the other one gets. */
struct way {
	_Atomic uint32_t trying; /* number + 1 */
	_Atomic uint32_t sent;
	_Atomic uint32_t taking; /* a message is being received, and it is not known which */
	_Atomic uint32_t last;   /* number + 1 */
	_Atomic uint32_t unseen;
	_Atomic uint8_t uncertain[NUMBERS];
	_Atomic uint8_t seen[NUMBERS];
};

struct pipe {
	struct way ways[2]; /* from left, from right */
};

struct ends {
	mp_connection *left;
	mp_connection *right;
};

static struct ends of_pipe;
static struct ends of_socket;

/* --- one message --------------------------------------------------------------------------------------- */

static size_t size_of(uint32_t number)
{
	if (number % 256 == 17)
		return HUGE_MESSAGE + number;
	if (number % 64 == 5)
		return LONG_MESSAGE + number % 100;
	return sizeof(number) + number % 300;
}

static void send_one(struct way *w, mp_connection *c, char *buffer)
{
	uint32_t n = w->trying;
	int64_t began = storm_now_ms();

	if (n >= NUMBERS)
		return;
	size_t size = size_of(n);
	memset(buffer, (int)n, size);
	memcpy(buffer, &n, sizeof(n));
	w->trying = n + 1;
	int r = mp_connection_send_bytes(c, buffer, size, SHORT_MS);
	STORM_IN_TIME(began, SHORT_MS);
	if (r == -ETIMEDOUT) {
		w->trying = n;
		return;
	}
	STORM_CALL(r);
	w->sent = n + 1;
}

static void look_at(struct way *w, const char *data, size_t size)
{
	uint32_t n = NUMBERS;

	STORM_CHECK(size >= sizeof(n));
	memcpy(&n, data, sizeof(n));
	STORM_CHECK(n < NUMBERS && size == size_of(n));
	for (size_t i = sizeof(n); i < size; i += i < 4096 ? 1 : 509)
		STORM_CHECK(data[i] == (char)n);
	STORM_IS(STORM_DUPLICATED, w->seen[n]++ == 0);
	STORM_CHECK(n >= w->last);
	w->last = n + 1;
}

/* False: nothing came. */
static bool receive_one(struct way *w, mp_connection *c, char *buffer, int timeout_ms)
{
	size_t size = 0;
	int64_t began = storm_now_ms();

	w->taking = 1;
	int r = mp_connection_recv_bytes_into(c, buffer, HUGE_MESSAGE + NUMBERS, timeout_ms, &size);
	if (r == 0)
		look_at(w, buffer, size);
	w->taking = 0;
	STORM_IN_TIME(began, timeout_ms);
	if (r == -ETIMEDOUT || r == -EAGAIN)
		return false;
	STORM_CALL(r);
	return true;
}

/* --- an end ------------------------------------------------------------------------------------------------ */

static void run_end(struct pipe *pipe, int side, mp_connection *c, uint64_t random)
{
	char *buffer = malloc(HUGE_MESSAGE + NUMBERS);

	STORM_CHECK(buffer);
	for (;;) {
		uint64_t how = storm_random(&random);
		bool drains = storm_drains();
		if (storm_blows() && how % 2)
			send_one(&pipe->ways[side], c, buffer);
		bool came = receive_one(
			&pipe->ways[!side], c, buffer, how % 4 == 0 ? MP_NOWAIT : SHORT_MS);
		if (!came && drains)
			break;
	}
	free(buffer);
}

static void note_end(void *memory, int role, int index)
{
	struct pipe *pipe = memory;
	struct way *out = &pipe->ways[role];
	struct way *in = &pipe->ways[!role];

	(void)index;
	for (uint32_t n = out->sent; n < out->trying; n++)
		out->uncertain[n] = 1;
	out->sent = out->trying;
	in->unseen += in->taking;
	in->taking = 0;
}

static void check_way(struct way *w, mp_connection *c)
{
	char *buffer = malloc(HUGE_MESSAGE + NUMBERS);
	uint32_t missing = 0;

	while (buffer && receive_one(w, c, buffer, SHORT_MS))
		;
	free(buffer);
	for (uint32_t n = 0; n < w->trying; n++)
		missing += w->seen[n] == 0 && !w->uncertain[n];
	if (missing > w->unseen)
		storm_fail(
			STORM_LOST, "%u messages are missing, %u of these may", missing, w->unseen);
}

static void finish(struct pipe *pipe, struct ends *ends)
{
	mp_obj value;

	check_way(&pipe->ways[0], ends->right);
	check_way(&pipe->ways[1], ends->left);
	/* The end of one side is news to the other. */
	STORM_CALL(mp_connection_send(ends->left, mp_str("farewell"), STORM_TIMEOUT_MS));
	STORM_CALL(mp_connection_close(ends->left));
	STORM_CALL(mp_connection_recv(ends->right, STORM_TIMEOUT_MS, &value));
	mp_obj_free(&value);
	STORM_CHECK(mp_connection_recv(ends->right, STORM_TIMEOUT_MS, &value) == -EPIPE);
	STORM_CALL(mp_connection_close(ends->right));
}

static mp_obj give(const struct ends *ends, mp_obj both[2])
{
	both[0] = mp_handle(ends->left);
	both[1] = mp_handle(ends->right);
	return mp_list_of(both, 2);
}

static void take(const mp_obj *given, struct ends *ends)
{
	ends->left = mp_obj_connection(&given->as.items[0]);
	ends->right = mp_obj_connection(&given->as.items[1]);
}

/* --- both kinds ------------------------------------------------------------------------------------------- */

static void make_pipe(void *memory)
{
	(void)memory;
	STORM_CALL(mp_pipe(NULL, &of_pipe.left, &of_pipe.right));
}

static mp_obj give_pipe(void)
{
	static mp_obj both[2];

	return give(&of_pipe, both);
}

static void take_pipe(const mp_obj *given)
{
	take(given, &of_pipe);
}

static void run_pipe_left(void *memory, int index, uint64_t random)
{
	run_end(memory, index, of_pipe.left, random);
}

static void run_pipe_right(void *memory, int index, uint64_t random)
{
	run_end(memory, index + 1, of_pipe.right, random);
}

static void finish_pipe(void *memory)
{
	finish(memory, &of_pipe);
}

const struct storm_capability storm_pipe = {
	.name = "pipe",
	.points = "pipe. bell. conn. ",
	.size = sizeof(struct pipe),
	.make = make_pipe,
	.give = give_pipe,
	.take = take_pipe,
	.roles = {{"left of pipe", 1, true, run_pipe_left},
		{"right of pipe", 1, true, run_pipe_right}},
	.died = note_end,
	.finish = finish_pipe,
};

static void make_socket(void *memory)
{
	(void)memory;
	STORM_CALL(mp_connection_pair(NULL, &of_socket.left, &of_socket.right));
}

static mp_obj give_socket(void)
{
	static mp_obj both[2];

	return give(&of_socket, both);
}

static void take_socket(const mp_obj *given)
{
	take(given, &of_socket);
}

static void run_socket_left(void *memory, int index, uint64_t random)
{
	run_end(memory, index, of_socket.left, random);
}

static void run_socket_right(void *memory, int index, uint64_t random)
{
	run_end(memory, index + 1, of_socket.right, random);
}

static void finish_socket(void *memory)
{
	finish(memory, &of_socket);
}

const struct storm_capability storm_socket = {
	.name = "socket",
	.points = "conn. ",
	.size = sizeof(struct pipe),
	.make = make_socket,
	.give = give_socket,
	.take = take_socket,
	.roles = {{"left of sockets", 1, true, run_socket_left},
		{"right of sockets", 1, true, run_socket_right}},
	.died = note_end,
	.finish = finish_socket,
};
