/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "sync/order.h"

#include "base/error.h"
#include "base/log.h"
#include "base/origin.h"
#include "base/stamp.h"
#include "base/testpoint.h"
#include "shm/memory.h"
#include "sync/order_layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_MAX 64
#define KNOWN_MAX 256 /* a power of two */
#define ANCESTORS_MAX 32
#define NO_EDGE UINT16_MAX
#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

_Static_assert(MP__ORDER_EDGES < NO_EDGE, "edges are counted in 16 bits");

bool mp__order_on;
static bool aborts;
static struct mp__order *order;

/* What this thread has, and edges that it knows to be there. */
static __thread struct {
	mp__origin origin;
	size_t n_held;
	struct mp__order_lock held[HELD_MAX];
	uint64_t known[KNOWN_MAX][2];
} self;

/* --- the memory -------------------------------------------------------------------------------------- */

static struct mp__order *map(int fd)
{
	void *at = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static struct mp__order *make(void)
{
	int fd = mp__memory_new(MP__ORDER_NAME, 0, sizeof(*order), sizeof(*order),
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, "the order of locks");
	struct mp__order *made = fd < 0 ? NULL : map(fd);

	if (made)
		made->magic = MP__ORDER_MAGIC;
	return made;
}

/* The descriptor stays open, for descendants to find. */
static struct mp__order *open_of(int dir, const char *name)
{
	const char wanted[] = "/memfd:" MP__ORDER_NAME " (deleted)";
	char target[64];
	struct stat st;

	ssize_t n = readlinkat(dir, name, target, sizeof(target));
	if (n != (ssize_t)sizeof(wanted) - 1 || memcmp(target, wanted, (size_t)n) != 0)
		return NULL;
	int fd = openat(dir, name, O_RDWR | O_CLOEXEC);
	int seals = fd < 0 ? 0 : fcntl(fd, F_GET_SEALS);
	struct mp__order *found = NULL;
	if (seals > 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 &&
		st.st_size == (off_t)sizeof(*order))
		found = map(fd);
	if (found && found->magic != MP__ORDER_MAGIC) {
		munmap(found, sizeof(*found));
		found = NULL;
	}
	if (!found && fd >= 0)
		close(fd);
	return found;
}

static struct mp__order *find_in(int pid)
{
	struct mp__order *found = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && !found && (e = readdir(dir));)
		found = open_of(dirfd(dir), e->d_name);
	if (dir)
		closedir(dir);
	return found;
}

static int parent_of(int pid)
{
	char path[64];
	char line[512] = "";
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *stat = fopen(path, "re");
	char *end = stat && fgets(line, sizeof(line), stat) ? strrchr(line, ')') : NULL;
	if (end && sscanf(end + 1, " %*c %d", &parent) != 1)
		parent = 0;
	if (stat)
		fclose(stat);
	return parent;
}

static struct mp__order *find_in_ancestors(void)
{
	struct mp__order *found = NULL;
	int pid = getppid();

	for (int i = 0; i < ANCESTORS_MAX && pid > 1 && !found; i++) {
		found = find_in(pid);
		pid = parent_of(pid);
	}
	return found;
}

void mp__order_begin(const char *mode)
{
	if (!mode || strcmp(mode, "") == 0 || strcmp(mode, "0") == 0)
		return;
	aborts = strcmp(mode, "abort") == 0;
	if (!order)
		order = find_in_ancestors();
	if (!order)
		order = make();
	mp__order_on = order != NULL;
	if (!order)
		fprintf(stderr, "libmp: MP_LOCK_DEBUG: %s\n", mp_error_detail());
}

__attribute__((constructor)) static void begin_by_environment(void)
{
	mp__order_begin(secure_getenv("MP_LOCK_DEBUG"));
}

/* --- what is said ----------------------------------------------------------------------------------- */

static void say(const char *text)
{
	if (mp__log_is_heard(MP_LOG_WARNING))
		mp__log(MP_LOG_WARNING, "lock-order", "%s", text);
	else
		mp_log_stderr(MP_LOG_WARNING, "lock-order", text, NULL);
}

