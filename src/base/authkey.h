/* SPDX-License-Identifier: MIT */
/*
 * base/authkey.h - a key that two programs share, in a file that nobody else may read.
 *
 * What stands on a command line or in the environment everybody on the machine may see; so only the
 * name of a file stands there.
 */
#ifndef MP_BASE_AUTHKEY_H
#define MP_BASE_AUTHKEY_H

#include <stddef.h>
#include <stdint.h>

/* Shorter ones in a file are mistakes, or can be guessed; a longer one is no better. */
#define MP__KEY_FILE_MIN 16
#define MP__KEY_MAX 512

struct mp__authkey {
	size_t size; /* 0: none */
	uint8_t bytes[MP__KEY_MAX];
};

/* From memory: 1 to MP__KEY_MAX bytes, or -EINVAL. */
int mp__authkey_set(struct mp__authkey *ret_key, const void *bytes, size_t size);
/*
 * The content of the file, without one newline at its end. -EPERM it belongs to another user (root is none), or
 * others may read or write it; -EINVAL it is no file, or its size is wrong; what open(2) says.
 */
int mp__authkey_read(struct mp__authkey *ret_key, const char *path);
void mp__authkey_wipe(struct mp__authkey *key);

#endif
