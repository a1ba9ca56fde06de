/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/support/place.h"

#include "tests/support/support.h"

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>

void t_place_make(char ret_path[T_PLACE_SIZE])
{
	snprintf(ret_path, T_PLACE_SIZE, "/tmp/mp-test-XXXXXX");
	cr_assert(mkdtemp(ret_path) != NULL, "%s: %s", ret_path, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void t_place_remove(const char *place)
{
	T_OK(nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS));
}

void t_place_put(const char *place, const char *path, const char *text)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", place, path);
	for (char *at = full + strlen(place) + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		mkdir(full, 0700);
	}
	FILE *file = fopen(full, "we");
	cr_assert_not_null(file, "%s", full);
	fputs(text, file);
	fclose(file);
}
