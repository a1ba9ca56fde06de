/* SPDX-License-Identifier: MIT */
/*
 * obj/small.h - small values without protobuf-c's structs.
 *
 * Most values that travel are a number, a short text, or a short list of those: arguments and results
 * of tasks, keys and values of dicts. They are written and read here in one go, as the very same
 * bytes. What is larger, nested deeper, or wrong in any way is none of them, and left to encode.c and
 * decode.c, which can do everything and say what is wrong. Tests compare the two.
 */
#ifndef MP_OBJ_SMALL_H
#define MP_OBJ_SMALL_H

#include <mp/obj.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the largest one. */
#define MP__SMALL_BYTES 130

/* How many bytes were written; 0: it is not small, not valid, or does not fit. */
size_t mp__small_encode(const mp_obj *value, uint8_t *buffer, size_t room);

/* False, and nothing was done: these bytes are not one, or there is no memory. */
bool mp__small_decode(const uint8_t *data, size_t size, mp_obj *ret_value);

#endif
