/* SPDX-License-Identifier: MIT */
/*
 * serve/siphash.h - SipHash-2-4, the keyed hash of Aumasson and Bernstein.
 *
 * Keys of hash maps come from clients. With a secret seed nobody can choose keys that all land in
 * one place and make the daemon slow for everybody.
 */
#ifndef SERVE_SIPHASH_H
#define SERVE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct serve_hash_seed {
	uint64_t k0;
	uint64_t k1;
};

uint64_t serve_siphash(const struct serve_hash_seed *seed, const void *data, size_t size);

#endif
