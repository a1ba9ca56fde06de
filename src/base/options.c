/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/options.h"

#include "base/error.h"
#include "base/hot.h"

#include <inttypes.h>
#include <string.h>

/* No option struct will ever be this large: a size above is an uninitialised struct. */
#define SIZE_LIMIT 4096

struct head {
	size_t size;
	uint64_t flags;
};

MP__HOT int mp__options_load(
	void *known, size_t known_size, uint64_t known_flags, const void *options)
{
	struct head head;

	memset(known, 0, known_size);
	if (!options)
		return 0;

	memcpy(&head.size, options, sizeof(head.size));
	if (head.size < sizeof(head) || head.size > SIZE_LIMIT)
		return mp_error_set(
			-EINVAL, "options: size is %zu; set it to sizeof the struct", head.size);

	const unsigned char *bytes = options;
	for (size_t i = known_size; i < head.size; i++) {
		if (bytes[i] != 0)
			return mp_error_set(-E2BIG,
				"options: byte %zu is set, but libmp %s knows only %zu; the "
				"program was compiled for a newer one",
				i, PACKAGE_VERSION, known_size);
	}

	memcpy(&head, options, sizeof(head));
	if (head.flags & ~known_flags)
		return mp_error_set(
			-EINVAL, "options: unknown flags 0x%" PRIx64, head.flags & ~known_flags);
	memcpy(known, options, head.size < known_size ? head.size : known_size);
	return 0;
}
