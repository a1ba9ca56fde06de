/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/siphash.h"

#include <endian.h>
#include <string.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void rounds(struct state *s, int n)
{
	while (n-- > 0) {
		s->v0 += s->v1;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

uint64_t serve_siphash(const struct serve_hash_seed *seed, const void *data, size_t size)
{
	struct state s = {
		.v0 = seed->k0 ^ 0x736f6d6570736575,
		.v1 = seed->k1 ^ 0x646f72616e646f6d,
		.v2 = seed->k0 ^ 0x6c7967656e657261,
		.v3 = seed->k1 ^ 0x7465646279746573,
	};
	const uint8_t *at = data;
	uint64_t word;

	for (size_t n = size / 8; n > 0; n--, at += 8) {
		memcpy(&word, at, 8);
		word = le64toh(word);
		s.v3 ^= word;
		rounds(&s, 2);
		s.v0 ^= word;
	}
	word = (uint64_t)size << 56;
	for (size_t i = 0; i < size % 8; i++)
		word |= (uint64_t)at[i] << 8 * i;
	s.v3 ^= word;
	rounds(&s, 2);
	s.v0 ^= word;
	s.v2 ^= 0xff;
	rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
