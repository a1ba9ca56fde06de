/* SPDX-License-Identifier: MIT */
/* A child says who it is and who started it; the parent counts its children. */
#include <mp.h>
#include <stdio.h>

static int introduce(int argc, const mp_obj *argv)
{
	(void)argc;
	(void)argv;
	printf("I am %s, a child of %s\n", mp_process_current_name(), mp_parent_name());
	printf("my parent %s\n", mp_parent_is_alive() == 1 ? "lives" : "is gone");
	return 0;
}

int main(int argc, char **argv)
{
	mp_process *p = NULL;

	mp_begin(&argc, &argv);
	printf("I am %s\n", mp_process_current_name());
	int r = mp_process_new(introduce, mp_nil(), MP_PROCESS_OPTIONS(.name = "guest"), &p);
	if (r == 0)
		r = mp_process_start(p);
	if (r == 0)
		r = mp_process_join(p, MP_FOREVER);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", mp_strerror(r), mp_error_detail());
	printf("%d children run\n", mp_process_children(NULL, 0));
	mp_process_close(p);
	return r < 0;
}
