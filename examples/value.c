/* SPDX-License-Identifier: MIT */
/* Two children count together: one number by atomic additions, a pair under its lock. */
#include <mp.h>
#include <stdio.h>

struct pair {
	int even, odd;
};

static int count(int argc, const mp_obj *argv)
{
	mp_value *total = mp_obj_value(&argv[0]);
	mp_value *pair = mp_obj_value(&argv[1]);
	struct pair *p = mp_value_data(pair);

	(void)argc;
	for (int i = 0; i < 1000; i++) {
		mp_value_add_i64(total, 1, NULL);
		if (mp_value_acquire(pair, MP_FOREVER) < 0)
			return 1;
		*(i % 2 ? &p->odd : &p->even) += 1;
		mp_value_release(pair);
	}
	return 0;
}

int main(int argc, char **argv)
{
	mp_value *total, *pair;
	mp_process *children[2];
	struct pair p;

	mp_begin(&argc, &argv);
	if (mp_value_new('i', &(int){5}, NULL, &total) < 0 ||
		mp_value_new_sized(sizeof(p), NULL, NULL, &pair) < 0) {
		fprintf(stderr, "%s\n", mp_error_detail());
		return 1;
	}
	for (int i = 0; i < 2; i++) {
		if (mp_process_new(count, MP_ARGS(mp_handle(total), mp_handle(pair)), NULL,
			    &children[i]) < 0 ||
			mp_process_start(children[i]) < 0)
			return 1;
	}
	for (int i = 0; i < 2; i++) {
		mp_process_join(children[i], MP_FOREVER);
		mp_process_close(children[i]);
	}
	mp_value_get(pair, &p, sizeof(p), MP_FOREVER);
	printf("%d, %d even and %d odd\n", *(int *)mp_value_data(total), p.even, p.odd);
	mp_value_close(pair);
	return mp_value_close(total);
}
