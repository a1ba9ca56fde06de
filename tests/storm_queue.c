/* SPDX-License-Identifier: MIT */
/*
 * Leased and ordered queues in a storm of SIGKILLs: producers put numbered messages, consumers lease
 * and acknowledge them, or just get them; one after the other is killed at any instant, and another
 * one takes its place. With leases every message that was committed is acknowledged once or set aside,
 * comes again marked as redelivered only, and never after it was acknowledged; without, a killed
 * consumer takes one message with it at most. Nobody hangs, and no memory is left over.
 *
 * MP_STORM_KILLS says how many, 300 for each kind of queue if it does not.
 */
#include <config.h>

#include <errno.h>
#include <mp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "queue/store.h"

#define N_SIDE 3
#define N_MESSAGES (1u << 24) /* of each producer, at most */
#define MAX_DELIVERIES 6
/* A wait that takes so long hangs. Longer than any machine needs. */
#define WAIT_MS 60000

struct sea {
	mp_queue *q;
	bool leases;
	_Atomic bool calm; /* producers end */
	_Atomic long kills;
	struct {
		_Atomic uint32_t trying; /* number + 1 that is being put */
		_Atomic uint32_t put;    /* number + 1 that was put last */
	} producer[N_SIDE];
	_Atomic uint64_t ending[N_SIDE]; /* 1 + the message that this consumer acknowledges */
	_Atomic uint8_t seen[N_SIDE][N_MESSAGES];
	_Atomic uint8_t ended[N_SIDE][N_MESSAGES];
	_Atomic uint8_t unknown[N_SIDE][N_MESSAGES]; /* somebody died over its put or end */
};

struct message {
	uint32_t producer;
	uint32_t number;
	uint32_t check;
	char more[500];
};

static struct sea *sea;

#define CHECK(condition)                                                                         \
	do {                                                                                     \
		if (!(condition)) {                                                              \
			fprintf(stderr, "%s:%d: %s (%s), after %ld kills\n", __FILE__, __LINE__, \
				#condition, mp_error_detail(), atomic_load(&sea->kills));        \
			_exit(1);                                                                \
		}                                                                                \
	} while (0)

/* --- producers and consumers ---------------------------------------------------------------------- */

static void produce(int me)
{
	struct message m = {.producer = (uint32_t)me};

	while (!sea->calm && sea->producer[me].trying + 1 < N_MESSAGES) {
		uint32_t n = sea->producer[me].trying;
		sea->producer[me].trying = n + 1;
		m.number = n;
		m.check = ~n;
		size_t size = offsetof(struct message, more) + n % sizeof(m.more);
		if (sea->q->store->order == MP_QUEUE_PRIORITY)
			CHECK(mp_queue_put_priority_bytes(sea->q, &m, size, n % 10, WAIT_MS) == 0);
		else
			CHECK(mp_queue_put_bytes(sea->q, &m, size, WAIT_MS) == 0);
		sea->producer[me].put = n + 1;
	}
}

static void look_at(const struct message *m, size_t size)
{
	CHECK(size >= offsetof(struct message, more) && m->producer < N_SIDE &&
		m->number < N_MESSAGES && m->check == ~m->number &&
		size == offsetof(struct message, more) + m->number % sizeof(m->more));
}

/* With a lease. False: there is no more. */
static bool work(int me, unsigned random)
{
	mp_lease lease;
	size_t size;
	void *data;
	int r = mp_queue_lease_bytes(sea->q, WAIT_MS, &data, &size, &lease);

	if (r == -EPIPE)
		return false;
	CHECK(r == 0);
	const struct message *m = data;
	look_at(m, size);
	uint32_t p = m->producer;
	uint32_t n = m->number;
	CHECK(lease.redelivered == (lease.deliveries > 1) && lease.deliveries <= MAX_DELIVERIES);
	CHECK(sea->ended[p][n] == 0);
	CHECK(sea->seen[p][n] == 0 || lease.redelivered);
	sea->seen[p][n] = 1;
	free(data);
	if (random % 8 == 0) {
		CHECK(mp_queue_nack(sea->q, lease) == 0);
		return true;
	}
	sea->ending[me] = 1 + ((uint64_t)p << 32 | n);
	CHECK(mp_queue_ack(sea->q, lease) == 0);
	sea->ended[p][n]++;
	sea->ending[me] = 0;
	return true;
}

/* Without one. */
static bool take(void)
{
	struct message m;
	size_t size;
	int r = mp_queue_get_bytes_into(sea->q, &m, sizeof(m), WAIT_MS, &size);

	if (r == -EPIPE)
		return false;
	CHECK(r == 0);
	look_at(&m, size);
	sea->ended[m.producer][m.number]++;
	return true;
}

static void consume(int me)
{
	unsigned random = (unsigned)getpid();

	do
		random = random * 1103515245 + 12345;
	while (sea->leases ? work(me, random >> 16) : take());
}

/* --- the storm ------------------------------------------------------------------------------------ */

static pid_t start(int which)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (which < N_SIDE)
			produce(which);
		else
			consume(which - N_SIDE);
		_exit(0);
	}
	return pid;
}

