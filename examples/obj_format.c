/* SPDX-License-Identifier: MIT */
/* Prints a value of any size: asks for the length first. */
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>

static int print(const mp_obj *value)
{
	size_t size = mp_obj_format(value, NULL, 0) + 1;
	char *text = malloc(size);

	if (!text)
		return 1;
	mp_obj_format(value, text, size);
	puts(text);
	free(text);
	return 0;
}

int main(void)
{
	mp_obj value = MP_LIST(mp_nil(), mp_bool(true), mp_i64(-1), mp_f64(0.1), mp_f64(1e16),
		mp_str("a \"word\"\n"), mp_bytes("\0\xff", 2), MP_DICT(mp_i64(1), MP_LIST()),
		mp_fd(2));

	return print(&value);
}
