/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: any bytes as the command line of managerd or mpctl. Whatever stands there, the exit code
 * is one of those in the page; what managerd would serve with is sound; what mpctl prints of names that
 * others have chosen is plain text; and it finds a deadlock exactly where there is one.
 *
 * Input: which program; its arguments, each ended by a newline; an empty one; and then the bytes of
 * what they are about: the configuration, as which the argument @ is read, or what mpctl looks at.
 */
#include <config.h>

#include "fuzz/command.h"
#include "fuzz/input.h"

#include "base/fds.h"
#include "sync/lock.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARGS_MAX 16
#define ARG_SIZE 256
#define THINGS 6

static bool found_cycle;
static bool read_scene;

static void next_text(char *text, size_t size)
{
	size_t n = next() % size;

	for (size_t i = 0; i < n; i++)
		text[i] = (char)next();
	text[n] = '\0';
}

/* --- managerd ------------------------------------------------------------------------------------ */

void __wrap_md_say(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	expect(vsnprintf(text, sizeof(text), format, args) > 0);
	va_end(args);
}

void __wrap_md_say_at(int level, const char *event, const char *format, ...)
{
	char text[1024];
	va_list args;

	(void)level;
	expect(strcmp(event, "config") == 0);
	va_start(args, format);
	expect(vsnprintf(text, sizeof(text), format, args) > 0);
	va_end(args);
}

int __wrap_md_daemon_run(struct md_daemon *daemon)
{
	const struct md_settings *s = &daemon->settings;
	struct md_settings again;

	expect((*s->listen == '/') == (s->private_fd < 0));
	expect(memchr(s->listen, '\0', sizeof(s->listen)) != NULL);
	expect(s->limits.max_connections > 0 && s->limits.max_frame > 0);
	expect(s->private_fd < 0 || s->private_fd > 2);
	/* As at SIGHUP: the same file and command line mean the same. */
	if (daemon->load(&again, daemon->load_data) == 0)
		expect(memcmp(again.listen, s->listen, sizeof(s->listen)) == 0 &&
			memcmp(&again.limits, &s->limits, sizeof(s->limits)) == 0);
	return next() % 2 ? mp_error_set(-EADDRINUSE, "fuzzed") : 0;
}

/* --- mpctl --------------------------------------------------------------------------------------- */

int __wrap_mp_shm_gc(uint64_t flags, mp_shm_function *function, void *data)
{
	static const char *const kinds[] = {"block", "shared list", "queue"};
	int n = next() % THINGS;

	expect((flags & ~MP_SHM_REMOVE) == 0);
	if (next() == 255)
		return mp_error_set(-EACCES, "fuzzed");
	for (int i = 0; i < n; i++) {
		char name[64];
		char program[17];
		next_text(name, sizeof(name));
		next_text(program, sizeof(program));
		mp_shm_leftover leftover = {.name = name,
			.program = program,
			.kind = kinds[next() % 3],
			.bytes = (uint64_t)next() << next() % 56,
			.age_ms = (int64_t)next() << next() % 55,
			.creator = next(),
			.result = flags && next() % 2 ? -EPERM : 0};
		function(&leftover, data);
	}
	return n;
}

/* Threads that are alive (this one), dead, of elsewhere. */
static mp__stamp next_stamp(void)
{
	uint8_t which = next() % 4;

	return which == 0 ? mp__stamp_self() : (1 + which * 77u) | (uint64_t)next() << 32;
}

static int compare_parties(const void *left, const void *right)
{
	const struct party *a = left;
	const struct party *b = right;

	return a->object != b->object ? (a->object < b->object ? -1 : 1)
	       : a->stamp != b->stamp ? (a->stamp < b->stamp ? -1 : 1)
				      : 0;
}

static int compare_stamps(const void *left, const void *right)
{
	const struct party *a = left;
	const struct party *b = right;

	return a->stamp != b->stamp ? (a->stamp < b->stamp ? -1 : 1) : 0;
}

static size_t next_parties(struct party *parties, size_t n_objects, bool waiters)
{
	size_t n = n_objects > 0 ? next() % THINGS : 0;
	size_t kept = 0;
	int (*order)(const void *, const void *) = waiters ? compare_stamps : compare_parties;

	for (size_t i = 0; i < n; i++)
		parties[i] = (struct party){.object = next() % n_objects,
			.stamp = next_stamp(),
			.process = !waiters && next() % 4 == 0,
			.since_ns = waiters ? 1 : 0};
	if (n > 1)
		qsort(parties, n, sizeof(*parties), order);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || order(&parties[kept - 1], &parties[i]) != 0)
			parties[kept++] = parties[i];
	}
	return kept;
}

/* Waits `from` for something that `to` has? */
static bool edge(const struct scene *s, size_t from, size_t to)
{
	for (size_t i = 0; i < s->n_holders; i++) {
		const struct party *h = &s->holders[i];
		if (h->object == s->waiters[from].object && !h->process &&
			h->stamp == s->waiters[to].stamp)
			return true;
	}
	return false;
}

