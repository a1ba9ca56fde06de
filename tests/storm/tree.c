/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "tests/storm/tree.h"

#include "base/deadline.h"
#include "process/forkserver.h"
#include "tests/storm/hands.h"
#include "tests/storm/strike.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE 128
#define PLACES_MAX 64
#define HANDS 4
/* A child may die before it reaches its target, many times in a row when it is told to. */
#define TRIES 100

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct storm_capability *const table[] = {
	&storm_lock,
	&storm_rlock,
	&storm_rwlock,
	&storm_permits,
	&storm_counted,
	&storm_single,
	&storm_event,
	&storm_barrier,
	&storm_condition,
	&storm_value,
	&storm_heap,
	&storm_list,
	&storm_block,
	&storm_wait,
	&storm_queue,
	&storm_joinable,
	&storm_sorted,
	&storm_leased,
	&storm_pipe,
	&storm_socket,
	&storm_kin,
	&storm_pool,
#ifdef ENABLE_MANAGER
	&storm_dict,
	&storm_managed,
#endif
};

struct storm_board *storm_board;

/* What everybody agrees about: a bit for each entry of the table, and from that where it stands. */
static uint64_t chosen = UINT64_MAX;
static uint64_t taking_part;
static char *places_of[COUNT(table)];

/* The storm's own. */
static struct place {
	const struct storm_capability *capability; /* NULL: hands */
	size_t entry;
	int role;
	int index;
	mp_process *process; /* NULL: it has left */
} places[PLACES_MAX];
static int n_places;
static int memory_fd = -1;
static size_t memory_size;
static uint64_t random_state;

static pid_t spared;

void storm_spare(pid_t pid)
{
	spared = pid;
}

bool storm_spares(pid_t pid)
{
	return pid == spared;
}

/* --- what stands where ------------------------------------------------------------------------------- */

static bool takes_part(size_t entry)
{
	return taking_part >> entry & 1;
}

static size_t lines(size_t size)
{
	return (size + LINE - 1) / LINE * LINE;
}

static size_t lay_out(char *memory)
{
	size_t at = lines(sizeof(struct storm_board));

	for (size_t i = 0; i < COUNT(table); i++) {
		if (!takes_part(i))
			continue;
		if (memory)
			places_of[i] = memory + at;
		at += lines(table[i]->size);
	}
	return at;
}

static bool map_memory(int fd, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return false;
	storm_board = memory;
	memset(places_of, 0, sizeof(places_of));
	(void)lay_out(memory);
	return true;
}

bool storm_choose(const char *name)
{
	chosen = name ? 0 : UINT64_MAX;
	for (size_t i = 0; name && i < COUNT(table); i++)
		if (strcmp(table[i]->name, name) == 0)
			chosen |= UINT64_C(1) << i;
	taking_part = chosen;
	return chosen != 0;
}

static bool passes(const struct storm_capability *c, const char *point)
{
	for (const char *at = c->points; *at;) {
		size_t length = strcspn(at, " ");
		if (strncmp(at, point, length) == 0)
			return true;
		at += length + strspn(at + length, " ");
	}
	return false;
}

bool storm_choose_for_point(const char *point)
{
	taking_part = 0;
	for (size_t i = 0; point && i < COUNT(table); i++)
		if ((chosen >> i & 1) && passes(table[i], point))
			taking_part |= UINT64_C(1) << i;
	if (!point)
		taking_part = chosen;
	return taking_part != 0;
}

void storm_print_capabilities(void)
{
	for (size_t i = 0; i < COUNT(table); i++)
		fprintf(stderr, " %s", table[i]->name);
}

/* --- in a process of the tree ------------------------------------------------------------------------- */

static void leave_at_once(int signal)
{
	(void)signal;
	_exit(STORM_EXIT);
}

static void take_all(const mp_obj *given)
{
	for (size_t i = 0, n = 0; i < COUNT(table); i++)
		if (takes_part(i) && table[i]->give)
			table[i]->take(&given->as.items[n++]);
}

mp_obj storm_tree_memory(void)
{
	static mp_obj items[3];

	items[0] = mp_fd(memory_fd);
	items[1] = mp_u64(memory_size);
	items[2] = mp_u64(taking_part);
	return mp_list_of(items, 3);
}

