/* SPDX-License-Identifier: MIT */
/*
 * conn/hmac.h - HMAC-SHA256, by Nettle: a library without global state, threads or initialisation.
 * It may be left out (--without-nettle); then there are no keys.
 */
#ifndef MP_CONN_HMAC_H
#define MP_CONN_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP__HMAC_SIZE 32

/* 0, or -ENOTSUP: built without. */
int mp__hmac_available(void);

/* Not to be called where it is not available. */
void mp__hmac_sha256(
	const void *key, size_t key_size, const void *data, size_t size, uint8_t *ret_digest);

/* Compares in the same time wherever they differ. */
bool mp__hmac_equal(const uint8_t *a, const uint8_t *b);

#endif
