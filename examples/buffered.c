/* SPDX-License-Identifier: MIT */
/*
 * A line in the buffer of a FILE belongs to the process that wrote it. With fork(2) a child has a
 * copy of the buffer, and both write the line, unless it was flushed before; a child of libmp finds
 * its copies empty.
 */
#include <mp.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *file;

static int work(int argc, const mp_obj *argv)
{
	(void)argc, (void)argv;
	fprintf(file, "child\n");
	return 0;
}

static void by_libmp(void)
{
	mp_process *p;

	if (mp_process_new(work, mp_nil(), MP_PROCESS_OPTIONS(.start_method = MP_START_FORK), &p) <
		0)
		return;
	mp_process_start(p);
	mp_process_join(p, MP_FOREVER);
	mp_process_close(p);
}

static void by_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		work(0, NULL);
		fflush(file); /* as exit(3) does */
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void by_fork_after_fflush(void)
{
	fflush(file);
	by_fork();
}

static void try(const char *name, void (*start)(void))
{
	int c;

	file = tmpfile();
	fprintf(file, "parent\n"); /* stays in the buffer */
	start();
	fflush(file);
	rewind(file);
	printf("%s:", name);
	while ((c = getc(file)) != EOF)
		putchar(c == '\n' ? ' ' : c);
	putchar('\n');
	fclose(file);
}

int main(int argc, char **argv)
{
	mp_begin(&argc, &argv);
	setvbuf(stdout, NULL, _IONBF, 0);
	try("fork(2)              ", by_fork);
	try("fflush(3) and fork(2)", by_fork_after_fflush);
	try("libmp                ", by_libmp);
	return 0;
}