static void kill_one(pid_t pids[], int which)
{
	int status;

	kill(pids[which], SIGKILL);
	CHECK(waitpid(pids[which], &status, 0) == pids[which]);
	/* A producer may have put all that it may; nobody else ends by himself. */
	CHECK(WIFSIGNALED(status) || (which < N_SIDE && WEXITSTATUS(status) == 0));
	if (which < N_SIDE && sea->producer[which].trying != sea->producer[which].put) {
		sea->unknown[which][sea->producer[which].trying - 1] = 1;
	} else if (which >= N_SIDE && sea->ending[which - N_SIDE] != 0) {
		uint64_t m = sea->ending[which - N_SIDE] - 1;
		sea->unknown[m >> 32][(uint32_t)m] = 1;
		sea->ending[which - N_SIDE] = 0;
	}
	sea->kills++;
	pids[which] = start(which);
}

static void expect_end(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The storm, and a calm in which all comes to its end. */
static void blow(long kills)
{
	unsigned random = (unsigned)getpid() ^ (unsigned)time(NULL);
	pid_t pids[2 * N_SIDE];

	for (int i = 0; i < 2 * N_SIDE; i++)
		pids[i] = start(i);
	for (long k = 0; k < kills; k++) {
		random = random * 1103515245 + 12345;
		struct timespec pause = {.tv_nsec = (random >> 8) % 2000000};
		nanosleep(&pause, NULL);
		kill_one(pids, (int)(random >> 16) % (2 * N_SIDE));
	}
	sea->calm = true;
	for (int i = 0; i < N_SIDE; i++)
		expect_end(pids[i]);
	CHECK(mp_queue_shutdown(sea->q, MP_QUEUE_DRAIN) == 0);
	for (int i = N_SIDE; i < 2 * N_SIDE; i++)
		expect_end(pids[i]);
}

static void empty_the_poison(void)
{
	mp_obj value;

	while (mp_queue_poison_count(sea->q) > 0) {
		CHECK(mp_queue_poison_get(sea->q, &value) == 0);
		const struct message *m = value.as.bytes;
		look_at(m, value.count);
		sea->ended[m->producer][m->number]++;
		mp_obj_free(&value);
	}
}

static uint64_t check(void)
{
	struct mp__queue_wait wait = mp__queue_wait_of(WAIT_MS);
	mp_heap_stats stats;
	uint64_t total = 0;
	long lost = 0;

	for (int p = 0; p < N_SIDE; p++) {
		for (uint32_t n = 0; n < sea->producer[p].trying; n++) {
			CHECK(sea->ended[p][n] <= 1);
			total += sea->ended[p][n];
			if (sea->ended[p][n] == 0 && n < sea->producer[p].put) {
				CHECK(!sea->leases || sea->unknown[p][n]);
				lost++;
			}
		}
	}
	CHECK(lost <= sea->kills);
	CHECK(mp_queue_size(sea->q) == 0 && mp_queue_leased(sea->q) == 0);
	CHECK(mp_queue_bytes(sea->q) == 0);
	/* What the killed have left of blocks goes with the next repair. */
	CHECK(mp__store_enter(sea->q, &wait) == 0);
	CHECK(mp__store_repair(sea->q) == 0);
	mp__guard_leave(&sea->q->control->get_guard);
	CHECK(mp_heap_check(sea->q->store->heap) == 0);
	CHECK(mp_heap_stat(sea->q->store->heap, &stats) == 0);
	CHECK(stats.n_used == 1 + sea->q->store->n_chunks);
	return total;
}

static void storm(const char *what, const mp_queue_options *options, long kills)
{
	sea = mmap(NULL, sizeof(*sea), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sea == MAP_FAILED)
		_exit(1);
	sea->leases = options->leases;
	CHECK(mp_queue_new(options, &sea->q) == 0);
	blow(kills);
	empty_the_poison();
	uint64_t total = check();
	printf("%s: %ld kills, %llu messages\n", what, kills, (unsigned long long)total);
	mp_queue_close(sea->q);
	munmap(sea, sizeof(*sea));
}

int main(void)
{
	const char *wanted = getenv("MP_STORM_KILLS");
	long kills = wanted ? atol(wanted) : 300;

	storm("leases",
		MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = MAX_DELIVERIES, .maxsize = 500),
		kills);
	storm("leases in order of priority",
		MP_QUEUE_OPTIONS(.leases = true, .max_deliveries = MAX_DELIVERIES, .maxsize = 500,
			.order = MP_QUEUE_PRIORITY),
		kills);
	storm("order of priority", MP_QUEUE_OPTIONS(.order = MP_QUEUE_PRIORITY, .maxsize = 500),
		kills);
	storm("last in, first out", MP_QUEUE_OPTIONS(.order = MP_QUEUE_LIFO, .maxsize = 500),
		kills);
	return 0;
}
