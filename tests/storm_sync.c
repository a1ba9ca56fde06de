/* SPDX-License-Identifier: MIT */
/*
 * The kill storm: storm_sync [KILLS [OBJECT...]]. See storm.h. In `make check` it makes some hundred kills;
 * by hand, 10000 take a few minutes. Its result is 0, or 1 with what was found on standard error.
 */
#include <config.h>

#include "tests/storm.h"

#include "base/deadline.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 5
#define KILLS 250
#define OBJECTS_MAX 32
#define NAP_MAX_NS 2000000
#define LINE 64
#define FAILED 99

static const struct storm_object *const tables[] = {storm_locks, storm_semaphores, storm_barriers};

struct place {
	const struct storm_object *type;
	char *object;
};

static struct place places[OBJECTS_MAX];
static size_t n_places;

/* Shared by all. */
static struct board {
	_Atomic bool over;
	_Atomic bool failed;
	char failure[512];
	_Atomic uint64_t steps[OBJECTS_MAX];
} * board;

void storm_fail(const char *format, ...)
{
	va_list ap;

	if (!atomic_exchange(&board->failed, true)) {
		va_start(ap, format);
		(void)vsnprintf(board->failure, sizeof(board->failure), format, ap);
		va_end(ap);
	}
	_exit(FAILED);
}

/* --- the guarded pair --------------------------------------------------------------------------------- */

static void dawdle(uint64_t random)
{
	for (uint64_t i = 0; i < random % 64; i++)
		__asm__ __volatile__("" ::: "memory");
	if (random / 64 % 64 == 0)
		(void)sched_yield();
}

void storm_pair_work(struct storm_pair *pair, int result, uint64_t random)
{
	if (result == MP_OWNER_DIED)
		pair->second = pair->first;
	STORM_CHECK(pair->first == pair->second);
	pair->first = pair->first + 1;
	dawdle(random);
	STORM_CHECK(pair->first == pair->second + 1);
	pair->second = pair->second + 1;
}

void storm_pair_look(struct storm_pair *pair, int result, uint64_t random)
{
	uint64_t first = pair->first;

	dawdle(random);
	STORM_CHECK(pair->first == first);
	if (result != MP_OWNER_DIED)
		STORM_CHECK(pair->second == first);
}

/* --- workers ---------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void *work(void *argument)
{
	uint64_t state = (uint64_t)mp__now_ns() ^ (uint64_t)gettid() << 40;

	(void)argument;
	for (int i = 0; i < 8; i++)
		(void)next_random(&state);
	while (!board->over && !board->failed) {
		size_t i = next_random(&state) % n_places;
		places[i].type->step(places[i].object, next_random(&state));
		atomic_fetch_add_explicit(&board->steps[i], 1, memory_order_relaxed);
	}
	return NULL;
}

static pid_t start_worker(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	pthread_t other;

	if (pid < 0) {
		perror("storm_sync: fork");
		exit(1);
	}
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || pthread_create(&other, NULL, work, NULL) != 0)
		_exit(FAILED);
	(void)work(NULL);
	(void)pthread_join(other, NULL);
	_exit(0);
}

/* --- the storm -------------------------------------------------------------------------------------- */

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static void make_objects(char **names)
{
	size_t size = (sizeof(*board) + LINE - 1) / LINE * LINE;
	size_t at = size;

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct storm_object *o = tables[t]; o->name; o++)
			size += (o->size + LINE - 1) / LINE * LINE;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("storm_sync: mmap");
		exit(1);
	}
	board = (struct board *)(void *)memory;
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct storm_object *o = tables[t]; o->name; o++) {
			if (!wanted(o->name, names) || n_places == OBJECTS_MAX)
				continue;
			places[n_places++] = (struct place){.type = o, .object = memory + at};
			o->make(memory + at);
			at += (o->size + LINE - 1) / LINE * LINE;
		}
}

static void nap(uint64_t random)
{
	struct timespec t = {.tv_nsec = (long)(random % NAP_MAX_NS)};

	nanosleep(&t, NULL);
}

/* Kill one, and one more in its place. False: it had ended by itself, which is for failures only. */
static bool strike(pid_t *worker)
{
	int status = 0;

	(void)kill(*worker, SIGKILL);
	if (waitpid(*worker, &status, 0) != *worker || !WIFSIGNALED(status))
		return false;
	*worker = start_worker();
	return true;
}

static bool all_end(pid_t *workers)
{
	mp__deadline deadline = mp__deadline_in(STORM_TIMEOUT_MS);
	bool good = true;

	for (int i = 0; i < WORKERS; i++) {
		int status = 0;
		while (waitpid(workers[i], &status, WNOHANG) == 0) {
			if (mp__deadline_passed(deadline)) {
				(void)fprintf(
					stderr, "storm_sync: worker %d hangs\n", (int)workers[i]);
				(void)kill(workers[i], SIGKILL);
				good = false;
			}
			nap(NAP_MAX_NS - 1);
		}
		good = good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	return good;
}

static void report(unsigned kills)
{
	(void)printf("# %u kills;", kills);
	for (size_t i = 0; i < n_places; i++)
		(void)printf(" %s %llu", places[i].type->name, (unsigned long long)board->steps[i]);
	(void)printf(" steps\n");
}

int main(int argc, char **argv)
{
	unsigned kills = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : KILLS;
	uint64_t state = (uint64_t)mp__now_ns() | 1;
	pid_t workers[WORKERS];
	unsigned done = 0;

	make_objects(argc > 2 ? argv + 2 : argv + argc);
	if (n_places == 0)
		return 1;
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start_worker();
	while (done < kills && !board->failed) {
		nap(next_random(&state));
		if (!strike(&workers[next_random(&state) % WORKERS]))
			break;
		done++;
	}
	board->over = true;
	bool good = all_end(workers) && done == kills;
	for (size_t i = 0; good && i < n_places; i++)
		places[i].type->finish(places[i].object);
	report(done);
	if (board->failed)
		(void)fprintf(stderr, "storm_sync: %s\n", board->failure);
	return good && !board->failed ? 0 : 1;
}