static bool has_cycle(const struct scene *s)
{
	bool reaches[THINGS][THINGS];
	size_t n = s->n_waiters;
	bool cycle = false;

	for (size_t i = 0; i < n * n; i++)
		reaches[i / n][i % n] = edge(s, i / n, i % n);
	for (size_t k = 0; k < n; k++) {
		for (size_t i = 0; i < n * n; i++)
			reaches[i / n][i % n] |= reaches[i / n][k] && reaches[k][i % n];
	}
	for (size_t i = 0; i < n; i++)
		cycle |= reaches[i][i];
	return cycle;
}

int __wrap_scene_read(struct scene *scene, scene_source *more, void *data)
{
	static struct object objects[THINGS];
	static struct party holders[THINGS];
	static struct party waiters[THINGS];

	(void)more; /* it would ask a daemon */
	(void)data;
	*scene = (struct scene){.objects = objects, .holders = holders, .waiters = waiters};
	scene->n_objects = next() % THINGS;
	for (size_t i = 0; i < scene->n_objects; i++) {
		objects[i] = (struct object){.magic = next() % 2 ? MP__MAGIC_LOCK : next(),
			.ino = next(),
			.offset = (uint64_t)next() << next() % 56,
			.pid = next() % 2};
		next_text(objects[i].name, sizeof(objects[i].name));
	}
	scene->n_holders = next_parties(holders, scene->n_objects, false);
	for (size_t i = scene->n_holders; i-- > 0;) {
		objects[holders[i].object].first_holder = i;
		objects[holders[i].object].n_holders++;
	}
	scene->n_waiters = next_parties(waiters, scene->n_objects, true);
	scene->unreadable = next() % 2;
	read_scene = true;
	found_cycle = has_cycle(scene);
	return 0;
}

void __wrap_scene_free(struct scene *scene)
{
	*scene = (struct scene){0};
}

/* No daemon answers: so far go the commands that want one. */
int __wrap_mp_manager_connect(
	const char *address, const mp_manager_options *options, mp_manager **ret_manager)
{
	expect(address != NULL && options->timeout_ms > 0 && ret_manager != NULL);
	return next() % 2 ? mp_error_set(-ETIMEDOUT, "fuzzed")
			  : mp_error_set(-ECONNREFUSED, "fuzzed");
}

/* --- one input ------------------------------------------------------------------------------------- */

/* The arguments; what is behind them is the rest. */
static int split(char args[ARGS_MAX][ARG_SIZE], const char *file)
{
	int n = 1;

	while (rest_size > 0) {
		const uint8_t *end = memchr(rest, '\n', rest_size);
		size_t length = end ? (size_t)(end - rest) : rest_size;
		size_t step = end ? length + 1 : length;
		size_t size = length < ARG_SIZE - 1 ? length : ARG_SIZE - 1;
		if (length > 0 && n < ARGS_MAX - 1) {
			memcpy(args[n], rest, size);
			args[n][size] = '\0';
			if (strcmp(args[n], "@") == 0)
				strcpy(args[n], file);
			n++;
		}
		rest += step;
		rest_size -= step;
		if (length == 0)
			break;
	}
	return n;
}

static void run_managerd(int argc, char **argv)
{
	expect(fuzz_managerd(argc, argv) <= 3);
}

static void run_mpctl(int argc, char **argv)
{
	bool of_one = false;

	read_scene = false;
	int code = fuzz_mpctl(argc, argv);
	expect((code >= 0 && code <= 6) || (code >= 124 && code <= 127));
	for (int i = 2; i < argc; i++)
		of_one |= argv[i][0] != '-';
	if (read_scene && !of_one)
		expect((code == 3) == found_cycle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char args[ARGS_MAX][ARG_SIZE];
	char *argv[ARGS_MAX] = {args[0]};
	FILE *real_stdout = stdout;
	char *printed = NULL;
	size_t printed_size = 0;
	char file[64];

	if (size == 0)
		return 0;
	rest = data + 1;
	rest_size = size - 1;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	expect(fd >= 0);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	strcpy(args[0], data[0] % 2 ? "mpctl" : "managerd");
	int argc = split(args, file);
	for (int i = 0; i < argc; i++)
		argv[i] = args[i];
	expect(mp__write_full(fd, rest, rest_size) == 0);

	stdout = open_memstream(&printed, &printed_size);
	expect(stdout != NULL);
	optind = 0;
	opterr = 0;
	if (data[0] % 2)
		run_mpctl(argc, argv);
	else
		run_managerd(argc, argv);
	fclose(stdout);
	stdout = real_stdout;
	for (size_t i = 0; i < printed_size; i++)
		expect((printed[i] >= ' ' && printed[i] <= '~') || printed[i] == '\n');
	free(printed);
	close(fd);
	return 0;
}
