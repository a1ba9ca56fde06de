/* SPDX-License-Identifier: MIT */
/* Reads a record that somebody else made: every answer may be "not there" or "not that". */
#include <inttypes.h>
#include <mp.h>
#include <stdio.h>

static void show(const mp_obj *record)
{
	const mp_obj *tags = mp_obj_get(record, mp_str("tags"));
	const char *name = mp_obj_str(mp_obj_get(record, mp_str("name")));
	int64_t hits;

	printf("%s has %zu tags", name ? name : "somebody", mp_obj_len(tags));
	for (size_t i = 0; i < mp_obj_len(tags); i++)
		printf(" %s", mp_obj_str(mp_obj_at(tags, i)));
	if (mp_obj_to_i64(mp_obj_get(record, mp_str("hits")), &hits) < 0)
		printf("; hits: %s\n", mp_error_detail());
	else
		printf("; hits: %" PRId64 "\n", hits);
}

int main(void)
{
	mp_obj record = MP_DICT(mp_str("name"), mp_str("a.log"), mp_str("hits"), mp_u64(7),
		mp_str("tags"), MP_LIST(mp_str("red"), mp_str("blue")));
	mp_obj strange = MP_DICT(mp_str("hits"), mp_f64(0.5));

	show(&record);
	show(&strange);
	return 0;
}
