/* SPDX-License-Identifier: MIT */
/* An object by the names of its type and methods, and news of what others change in it. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

static int add(int argc, const mp_obj *argv)
{
	mp_proxy *n = argc == 1 ? mp_obj_proxy(&argv[0]) : NULL;

	return mp_proxy_call(n, "add", MP_LIST(mp_i64(1)), MP_FOREVER, NULL) < 0;
}

static int watch_a_child(mp_proxy *n)
{
	mp_process *p;
	mp_obj sum;
	int64_t version;

	int r = mp_proxy_version(n, &version);
	if (r == 0)
		r = mp_process_new(add, MP_ARGS(mp_handle(n)), NULL, &p);
	if (r < 0)
		return r;
	r = mp_process_start(p);
	if (r == 0)
		r = mp_proxy_watch(n, version, MP_FOREVER, &version);
	if (r == 0)
		r = mp_proxy_call(n, "get", mp_nil(), MP_FOREVER, &sum);
	if (r == 0) {
		printf("somebody has made it %lld\n", (long long)mp_obj_i64(&sum));
		mp_obj_free(&sum);
	}
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	return r;
}

static int run(mp_manager *m)
{
	mp_proxy *n;
	mp_proxy *same;

	int r = mp_manager_open(m, "counter", "visitors", MP_LIST(mp_i64(10)), &n);
	if (r < 0)
		return r;
	r = mp_manager_open(m, NULL, "visitors", mp_nil(), &same); /* whatever it is */
	if (r == 0) {
		printf("it is a %s, %s\n", mp_proxy_type(same),
			mp_proxy_equal(n, same) ? "the same" : "another one");
		if (mp_proxy_call(same, "polish", mp_nil(), MP_FOREVER, NULL) == -ENOSYS)
			printf("%s\n", mp_error_detail());
		mp_proxy_close(same);
		r = watch_a_child(n);
	}
	mp_proxy_close(n);
	return r;
}

int main(int argc, char **argv)
{
	mp_manager *m;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = run(m);
		mp_manager_close(m);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
