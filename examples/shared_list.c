/* SPDX-License-Identifier: MIT */
/* A child writes into a list that its parent reads. */
#include <mp.h>
#include <stdio.h>

static int write_it(int argc, const mp_obj *argv)
{
	mp_shared_list *list = mp_obj_shared_list(&argv[0]);

	(void)argc;
	mp_shared_list_set(list, 0, mp_str("done"));
	mp_shared_list_set(list, -1, mp_f64(0.5));
	return 0;
}

int main(int argc, char **argv)
{
	mp_shared_list *list;
	mp_process *p;

	mp_begin(&argc, &argv);
	if (mp_shared_list_new(MP_LIST(mp_nil(), mp_i64(2), mp_i64(3)), NULL, &list) < 0 ||
		mp_process_new(write_it, MP_ARGS(mp_handle(list)), NULL, &p) < 0 ||
		mp_process_start(p) < 0) {
		fprintf(stderr, "shared_list: %s\n", mp_error_detail());
		return 1;
	}
	mp_process_join(p, MP_FOREVER);
	for (size_t i = 0; i < mp_shared_list_len(list); i++) {
		mp_obj item;
		char text[64];
		if (mp_shared_list_get(list, (int64_t)i, &item) < 0)
			return 1;
		mp_obj_format(&item, text, sizeof(text));
		puts(text);
		mp_obj_free(&item);
	}
	mp_process_close(p);
	mp_shared_list_close(list);
	return 0;
}
