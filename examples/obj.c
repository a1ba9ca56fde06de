/* SPDX-License-Identifier: MIT */
/* A record that is written down on the stack, and a copy of it that lives longer. */
#include <mp.h>
#include <stdio.h>

static int describe(const char *name, int64_t hits, mp_obj *ret_record)
{
	/* All of this is borrowed, and gone at the end of the block: it has to be copied. */
	mp_obj record = MP_DICT(mp_str("name"), mp_str(name), mp_str("hits"), mp_i64(hits),
		mp_str("tags"), MP_LIST(mp_str("log"), mp_bool(true), mp_nil()));

	return mp_obj_copy(record, ret_record);
}

int main(void)
{
	mp_obj record;
	char text[128];

	int r = describe("20210322.log", 10000, &record);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
		return 1;
	}
	mp_obj_format(&record, text, sizeof(text));
	puts(text);
	mp_obj_free(&record);
	return 0;
}
