/* SPDX-License-Identifier: MIT */
/* A histogram that several processes fill: each addition is one atomic request. */
#include <mp.h>
#include <stdio.h>

static int throw_dice(int argc, const mp_obj *argv)
{
	mp_proxy *faces = argc == 2 ? mp_obj_proxy(&argv[0]) : NULL;
	int64_t begin = argc == 2 ? mp_obj_i64(&argv[1]) : 0;
	int r = 0;

	for (int64_t i = begin; i < begin + 60 && r == 0; i++)
		r = mp_served_array_add(faces, i * 7 % 6, mp_i64(1), NULL);
	return r != 0;
}

static int run(mp_proxy *faces)
{
	mp_process *players[3];
	mp_obj odd;
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++) {
		r = mp_process_new(
			throw_dice, MP_ARGS(mp_handle(faces), mp_i64(i * 60)), NULL, &players[i]);
		if (r == 0)
			r = mp_process_start(players[i]);
	}
	for (int i = 0; i < 3 && r == 0; i++) {
		r = mp_process_join(players[i], MP_FOREVER);
		mp_process_close(players[i]);
	}
	if (r == 0)
		r = mp_served_array_get_slice(
			faces, MP_SLICE_STEP(MP_SLICE_OPEN, MP_SLICE_OPEN, 2), &odd);
	if (r < 0)
		return r;
	for (size_t i = 0; i < mp_obj_len(&odd); i++)
		printf("%zu: %lld\n", 2 * i + 1, (long long)mp_obj_i64(mp_obj_at(&odd, i)));
	mp_obj_free(&odd);
	return 0;
}

int main(int argc, char **argv)
{
	mp_manager *m;
	mp_proxy *faces;

	mp_begin(&argc, &argv);
	int r = mp_manager_start(NULL, &m);
	if (r == 0) {
		r = mp_manager_array(m, "faces", 'H', mp_i64(6), &faces);
		if (r == 0) {
			r = run(faces);
			mp_proxy_close(faces);
		}
		mp_manager_close(m);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	return r < 0;
}
