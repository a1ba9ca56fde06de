/* SPDX-License-Identifier: MIT */
/* A dict and a list of a manager, changed by a child, with keys and values of all kinds at once. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int child(int argc, const mp_obj *argv)
{
	mp_dict *d = argc == 2 ? mp_obj_dict(&argv[0]) : NULL;
	mp_proxy *l = argc == 2 ? mp_obj_proxy(&argv[1]) : NULL;

	int r = mp_dict_set(d, mp_i64(1), mp_str("1"));
	if (r == 0)
		r = mp_dict_set(d, mp_str("2"), mp_i64(2));
	if (r == 0)
		r = mp_dict_set(d, mp_f64(0.25), mp_nil());
	if (r == 0)
		r = mp_dict_set(d, mp_bool(true), MP_LIST(mp_i64(3), mp_str("three")));
	if (r == 0)
		r = mp_dict_set(d, mp_bytes("\xff\x00", 2), MP_DICT(mp_str("deep"), mp_f64(1.5)));
	if (r == 0)
		r = mp_list_extend(l, MP_LIST(mp_nil(), mp_str("text"), MP_LIST(mp_bool(false))));
	if (r == 0)
		r = mp_list_append(l, mp_handle(d)); /* the dict itself, no copy */
	if (r == 0)
		r = mp_list_reverse(l);
	return r < 0;
}

static int run_child(mp_dict *d, mp_proxy *l)
{
	mp_process *p;
	int code = 1;

	int r = mp_process_new(child, MP_ARGS(mp_handle(d), mp_handle(l)), NULL, &p);
	if (r < 0)
		return r;
	r = mp_process_start(p);
	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	if (r == 0)
		r = mp_process_exit_code(p, &code);
	mp_process_close(p);
	return r == 0 && code != 0 ? mp_error_set(-ECHILD, "the child failed") : r;
}

static int show(int r, mp_obj *value)
{
	char text[256];

	if (r < 0)
		return r;
	mp_obj_format(value, text, sizeof(text));
	printf("%s\n", text);
	mp_obj_free(value);
	return 0;
}

int main(int argc, char **argv)
{
	mp_manager *m = NULL;
	mp_dict *d = NULL;
	mp_proxy *l = NULL;
	mp_obj value;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0)
		r = mp_manager_dict(m, NULL, &d);
	if (r == 0)
		r = mp_manager_list(m, NULL, &l);
	if (r == 0)
		r = run_child(d, l);
	if (r == 0)
		r = show(mp_dict_items(d, &value), &value);
	if (r == 0)
		r = show(mp_list_slice(l, 1, MP_LIST_END, 1, &value), &value);
	if (r == 0)
		r = mp_list_get(l, 0, &value);
	if (r == 0) {
		printf("the first item is the dict: %s\n", mp_obj_dict(&value) ? "yes" : "no");
		mp_obj_free(&value);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_proxy_close(l);
	mp_dict_close(d);
	mp_manager_close(m);
	return r < 0;
}
