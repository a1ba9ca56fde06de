/* SPDX-License-Identifier: MIT */
/* Visits counted by page and in all: four changes, one way to the daemon and back. */
#include <mp.h>
#include <stdio.h>

int main(void)
{
	mp_manager *m;
	mp_dict *visits;
	mp_proxy *all;

	if (mp_manager_start(NULL, &m) < 0 || mp_manager_dict(m, "visits", &visits) < 0 ||
		mp_manager_counter(m, "all", 0, &all) < 0)
		return 1;
	mp_call calls[] = {
		{mp_handle(visits), "add", MP_LIST(mp_str("/"), mp_i64(3)), 0, mp_nil()},
		{mp_handle(visits), "add", MP_LIST(mp_str("/news"), mp_i64(2)), 0, mp_nil()},
		{mp_handle(all), "add", MP_LIST(mp_i64(5)), 0, mp_nil()},
		{mp_handle(visits), "get", MP_LIST(mp_str("/about")), 0, mp_nil()},
	};
	if (mp_call_many(calls, 4, MP_NOWAIT) < 0)
		printf("%s\n", mp_error_detail()); /* of the first that failed */
	for (int i = 0; i < 4; i++)
		printf("%d: %s %lld\n", i, mp_strerror(calls[i].result),
			calls[i].result < 0 ? 0 : (long long)mp_obj_i64(&calls[i].value));
	for (int i = 0; i < 4; i++)
		mp_obj_free(&calls[i].value);
	mp_proxy_close(all);
	mp_dict_close(visits);
	return mp_manager_close(m);
}