static bool find_memory(const mp_obj *memory)
{
	uint64_t size = 0;

	if (mp_obj_len(memory) != 3 || mp_obj_to_u64(&memory->as.items[1], &size) < 0 ||
		mp_obj_to_u64(&memory->as.items[2], &taking_part) < 0)
		return false;
	memory_fd = mp_obj_fd(&memory->as.items[0]);
	memory_size = size;
	return map_memory(memory_fd, memory_size);
}

void *storm_tree_find(const mp_obj *memory, const struct storm_capability *capability)
{
	(void)signal(SIGTERM, leave_at_once);
	if (!find_memory(memory))
		return NULL;
	for (size_t i = 0; i < COUNT(table); i++)
		if (table[i] == capability)
			return places_of[i];
	return NULL;
}

/* (memory, entry, role, index, random, handles) */
static int enter(int argc, const mp_obj *argv)
{
	uint64_t random = 0;

	(void)signal(SIGTERM, leave_at_once);
	if (argc != 6 || !find_memory(&argv[0]) || mp_obj_to_u64(&argv[4], &random) < 0)
		return STORM_FAILED;
	size_t entry = (size_t)mp_obj_i64(&argv[1]);
	take_all(&argv[5]);
	if (entry < COUNT(table))
		table[entry]->roles[mp_obj_i64(&argv[2])].run(
			places_of[entry], (int)mp_obj_i64(&argv[3]), random);
	else
		storm_hands(table, places_of, COUNT(table), random);
	return 0;
}

/* --- starting ------------------------------------------------------------------------------------------ */

static int any_method(void)
{
	static const int methods[] = {
		MP_START_FORK, MP_START_FORK, MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER};

	return methods[storm_random(&random_state) % COUNT(methods)];
}

static mp_obj handles(mp_obj *items)
{
	size_t n = 0;

	for (size_t i = 0; i < COUNT(table); i++)
		if (takes_part(i) && table[i]->give)
			items[n++] = table[i]->give();
	return mp_list_of(items, n);
}

static void start(struct place *p)
{
	mp_obj items[COUNT(table)];
	mp_obj given = handles(items);
	int method = any_method();
	uint64_t random = storm_random(&random_state);
	int r = -EOWNERDEAD;

	STORM_CHECK(mp_process_new(enter,
			    MP_ARGS(storm_tree_memory(), mp_i64((int64_t)p->entry), mp_i64(p->role),
				    mp_i64(p->index), mp_u64(random), given),
			    MP_PROCESS_OPTIONS(.start_method = method, .daemon = true,
				    .start_timeout_ms = STORM_TIMEOUT_MS),
			    &p->process) == 0);
	for (int i = 0; r == -EOWNERDEAD && i < TRIES; i++)
		r = mp_process_start(p->process);
	STORM_CALL(r);
	if (r < 0) {
		(void)mp_process_close(p->process);
		p->process = NULL;
	}
}

static void add_place(size_t entry, int role, int index)
{
	struct place *p = &places[n_places];

	if (n_places == PLACES_MAX)
		return;
	n_places++;
	*p = (struct place){.entry = entry, .role = role, .index = index};
	p->capability = entry < COUNT(table) ? table[entry] : NULL;
	start(p);
}

void storm_tree_begin(uint64_t seed)
{
	bool hands = false;

	random_state = seed;
	memory_size = lay_out(NULL);
	memory_fd = memfd_create("storm", MFD_CLOEXEC);
	if (memory_fd < 0 || ftruncate(memory_fd, (off_t)memory_size) < 0 ||
		!map_memory(memory_fd, memory_size)) {
		perror("storm: shared memory");
		_exit(STORM_FAILED);
	}
	storm_board->seed = seed;
	for (size_t i = 0; i < COUNT(table); i++)
		if (takes_part(i))
			table[i]->make(places_of[i]);
	n_places = 0;
	for (size_t i = 0; i < COUNT(table); i++) {
		if (!takes_part(i))
			continue;
		hands = hands || table[i]->step;
		for (int role = 0; role < STORM_ROLES_MAX; role++)
			for (int k = 0; k < table[i]->roles[role].count; k++)
				add_place(i, role, k);
	}
	for (int k = 0; hands && k < HANDS; k++)
		add_place(COUNT(table), 0, k);
}

