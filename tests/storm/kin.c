/* SPDX-License-Identifier: MIT */
/*
 * Families in the kill storm: parents that start children by each method, which start children of
 * their own, and hear from them over connections. Any of them may be killed: the others get what was
 * sent and then the end of file, learn the exit code, and nobody survives a parent it was bound to.
 */
#include <config.h>

#include "tests/storm/storm.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define PARENTS 2
#define WORDS 5
#define CODE 7

/* Bound to its parent, and waits for nothing else. */
static int stay(int argc, const mp_obj *argv)
{
	(void)argv;
	while (argc >= 0)
		pause();
	return 0;
}

/* Says some words, has a child that stays behind, and leaves, or waits to be killed. */
static int speak(int argc, const mp_obj *argv)
{
	mp_connection *c = argc == 3 ? mp_obj_connection(&argv[0]) : NULL;
	mp_process *child;

	if (mp_process_new(stay, mp_nil(),
		    MP_PROCESS_OPTIONS(.start_method = MP_START_FORK, .daemon = true),
		    &child) < 0 ||
		mp_process_start(child) < 0)
		return STORM_EXIT;
	for (int64_t i = 0; i < WORDS; i++)
		if (mp_connection_send(c, mp_i64(i), STORM_TIMEOUT_MS) < 0)
			return STORM_EXIT;
	if (mp_obj_i64(&argv[1]))
		(void)stay(0, NULL);
	/* The child goes by the kernel, by libmp at the exit, or by the kernel after the return. */
	switch (mp_obj_i64(&argv[2]) % 3) {
	case 0:
		_exit(CODE);
#ifndef __SANITIZE_ADDRESS__ /* which would look for leaks there, of a target in the middle */
	case 1:
		exit(CODE);
#endif
	default:
		return CODE;
	}
}

/* All words, or the first ones of them; then the end. How many. */
static int listen_to(mp_connection *c, bool stays)
{
	for (int i = 0;; i++) {
		mp_obj word;
		if (stays && i == WORDS)
			return i;
		int r = mp_connection_recv(c, STORM_TIMEOUT_MS, &word);
		if (r == -EPIPE)
			return i;
		STORM_CALL(r);
		STORM_CHECK(mp_obj_i64(&word) == i);
		mp_obj_free(&word);
	}
}

static bool by_others(int code)
{
	return code == -SIGKILL || code == -SIGTERM || code == STORM_EXIT;
}

static void raise_child(uint64_t random)
{
	bool stays = random % 2;
	mp_connection *mine;
	mp_connection *its;
	mp_process *child;
	int code = 0;
	int method = MP_START_FORK + (int)(random >> 4 & 15) % 3;

	if (random >> 8 & 1)
		STORM_CALL(mp_pipe(NULL, &mine, &its));
	else
		STORM_CALL(mp_connection_pair(NULL, &mine, &its));
	STORM_CALL(mp_process_new(speak,
		MP_ARGS(mp_handle(its), mp_i64(stays), mp_i64((int64_t)(random >> 12 & 255))),
		MP_PROCESS_OPTIONS(.start_method = method, .daemon = true,
			.start_timeout_ms = STORM_TIMEOUT_MS),
		&child));
	int r = mp_process_start(child);
	if (r != -EOWNERDEAD)
		STORM_CALL(r);
	STORM_CALL(mp_connection_close(its));
	if (r == 0) {
		int words = listen_to(mine, stays);
		if (stays) {
			r = mp_process_kill(child);
			STORM_CHECK(r == 0 || r == -ESRCH);
		}
		STORM_CALL(mp_process_join(child, STORM_TIMEOUT_MS));
		r = mp_process_exit_code(child, &code);
		STORM_CHECK(r == 0 || r == -ESRCH); /* how it ended went with its fork server */
		STORM_CHECK(r < 0 || by_others(code) || (code == CODE && words == WORDS));
	}
	STORM_CALL(mp_connection_close(mine));
	STORM_CALL(mp_process_close(child));
}

static void run_parent(void *memory, int index, uint64_t random)
{
	_Atomic uint64_t *children = memory;

	(void)index;
	/* The storm's handler is for this process; what it starts by fork dies of SIGTERM. */
	while (storm_blows()) {
		raise_child(storm_random(&random));
		(*children)++;
	}
}

static void make_kin(void *memory)
{
	(void)memory;
}

const struct storm_capability storm_kin = {
	.name = "kin",
	.points = "process. ",
	.size = sizeof(_Atomic uint64_t),
	.make = make_kin,
	.roles = {{"parent", PARENTS, false, run_parent}},
	.finish = make_kin,
};
