/* SPDX-License-Identifier: MIT */
/* A value as bytes and back; and bytes that were cut on the way. */
#include <mp.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	mp_obj back;
	void *data;
	size_t size;
	char text[64];

	int r = mp_obj_encode(MP_LIST(mp_str("hits"), mp_i64(800)), &data, &size);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
		return 1;
	}
	for (size_t i = 0; i < size; i++)
		printf("%02x%s", ((unsigned char *)data)[i], i + 1 < size ? " " : "\n");

	r = mp_obj_decode(data, size, &back);
	if (r == 0) {
		mp_obj_format(&back, text, sizeof(text));
		puts(text);
		mp_obj_free(&back);
	}
	r = mp_obj_decode(data, size - 1, &back);
	printf("%s: %s\n", mp_strerror(r), mp_error_detail());
	free(data);
	return 0;
}