/* --- ends ------------------------------------------------------------------------------------------------ */

static bool is_last(const struct place *p)
{
	return p->capability && p->capability->roles[p->role].last;
}

static const char *name_of(const struct place *p)
{
	return p->capability ? p->capability->roles[p->role].name : "hands";
}

/* It has ended. True: somebody ended it. */
static bool look_at_end(struct place *p)
{
	int code = -ESRCH;

	STORM_CALL(mp_process_join(p->process, STORM_TIMEOUT_MS));
	int r = mp_process_exit_code(p->process, &code);
	bool struck = r == -ESRCH || code == -SIGKILL || code == -SIGTERM || code == STORM_EXIT;
	if (!struck && (code != 0 || storm_blows()))
		storm_fail(STORM_LOST, "%s %d ended with %d (%s)", name_of(p), p->index, code,
			mp_process_name(p->process));
	(void)mp_process_close(p->process);
	p->process = NULL;
	if (!struck)
		return false;
	storm_board->ended++;
	if (p->capability && p->capability->died)
		p->capability->died(places_of[p->entry], p->role, p->index);
	return true;
}

int storm_tree_tend(long wait_ns)
{
	struct timespec wait = {.tv_nsec = wait_ns};
	struct pollfd fds[PLACES_MAX];
	struct place *who[PLACES_MAX];
	nfds_t n = 0;
	int ends = 0;

	for (int i = 0; i < n_places; i++)
		if (places[i].process) {
			who[n] = &places[i];
			fds[n++] = (struct pollfd){
				.fd = mp_process_sentinel(places[i].process), .events = POLLIN};
		}
	if (ppoll(fds, n, &wait, NULL) <= 0)
		return 0;
	for (nfds_t i = 0; i < n; i++) {
		if (fds[i].revents == 0)
			continue;
		bool struck = look_at_end(who[i]);
		ends++;
		if (struck && (storm_blows() || (is_last(who[i]) && !storm_drains())))
			start(who[i]);
	}
	return ends;
}

/* Those whose turn it is to leave. */
static int count_stayers(bool last_too)
{
	int n = 0;

	for (int i = 0; i < n_places; i++)
		n += places[i].process && (last_too || !is_last(&places[i]));
	return n;
}

static void wait_for_all(bool last_too)
{
	mp__deadline deadline = mp__deadline_in(STORM_TIMEOUT_MS);

	while (count_stayers(last_too) > 0 && !mp__deadline_passed(deadline)) {
		(void)storm_tree_tend(20000000);
		/* Who came to a point at the last instant, and stands there. */
		(void)storm_end_stopped();
	}
	for (int i = 0; i < n_places; i++) {
		struct place *p = &places[i];
		if (!p->process || (!last_too && is_last(p)))
			continue;
		storm_fail(STORM_HUNG, "%s %d, pid %d, does not leave", name_of(p), p->index,
			mp_process_pid(p->process));
		(void)mp_process_kill(p->process);
		(void)look_at_end(p);
	}
}

static void finish_all(void)
{
	bool failed = storm_board->failed;
	uint32_t found[STORM_FINDINGS];

	for (int i = 0; i < STORM_FINDINGS; i++)
		found[i] = storm_board->found[i];
	for (size_t i = 0; i < COUNT(table); i++)
		if (takes_part(i))
			table[i]->finish(places_of[i]);
	/* When one has found something all others leave, and what they leave undone means nothing. */
	for (int i = 0; failed && i < STORM_FINDINGS; i++)
		storm_board->found[i] = found[i];
}

void storm_tree_end(void)
{
	atomic_store(&storm_board->phase, STORM_OVER);
	wait_for_all(false);
	atomic_store(&storm_board->phase, STORM_DRAINS);
	wait_for_all(true);
	finish_all();
	mp__forkserver_stop();
	close(memory_fd);
}

void storm_tree_forget(void)
{
	munmap(storm_board, memory_size);
	storm_board = NULL;
}
