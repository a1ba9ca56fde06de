/* SPDX-License-Identifier: MIT */
/* mpctl locks: who has what, who waits for it, since when, and who waits for each other. */
#include <config.h>

#include "mpctl/command.h"

#include "base/deadline.h"
#include "mpctl/people.h"
#include "mpctl/scene.h"
#ifdef MPCTL_SERVE
#include "mpctl/served.h"
#endif

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* On the way that is looked at: who waits, and which holder of that comes next. */
struct step {
	size_t waiter;
	size_t holder; /* the next one to look at, of what the waiter waits for */
};

struct run {
	struct scene scene;
	bool json;
	const char *socket; /* of a managerd; NULL: the usual one, if it is there */
	pid_t pid;          /* 0: all */
	int64_t now_ns;
	struct step *path;
	size_t depth;
	size_t *place; /* of each waiter on the path, or: */
	int cycles;
};

#define NEVER SIZE_MAX      /* looked at */
#define DONE (SIZE_MAX - 1) /* everything was looked at from there */

/* --- parties ------------------------------------------------------------------------------------- */

static bool is_dead(const struct party *p)
{
	return p->process ? mp__stamp_process_dead(p->stamp) : mp__stamp_thread_dead(p->stamp);
}

static void print_party(const struct run *run, const struct party *p)
{
	int tid = mp__stamp_tid(p->stamp);
	pid_t pid = scene_pid(p->stamp);
	char name[PEOPLE_NAME_SIZE];

	people_program(tid, name);
	if (!mp__stamp_is_of_here(p->stamp))
		printf("thread %d of another PID namespace", tid);
	else if (is_dead(p))
		printf("%s %d, which is dead", p->process ? "process" : "thread", tid);
	else if (p->process)
		printf("process %d", tid);
	else
		printf("thread %d of process %d", tid, (int)pid);
	if (mp__stamp_is_of_here(p->stamp) && !is_dead(p))
		printf(" (%s)", name);
	if (p->since_ns)
		printf(", for %.3f s", (double)(run->now_ns - p->since_ns) / 1e9);
}

static void print_party_json(const struct run *run, const struct party *p)
{
	char name[PEOPLE_NAME_SIZE];

	people_program(mp__stamp_tid(p->stamp), name);
	printf("{\"tid\":%d,\"pid\":%d,\"program\":", mp__stamp_tid(p->stamp),
		(int)scene_pid(p->stamp));
	mpctl_json_string(name);
	printf(",\"dead\":%s", is_dead(p) ? "true" : "false");
	if (p->since_ns)
		printf(",\"seconds\":%.3f", (double)(run->now_ns - p->since_ns) / 1e9);
	putchar('}');
}

/* --- objects --------------------------------------------------------------------------------------- */

static const char *kind_of(const struct object *o)
{
	return o->served ? o->served->class_name : mp__sync_kind_of(o->magic);
}

static const char *name_of(const struct object *o)
{
	return o->served ? o->served->name : o->name;
}

static void print_object(const struct object *o)
{
	const char *kind = kind_of(o);

	printf("%s '", kind ? kind : "object");
	mpctl_print_name(stdout, name_of(o));
	putchar('\'');
	if (o->served) {
		printf(" (number %" PRId64 " of managerd)", o->served->number);
		return;
	}
	if (o->pid)
		printf(" (at 0x%" PRIx64 " in private memory of %d)", o->offset, (int)o->pid);
	else
		printf(" (file %ju, byte %" PRIu64 ")", (uintmax_t)o->ino, o->offset);
}

/* Those of the n that have to do with the object. */
static void print_parties(const struct run *run, size_t object, const struct party *parties,
	size_t n, const char *how)
{
	bool first = true;

	for (size_t i = 0; i < n; i++) {
		if (parties[i].object != object)
			continue;
		if (run->json) {
			if (!first)
				putchar(',');
			print_party_json(run, &parties[i]);
		} else {
			printf("    %s ", how);
			print_party(run, &parties[i]);
			putchar('\n');
		}
		first = false;
	}
}

static void print_one(const struct run *run, size_t object)
{
	const struct scene *s = &run->scene;
	const struct object *o = &s->objects[object];
	const char *kind = kind_of(o);

	if (run->json) {
		fputs("{\"kind\":", stdout);
		mpctl_json_string(kind ? kind : "object");
		fputs(",\"name\":", stdout);
		mpctl_json_string(name_of(o));
		if (o->served)
			printf(",\"number\":%" PRId64, o->served->number);
		else
			printf(",\"inode\":%ju,\"offset\":%" PRIu64, (uintmax_t)o->ino, o->offset);
		fputs(",\"held_by\":[", stdout);
	} else {
		print_object(o);
		putchar('\n');
	}
	if (o->n_holders > 0)
		print_parties(run, object, &s->holders[o->first_holder], o->n_holders, "held by");
	if (run->json)
		fputs("],\"waited_for_by\":[", stdout);
	print_parties(run, object, s->waiters, s->n_waiters, "waited for by");
	if (run->json)
		puts("]}");
}

static bool concerns(const struct run *run, size_t object)
{
	const struct scene *s = &run->scene;

	if (run->pid == 0)
		return true;
	const struct object *o = &s->objects[object];
	for (size_t i = 0; i < o->n_holders; i++) {
		if (scene_pid(s->holders[o->first_holder + i].stamp) == run->pid)
			return true;
	}
	for (size_t i = 0; i < s->n_waiters; i++) {
		if (s->waiters[i].object == object && scene_pid(s->waiters[i].stamp) == run->pid)
			return true;
	}
	return false;
}

