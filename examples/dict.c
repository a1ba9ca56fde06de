/* SPDX-License-Identifier: MIT */
/* What a dict of managerd can do. */
#include <mp.h>
#include <stdio.h>

static void show(const char *what, int r, mp_obj *value)
{
	char text[128];

	if (r < 0) {
		printf("%s: %s\n", what, mp_strerror(r));
		return;
	}
	mp_obj_format(value, text, sizeof(text));
	printf("%s: %s\n", what, text);
	mp_obj_free(value);
}

int main(void)
{
	mp_manager *m;
	mp_dict *d;
	mp_obj value;
	size_t n = 0;

	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = mp_manager_dict(m, NULL, &d);
		if (r < 0)
			mp_manager_close(m);
	}
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
		return 1;
	}
	mp_dict_set(d, mp_str("total"), mp_i64(1632));
	mp_dict_update(d, MP_DICT(mp_str("ip"), mp_i64(341), mp_i64(7), mp_bool(true)));
	show("get", mp_dict_get(d, mp_str("total"), &value), &value);
	show("get", mp_dict_get(d, mp_str("no such"), &value), &value);
	printf("contains: %d\n", mp_dict_contains(d, mp_u64(7)));
	show("pop", mp_dict_pop(d, mp_i64(7), &value), &value);
	show("setdefault", mp_dict_setdefault(d, mp_str("ip"), mp_i64(0), &value), &value);
	show("items", mp_dict_items(d, &value), &value);
	show("keys", mp_dict_keys(d, &value), &value);
	mp_dict_clear(d);
	mp_dict_len(d, &n);
	printf("len: %zu\n", n);
	mp_dict_close(d);
	mp_manager_close(m);
	return 0;
}
