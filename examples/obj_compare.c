/* SPDX-License-Identifier: MIT */
/* Sorts values of all kinds, and finds equal dicts whatever the order of their pairs. */
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	return mp_obj_compare(a, b);
}

int main(void)
{
	mp_obj items[] = {mp_str("b"), mp_i64(3), mp_nil(), mp_u64(2), mp_str("a"), mp_f64(0.5)};
	mp_obj list = mp_list_of(items, sizeof(items) / sizeof(items[0]));
	mp_obj xy = MP_DICT(mp_str("x"), mp_i64(1), mp_str("y"), mp_i64(2));
	mp_obj yx = MP_DICT(mp_str("y"), mp_i64(2), mp_str("x"), mp_i64(1));
	char text[128];

	qsort(items, list.count, sizeof(items[0]), compare);
	mp_obj_format(&list, text, sizeof(text));
	puts(text);
	printf("equal: %d, compare: %d\n", mp_obj_equal(&xy, &yx), mp_obj_compare(&xy, &yx));
	return 0;
}
