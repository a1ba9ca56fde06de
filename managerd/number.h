/* SPDX-License-Identifier: MIT */
/* managerd/number.h - numbers as people write them in a configuration. */
#ifndef MANAGERD_NUMBER_H
#define MANAGERD_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits and nothing else; `with_unit`: K, M or G may follow, for powers of 1024. */
bool md_number_scan(const char *text, bool with_unit, uint64_t *ret);

#endif
