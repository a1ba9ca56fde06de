/* SPDX-License-Identifier: MIT */
/*
 * fuzz/fuzz.h - what a fuzz target is: a function that takes any bytes and aborts when something is
 * wrong. libFuzzer calls it with bytes of its own (fuzz/run), `make check` with those of the corpus
 * (fuzz/replay.c).
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true, whatever the bytes are. */
static inline void expect(bool condition)
{
	if (!condition)
		abort();
}

#endif
