/* SPDX-License-Identifier: MIT */
/* A shop with three books: what is there, what was sold to whom, and the money. They always agree. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

#define PRICE 7

static int buy(int argc, const mp_obj *argv)
{
	int r = argc == 4 ? 0 : -EINVAL;

	while (r == 0) {
		const mp_transact_step one_ticket[] = {
			{argv[0], MP_DICT_AT_LEAST, mp_str("tickets"), mp_i64(1)},
			{argv[0], MP_DICT_ADD, mp_str("tickets"), mp_i64(-1)},
			{argv[1], MP_DICT_ADD, argv[3], mp_i64(1)},
			{argv[2], MP_DICT_ADD, mp_nil(), mp_i64(PRICE)},
		};
		r = mp_transact(one_ticket, 4);
	}
	return r != -ESTALE; /* sold out */
}

static int run(mp_dict *stock, mp_dict *sold, mp_proxy *money)
{
	mp_process *buyers[4];
	int64_t earned = 0, n = 0;
	mp_obj left, all;
	int r = mp_dict_set(stock, mp_str("tickets"), mp_i64(100));

	for (int i = 0; i < 4 && r == 0; i++) {
		r = mp_process_new(buy,
			MP_ARGS(mp_handle(stock), mp_handle(sold), mp_handle(money), mp_i64(i)),
			NULL, &buyers[i]);
		if (r == 0)
			r = mp_process_start(buyers[i]);
	}
	for (int i = 0; i < 4 && r == 0; i++) {
		r = mp_process_join(buyers[i], MP_FOREVER);
		mp_process_close(buyers[i]);
	}
	if (r < 0 || (r = mp_counter_get(money, &earned)) < 0 ||
		(r = mp_dict_get(stock, mp_str("tickets"), &left)) < 0 ||
		(r = mp_dict_values(sold, &all)) < 0)
		return r;
	for (size_t i = 0; i < mp_obj_len(&all); i++)
		n += mp_obj_i64(mp_obj_at(&all, i));
	printf("left %lld, sold %lld, earned %lld\n", (long long)mp_obj_i64(&left), (long long)n,
		(long long)earned);
	mp_obj_free(&all);
	return 0;
}

int main(int argc, char **argv)
{
	mp_dict *stock = NULL, *sold = NULL;
	mp_proxy *money = NULL;
	mp_manager *m = NULL;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0)
		r = mp_manager_dict(m, "stock", &stock);
	if (r == 0)
		r = mp_manager_dict(m, "sold", &sold);
	if (r == 0)
		r = mp_manager_counter(m, "money", 0, &money);
	if (r == 0)
		r = run(stock, sold, money);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_proxy_close(money);
	mp_dict_close(sold);
	mp_dict_close(stock);
	mp_manager_close(m);
	return r < 0;
}
