/* SPDX-License-Identifier: MIT */
/* A function that reports its failure as libmp does: a code and a sentence. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>
#include <string.h>

static int parse_day(const char *file, mp_obj *ret_day)
{
	if (strlen(file) != 12 || strcmp(file + 8, ".log") != 0)
		return mp_error_set(-EINVAL, "%s: the name is not YYYYMMDD.log", file);
	return mp_obj_copy(mp_strn(file, 8), ret_day);
}

int main(void)
{
	const char *files[] = {"20210322.log", "notes.txt", "2021\xff\xff\xff\xff.log"};

	for (size_t i = 0; i < 3; i++) {
		mp_obj day;
		int r = parse_day(files[i], &day);
		if (r < 0) {
			printf("%s (%s)\n", mp_strerror(r), mp_error_detail());
			continue;
		}
		printf("%s\n", mp_obj_str(&day));
		mp_obj_free(&day);
	}
	return 0;
}
