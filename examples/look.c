/* SPDX-License-Identifier: MIT */
/* What is there, in whose hands, and how much it is asked. */
#include <mp.h>
#include <stdio.h>
#include <string.h>

static void show(const mp_obj *list, const char *key)
{
	for (size_t i = 0; i < mp_obj_len(list); i++)
		printf("%s\n", mp_obj_str(mp_obj_get(mp_obj_at(list, i), mp_str(key))));
	printf("--\n");
}

static int look(mp_manager *m)
{
	uint64_t after = 0;
	mp_obj found;
	int r;

	do {
		r = mp_manager_objects(m, MP_OBJECTS_OPTIONS(.prefix = "jobs."), &after, &found);
		if (r < 0)
			return r;
		show(&found, "name");
		mp_obj_free(&found);
	} while (after != 0);
	r = mp_manager_holds(m, &found);
	if (r < 0)
		return r;
	show(&found, "name");
	mp_obj_free(&found);
	r = mp_manager_stats(m, &found);
	if (r < 0)
		return r;
	const char *line = strstr(mp_obj_str(&found), "\nmanagerd_objects ");
	if (line)
		printf("%.*s\n", (int)strcspn(line + 1, "\n"), line + 1);
	mp_obj_free(&found);
	return 0;
}

int main(void)
{
	mp_proxy *lock = NULL, *queue = NULL;
	mp_manager *m = NULL;
	int r = mp_manager_start(NULL, &m);

	if (r == 0)
		r = mp_manager_lock(m, "jobs.lock", &lock);
	if (r == 0)
		r = mp_manager_list(m, "jobs.done", &queue);
	if (r == 0)
		r = mp_served_lock_acquire(lock, MP_FOREVER, NULL);
	if (r == 0)
		r = look(m);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	mp_proxy_close(queue);
	mp_proxy_close(lock);
	mp_manager_close(m);
	return r < 0;
}
