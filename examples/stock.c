/* SPDX-License-Identifier: MIT */
/* A hundred tickets and five buyers: a transaction sells each of them once, whoever asks when. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int buy(int argc, const mp_obj *argv)
{
	mp_dict *shop = argc == 2 ? mp_obj_dict(&argv[0]) : NULL;
	const mp_dict_step one_ticket[] = {
		{MP_DICT_AT_LEAST, mp_str("tickets"), mp_i64(1)},
		{MP_DICT_ADD, mp_str("tickets"), mp_i64(-1)},
		{MP_DICT_ADD, argv[1], mp_i64(1)},
	};
	int r;

	do
		r = mp_dict_transact(shop, MP_DICT_ANY_VERSION, one_ticket, 3);
	while (r == 0);
	return r != -ESTALE; /* sold out */
}

static int run(mp_dict *shop)
{
	mp_process *buyers[5];
	int64_t sold = 0;
	mp_obj all;
	int r = mp_dict_set(shop, mp_str("tickets"), mp_i64(100));

	for (int i = 0; i < 5 && r == 0; i++) {
		r = mp_process_new(buy, MP_ARGS(mp_handle(shop), mp_i64(i)), NULL, &buyers[i]);
		if (r == 0)
			r = mp_process_start(buyers[i]);
	}
	for (int i = 0; i < 5 && r == 0; i++) {
		r = mp_process_join(buyers[i], MP_FOREVER);
		mp_process_close(buyers[i]);
	}
	if (r == 0)
		r = mp_dict_items(shop, &all);
	if (r < 0)
		return r;
	for (int i = 0; i < 5; i++)
		sold += mp_obj_i64(mp_obj_get(&all, mp_i64(i)));
	printf("left %lld, sold %lld\n", (long long)mp_obj_i64(mp_obj_get(&all, mp_str("tickets"))),
		(long long)sold);
	mp_obj_free(&all);
	return 0;
}

int main(int argc, char **argv)
{
	mp_manager *m;
	mp_dict *shop;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = mp_manager_dict(m, "shop", &shop);
		if (r == 0) {
			r = run(shop);
			mp_dict_close(shop);
		}
		mp_manager_close(m);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