/* By one process of the family. */
static void say_once(_Atomic uint32_t *said, const char *text)
{
	if (!atomic_load_explicit(said, memory_order_relaxed) && !atomic_exchange(said, 1))
		say(text);
}

/* --- edges ---------------------------------------------------------------------------------------------- */

static size_t edges_now(void)
{
	uint32_t used = atomic_load(&order->used);

	return used < MP__ORDER_EDGES ? used : MP__ORDER_EDGES;
}

static bool is_edge(size_t i)
{
	return atomic_load_explicit(&order->edges[i].state, memory_order_acquire) ==
	       MP__ORDER_READY;
}

static bool is_there(uint64_t from, uint64_t to)
{
	size_t n = edges_now();

	for (size_t i = 0; i < n; i++) {
		if (is_edge(i) && order->edges[i].from.id == from && order->edges[i].to.id == to)
			return true;
	}
	return false;
}

static void add(const struct mp__order_lock *from, const struct mp__order_lock *to)
{
	uint32_t place = atomic_load(&order->used) < MP__ORDER_EDGES
				 ? atomic_fetch_add(&order->used, 1)
				 : MP__ORDER_EDGES;

	if (place >= MP__ORDER_EDGES) {
		say_once(&order->said_full,
			"more than " STRING(
				MP__ORDER_EDGES) " pairs of locks: new ones are not watched");
		return;
	}
	struct mp__order_edge *edge = &order->edges[place];
	edge->from = *from;
	edge->to = *to;
	edge->tid = mp__stamp_tid(mp__stamp_self());
	edge->pid = getpid();
	prctl(PR_GET_NAME, edge->thread);
	MP__TEST_POINT("order.edge");
	atomic_store_explicit(&edge->state, MP__ORDER_READY, memory_order_release);
}

/* --- cycles ----------------------------------------------------------------------------------------------- */

/*
 * Breadth first, so the shortest way: before[i] is the edge that led to edge i. The last edge of a way
 * from one lock to another, or NO_EDGE.
 */
static uint16_t find_way(uint64_t from, uint64_t to, uint16_t before[MP__ORDER_EDGES],
	uint16_t queue[MP__ORDER_EDGES], bool seen[MP__ORDER_EDGES])
{
	size_t n = edges_now();
	size_t n_queue = 0;
	uint16_t last = NO_EDGE;
	uint64_t at = from;

	for (size_t done = 0;; done++) {
		for (size_t i = 0; i < n; i++) {
			if (seen[i] || !is_edge(i) || order->edges[i].from.id != at)
				continue;
			seen[i] = true;
			before[i] = last;
			if (order->edges[i].to.id == to)
				return (uint16_t)i;
			queue[n_queue++] = (uint16_t)i;
		}
		if (done == n_queue)
			return NO_EDGE;
		last = queue[done];
		at = order->edges[last].to.id;
	}
}

/* Others write to that memory: names end where they should. */
#define LOCK_FORMAT "%s '%.*s'"
#define LOCK_ARGUMENTS(lock) kind_of(lock), MP__SYNC_NAME_SIZE - 1, (lock)->name

static const char *kind_of(const struct mp__order_lock *lock)
{
	const char *kind = mp__sync_kind_of(lock->kind);

	return kind ? kind : "lock";
}

static void report(const struct mp__order_lock *held, const struct mp__order_lock *wanted,
	const uint16_t *before, uint16_t last)
{
	char thread[MP__ORDER_THREAD_SIZE] = "";
	char text[400];

	prctl(PR_GET_NAME, thread);
	snprintf(text, sizeof(text),
		"inversion: thread %d (%s) of process %d wants " LOCK_FORMAT
		" while it has " LOCK_FORMAT,
		(int)mp__stamp_tid(mp__stamp_self()), thread, (int)getpid(), LOCK_ARGUMENTS(wanted),
		LOCK_ARGUMENTS(held));
	say(text);
	for (uint16_t i = last; i != NO_EDGE; i = before[i]) {
		const struct mp__order_edge *e = &order->edges[i];
		snprintf(text, sizeof(text),
			"but thread %d (%.*s) of process %d wanted " LOCK_FORMAT
			" while it had " LOCK_FORMAT,
			(int)e->tid, MP__ORDER_THREAD_SIZE - 1, e->thread, (int)e->pid,
			LOCK_ARGUMENTS(&e->to), LOCK_ARGUMENTS(&e->from));
		say(text);
	}
	if (aborts)
		abort();
}

