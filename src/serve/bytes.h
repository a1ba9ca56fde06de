/* SPDX-License-Identifier: MIT */
/* serve/bytes.h - bytes that belong to somebody else. */
#ifndef SERVE_BYTES_H
#define SERVE_BYTES_H

#include <stddef.h>

struct serve_bytes {
	const void *data;
	size_t size;
};

#endif
