/* SPDX-License-Identifier: MIT */
/* Sessions that end by themselves when nobody has used them for a while. */
#include <errno.h>
#include <mp.h>
#include <stdio.h>

#define IDLE_MS (10 * 60 * 1000)
#define LEAVING_MS 100

static int run(mp_dict *sessions)
{
	int64_t version, left;
	mp_obj user;
	int r = mp_dict_set_for(sessions, mp_str("8f2c"), mp_str("Ann"), IDLE_MS);

	if (r == 0) /* each use gives it the whole time again */
		r = mp_dict_expire(sessions, mp_str("8f2c"), IDLE_MS);
	if (r == 0)
		r = mp_dict_ttl(sessions, mp_str("8f2c"), &left);
	if (r < 0)
		return r;
	printf("there for ten minutes at most: %s\n", left <= IDLE_MS ? "yes" : "no");

	/* Ann leaves; what is under way has a moment. The end is a change as any other. */
	mp_dict_expire(sessions, mp_str("8f2c"), LEAVING_MS);
	while (mp_dict_version(sessions, &version) == 0 &&
		mp_dict_contains(sessions, mp_str("8f2c")) == 1)
		mp_dict_watch(sessions, version, MP_FOREVER, NULL);
	r = mp_dict_get(sessions, mp_str("8f2c"), &user);
	printf("afterwards: %s\n", r == -ENOENT ? "no such key" : "still there");
	return r == -ENOENT ? 0 : r;
}

int main(int argc, char **argv)
{
	mp_manager *m;
	mp_dict *sessions;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = mp_manager_dict(m, "sessions", &sessions);
		if (r == 0) {
			r = run(sessions);
			mp_dict_close(sessions);
		}
		mp_manager_close(m);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