static void look_for_cycle(const struct mp__order_lock *held, const struct mp__order_lock *wanted)
{
	struct {
		uint16_t before[MP__ORDER_EDGES];
		uint16_t queue[MP__ORDER_EDGES];
		bool seen[MP__ORDER_EDGES];
	} *room = calloc(1, sizeof(*room));

	if (!room)
		return;
	uint16_t last = find_way(wanted->id, held->id, room->before, room->queue, room->seen);
	if (last != NO_EDGE)
		report(held, wanted, room->before, last);
	free(room);
}

/* --- what locks tell ------------------------------------------------------------------------------------- */

/* A forked child has nothing of what its parent had. */
static void begin_here(void)
{
	if (mp__origin_is_here(self.origin))
		return;
	self.n_held = 0;
	self.origin = mp__origin_here();
}

static uint64_t id_of(_Atomic uint64_t *id)
{
	uint64_t known = atomic_load_explicit(id, memory_order_relaxed);
	uint64_t made = 0;

	while (known == 0 && made == 0) {
		if (getrandom(&made, sizeof(made), 0) != sizeof(made))
			made = (uintptr_t)id ^ mp__stamp_self();
	}
	if (known == 0 && !atomic_compare_exchange_strong(id, &known, made))
		return known;
	return known ? known : made;
}

static struct mp__order_lock describe(const struct mp__sync_head *head, _Atomic uint64_t *id)
{
	struct mp__order_lock lock = {
		.id = id_of(id), .kind = atomic_load_explicit(&head->magic, memory_order_relaxed)};

	mp__sync_name(head, lock.name);
	return lock;
}

static bool is_known(uint64_t from, uint64_t to)
{
	uint64_t *pair = self.known[(from * 31 + to) % KNOWN_MAX];

	if (pair[0] == from && pair[1] == to)
		return true;
	pair[0] = from;
	pair[1] = to;
	return is_there(from, to);
}

void mp__order_note_wanted(const struct mp__sync_head *head, _Atomic uint64_t *id)
{
	int e = errno;

	begin_here();
	if (self.n_held > 0) {
		struct mp__order_lock wanted = describe(head, id);
		for (size_t i = 0; i < self.n_held; i++) {
			const struct mp__order_lock *held = &self.held[i];
			if (held->id == wanted.id || is_known(held->id, wanted.id))
				continue;
			/*
			 * Said first, looked at then, with a fence between: of two threads that take
			 * opposite orders at the same instant one at least sees the other's.
			 */
			add(held, &wanted);
			atomic_thread_fence(memory_order_seq_cst);
			look_for_cycle(held, &wanted);
		}
	}
	errno = e;
}

void mp__order_note_taken(const struct mp__sync_head *head, _Atomic uint64_t *id)
{
	int e = errno;

	begin_here();
	if (self.n_held < HELD_MAX)
		self.held[self.n_held++] = describe(head, id);
	else
		say_once(&order->said_many,
			"a thread has more than " STRING(
				HELD_MAX) " locks at once: what it takes beyond is not watched");
	errno = e;
}

void mp__order_note_given(_Atomic uint64_t *id)
{
	uint64_t it = atomic_load_explicit(id, memory_order_relaxed);

	begin_here();
	for (size_t i = self.n_held; i > 0; i--) {
		if (self.held[i - 1].id != it)
			continue;
		memmove(&self.held[i - 1], &self.held[i], (self.n_held - i) * sizeof(self.held[0]));
		self.n_held--;
		return;
	}
}
