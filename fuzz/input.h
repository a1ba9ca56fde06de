/* SPDX-License-Identifier: MIT */
/* fuzz/input.h - for targets that read their bytes one after the other, as decisions. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include "fuzz/fuzz.h"

static const uint8_t *rest;
static size_t rest_size;

/* The next byte of the input; 0 behind the end. */
static inline uint8_t next(void)
{
	if (rest_size == 0)
		return 0;
	rest_size--;
	return *rest++;
}

#endif