/* --- cycles ------------------------------------------------------------------------------------------ */

static void print_cycle(const struct run *run, size_t from)
{
	const struct scene *s = &run->scene;

	fputs(run->json ? "{\"deadlock\":[" : "deadlock:\n", stdout);
	for (size_t i = from; i < run->depth; i++) {
		const struct party *p = &s->waiters[run->path[i].waiter];
		if (run->json) {
			if (i > from)
				putchar(',');
			print_party_json(run, p);
			continue;
		}
		fputs("    ", stdout);
		print_party(run, p);
		fputs("\n        waits for ", stdout);
		print_object(&s->objects[p->object]);
		fputs(", which the next one has\n", stdout);
	}
	if (run->json)
		puts("]}");
}

static bool cycle_concerns(const struct run *run, size_t from)
{
	bool found = run->pid == 0;

	for (size_t i = from; i < run->depth && !found; i++)
		found = scene_pid(run->scene.waiters[run->path[i].waiter].stamp) == run->pid;
	return found;
}

/* The next holder of what the last one on the path waits for who waits himself; NULL. */
static const struct party *next_on_path(struct run *run, struct step *last)
{
	const struct scene *s = &run->scene;
	const struct object *o = &s->objects[s->waiters[last->waiter].object];

	while (last->holder < o->n_holders) {
		const struct party *holder = &s->holders[o->first_holder + last->holder++];
		/* A semaphore may be released by others. */
		const struct party *wait = holder->process ? NULL : scene_wait_of(s, holder->stamp);
		if (wait)
			return wait;
	}
	return NULL;
}

static void add_step(struct run *run, size_t waiter)
{
	run->place[waiter] = run->depth;
	run->path[run->depth++] = (struct step){.waiter = waiter};
}

/* Depth first. What was looked at from once is not again: each cycle is met once. */
static void follow_from(struct run *run, size_t first)
{
	add_step(run, first);
	while (run->depth > 0) {
		struct step *last = &run->path[run->depth - 1];
		const struct party *next = next_on_path(run, last);
		if (!next) {
			run->place[last->waiter] = DONE;
			run->depth--;
			continue;
		}
		size_t waiter = (size_t)(next - run->scene.waiters);
		if (run->place[waiter] == NEVER) {
			add_step(run, waiter);
		} else if (run->place[waiter] != DONE && cycle_concerns(run, run->place[waiter])) {
			run->cycles++;
			print_cycle(run, run->place[waiter]);
		}
	}
}

static int find_cycles(struct run *run)
{
	size_t n = run->scene.n_waiters;

	run->path = calloc(n + 1, sizeof(*run->path));
	run->place = calloc(n + 1, sizeof(*run->place));
	if (!run->path || !run->place)
		run->scene.no_memory = true;
	for (size_t i = 0; i < n && !run->scene.no_memory; i++)
		run->place[i] = NEVER;
	for (size_t i = 0; i < n && !run->scene.no_memory; i++) {
		if (run->place[i] == NEVER)
			follow_from(run, i);
	}
	free(run->path);
	free(run->place);
	return run->cycles;
}

/* --- the command --------------------------------------------------------------------------------------- */

static int show(struct run *run)
{
	scene_source *source = NULL;
#ifdef MPCTL_SERVE
	source = served_read;
#endif
	int r = scene_read(&run->scene, source, (void *)run->socket);
	if (r < 0)
		perror("mpctl locks: /proc");
	if (r != 0) {
		scene_free(&run->scene);
		return r < 0 ? MPCTL_FAILED : r;
	}
	run->now_ns = mp__now_ns();
	for (size_t i = 0; i < run->scene.n_objects; i++) {
		if (concerns(run, i))
			print_one(run, i);
	}
	int code = find_cycles(run) > 0 ? MPCTL_DEADLOCK : MPCTL_OK;
	if (run->scene.unreadable > 0)
		fprintf(stderr,
			"mpctl locks: %zu processes of other users can't be looked at; as root "
			"they can\n",
			run->scene.unreadable);
	if (run->scene.no_memory) {
		fprintf(stderr, "mpctl locks: there is not enough memory to show all of it\n");
		code = MPCTL_FAILED;
	}
	scene_free(&run->scene);
	return code;
}

static int run_locks(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {"socket", required_argument, NULL, 's'}, {0}};
	struct run run = {.json = false};
	char *end = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return mpctl_help(&command_locks);
		if (option == 's')
			run.socket = optarg;
		else if (option == 'j')
			run.json = true;
		else
			return mpctl_usage(&command_locks, "there is no such option");
	}
	if (argc - optind > 1)
		return mpctl_usage(&command_locks, "it takes one process at most");
	if (optind < argc) {
		long pid = strtol(argv[optind], &end, 10);
		if (*end != '\0' || pid <= 0 || pid > INT32_MAX)
			return mpctl_usage(
				&command_locks, "%s is no number of a process", argv[optind]);
		run.pid = (pid_t)pid;
		if (kill(run.pid, 0) < 0 && errno == ESRCH) {
			fprintf(stderr, "mpctl locks: there is no process %d\n", (int)run.pid);
			return MPCTL_NOT_THERE;
		}
	}
	return show(&run);
}

const struct command command_locks = {
	.name = "locks",
	.synopsis = "locks [--json] [--socket PATH] [PID]",
	.summary = "who has which lock, who waits for it, and deadlocks",
	.help = "  PID            only what this process has or waits for\n"
		"  --json         one JSON object a line\n"
		"  --socket PATH  also of the managerd there; else of the usual one, if it is "
		"there\n",
	.run = run_locks,
};
