/* SPDX-License-Identifier: MIT */
/*
 * pool/loop.h - parallel loops, the worker's side: take pieces from the common counter until there are
 * none.
 */
#ifndef MP_POOL_LOOP_H
#define MP_POOL_LOOP_H

#include "obj/codec.h"
#include "pool/segment.h"

#include <mp/map.h>

/*
 * The iterations that this worker has taken and not finished, now that it is dead; if there are none
 * the results stay as they are.
 */
void mp__pool_lost_piece(const struct mp__pool_segment *segment, uint32_t worker, size_t *ret_begin,
	size_t *ret_end);

/* `data` is a struct mp__pool_loop_args and an encoded value. What the body returned, or 0. */
int mp__pool_run_loop(const struct mp__pool_segment *segment, uint32_t worker, mp_body *body,
	const uint8_t *data, size_t size, struct mp__cargo *cargo);

#endif
