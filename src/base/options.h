/* SPDX-License-Identifier: MIT */
/*
 * base/options.h - option structs that can grow.
 *
 * Every public option struct starts with `size_t size; uint64_t flags;` and is only ever appended
 * to. An older program passes a shorter struct: what it does not know is zero, that is the default.
 * A newer one passes a longer struct: fine as long as what we do not know is zero.
 */
#ifndef MP_BASE_OPTIONS_H
#define MP_BASE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Fill `known` (of known_size bytes) from the user's `options`, NULL being all zero.
 * -EINVAL size is not that of an option struct, or a flag that is not in `known_flags`;
 * -E2BIG something is set that this version does not know.
 */
int mp__options_load(void *known, size_t known_size, uint64_t known_flags, const void *options);

#endif
