/* SPDX-License-Identifier: MIT */
/* Who am I, and who started me: names, pids, parents. */
#include <mp.h>
#include <stdio.h>
#include <unistd.h>

static int grandchild(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	printf("    %s, started by %s\n", mp_process_current_name(), mp_parent_name());
	return 0;
}

static int child(int argc, const mp_obj *argv)
{
	mp_process *p;

	if (argc != 1)
		return 1;
	printf("  %s, started by %s\n", mp_process_current_name(), mp_parent_name());
	printf("  my parent is the one that says so: %s\n",
		mp_parent_pid() == mp_obj_i64(&argv[0]) ? "yes" : "no");
	if (mp_process_new(grandchild, mp_nil(), NULL, &p) < 0 || mp_process_start(p) < 0)
		return 1;
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"baker", NULL};

	mp_begin(&argc, &argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("%s, started by no process of libmp\n", mp_process_current_name());
	for (int i = 0; i < 2; i++) {
		mp_process *p;
		if (mp_process_new(child, MP_ARGS(mp_i64(getpid())),
			    MP_PROCESS_OPTIONS(.name = names[i]), &p) < 0 ||
			mp_process_start(p) < 0)
			return 1;
		mp_process_join(p, MP_FOREVER);
		mp_process_close(p);
	}
	return 0;
}
