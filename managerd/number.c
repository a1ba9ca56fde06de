/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool md_number_scan(const char *text, bool with_unit, uint64_t *ret)
{
	static const char units[] = "KMG";
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	uint64_t number = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	const char *unit = with_unit && *end != '\0' ? strchr(units, *end) : NULL;
	if (unit) {
		int shift = 10 * (int)(unit - units + 1);
		if (number > UINT64_MAX >> shift)
			return false;
		number <<= shift;
		end++;
	}
	*ret = number;
	return *end == '\0';
}
