/* SPDX-License-Identifier: MIT */
/*
 * Queues at full speed for a long time, with constant memory: soak_queue SECONDS.
 *
 * Two processes put and two get, in every way, through three queues: one that is bounded by
 * messages, one that grows and shrinks, and one with a name. The messages are of every size, and
 * others come, put and get a little, and go meanwhile. Every ten seconds producers rest until the
 * queues are drained: then all that was put must have been got, the queues must have given their
 * memory back, and no process may have more memory or descriptors of its own than after the warm-up.
 * A line tells the figures.
 *
 * `make stress` runs it for some seconds; an hour is for people.
 */
#include <config.h>

#include "base/deadline.h"
#include "queue/queue.h"
#include "tests/soak_use.h"

#include <errno.h>
#include <mp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUEUES 3
#define SIDE 2
#define BATCH 16
#define SMALL 200u
#define LARGE 60000u
#define ROOM (LARGE + 16) /* of one message */
#define WAIT_MS 60000
#define REPORT_MS 10000
/* Of an idle queue that has no consumers' cells. */
#define SHM_AT_REST (UINT64_C(64) << 10)
#define CHECK(condition)                                                                   \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "soak_queue: %d: %s (%s)\n", __LINE__, #condition, \
				mp_error_detail());                                        \
			_exit(1);                                                          \
		}                                                                          \
	} while (0)

/* Of each worker, on lines of their own. */
struct tally {
	_Alignas(128) _Atomic uint64_t count;
	_Atomic uint64_t sum; /* of the numbers in the messages */
};

static struct shared {
	struct tally put[SIDE + 1];
	struct tally got[SIDE + 1];
	_Atomic int stop;
} * shared;

static mp_queue *queues[QUEUES];
static mp_event *go;
static mp_semaphore *parked;

/* --- putting -------------------------------------------------------------------------------------- */

struct producer {
	struct tally *tally;
	uint64_t random;
	char data[BATCH][ROOM];
};

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

/* A message ends with a number; so does its encoding as a value. */
static size_t fill(struct producer *p, char *data)
{
	uint64_t number = next_random(&p->random);
	size_t more = next_random(&p->random) % (number % 1000 == 0 ? LARGE : SMALL);

	memcpy(data + more, &number, sizeof(number));
	p->tally->sum += number;
	p->tally->count++;
	return more + sizeof(number);
}

static void put_batch(struct producer *p, mp_queue *q, bool values)
{
	struct iovec bytes[BATCH];
	mp_obj objs[BATCH];
	int n;

	for (int i = 0; i < BATCH; i++) {
		size_t size = fill(p, p->data[i]);
		bytes[i] = (struct iovec){p->data[i], size};
		objs[i] = mp_bytes(p->data[i], size);
	}
	for (int done = 0; done < BATCH; done += n) {
		size_t left = (size_t)(BATCH - done);
		n = values ? mp_queue_put_many(q, objs + done, left, WAIT_MS)
			   : mp_queue_put_many_bytes(q, bytes + done, left, WAIT_MS);
		CHECK(n > 0);
	}
}

static void put(struct producer *p, mp_queue *q, unsigned way)
{
	void *room;

	if (way >= 3) {
		put_batch(p, q, way == 3);
		return;
	}
	size_t size = fill(p, p->data[0]);
	if (way == 0) {
		CHECK(mp_queue_put_bytes(q, p->data[0], size, WAIT_MS) == 0);
	} else if (way == 1) {
		CHECK(mp_queue_put(q, mp_bytes(p->data[0], size), WAIT_MS) == 0);
	} else {
		CHECK(mp_queue_reserve(q, size, WAIT_MS, &room) == 0);
		memcpy(room, p->data[0], size);
		CHECK(mp_queue_commit(q, size) == 0);
	}
}

static int produce(int argc, const mp_obj *argv)
{
	struct producer *p = calloc(1, sizeof(*p));

	CHECK(argc == 1 && p);
	memset(p, 1, sizeof(*p)); /* all of it is there, or the use would seem to grow */
	p->tally = &shared->put[mp_obj_i64(&argv[0])];
	p->random = (uint64_t)getpid();
	for (unsigned turn = 0; !shared->stop; turn++) {
		if (!mp_event_is_set(go)) {
			CHECK(mp_semaphore_release(parked) == 0);
			CHECK(mp_event_wait(go, MP_FOREVER) == 0);
		}
		put(p, queues[turn % QUEUES], (unsigned)next_random(&p->random) % 5);
	}
	free(p);
	return 0;
}

/* --- getting -------------------------------------------------------------------------------------- */

struct consumer {
	struct tally *tally;
	char buffer[BATCH * ROOM];
};

static void note(struct consumer *c, const void *data, size_t size)
{
	uint64_t number;

	CHECK(size >= sizeof(number));
	memcpy(&number, (const char *)data + size - sizeof(number), sizeof(number));
	c->tally->sum += number;
	c->tally->count++;
}

static int get_values(struct consumer *c, mp_queue *q, size_t max)
{
	mp_obj values[BATCH];
	int n = mp_queue_get_many(q, MP_NOWAIT, values, max);

	for (int i = 0; i < n; i++) {
		note(c, values[i].as.bytes, values[i].count);
		mp_obj_free(&values[i]);
	}
	return n;
}

static int get_bytes(struct consumer *c, mp_queue *q)
{
	struct iovec messages[BATCH];
	int n = mp_queue_get_many_bytes(
		q, MP_NOWAIT, c->buffer, sizeof(c->buffer), messages, BATCH);

	for (int i = 0; i < n; i++)
		note(c, messages[i].iov_base, messages[i].iov_len);
	return n;
}

static int get_in_place(struct consumer *c, mp_queue *q)
{
	const void *data;
	size_t size;
	int r = mp_queue_peek(q, MP_NOWAIT, &data, &size);

	if (r < 0)
		return r;
	note(c, data, size);
	CHECK(mp_queue_consume(q) == 0);
	return 1;
}

/* How many; 0 there is none. */
static int get(struct consumer *c, mp_queue *q, unsigned way)
{
	int n = way == 0   ? get_values(c, q, 1)
		: way == 1 ? get_values(c, q, BATCH)
		: way == 2 ? get_bytes(c, q)
			   : get_in_place(c, q);

	CHECK(n >= 0 || n == -EAGAIN || n == -EPIPE);
	return n > 0 ? n : 0;
}

static bool is_over(void)
{
	for (int i = 0; i < QUEUES; i++) {
		if (!mp_queue_is_shutdown(queues[i]) || !mp_queue_empty(queues[i]))
			return false;
	}
	return true;
}

static int consume(int argc, const mp_obj *argv)
{
	mp_waitable items[QUEUES];
	struct consumer *c = calloc(1, sizeof(*c));
	unsigned in_vain = 0;

	CHECK(argc == 1 && c);
	memset(c, 1, sizeof(*c));
	c->tally = &shared->got[mp_obj_i64(&argv[0])];
	for (int i = 0; i < QUEUES; i++)
		items[i] = MP_WAIT(queues[i]);
	for (unsigned turn = 0; !is_over(); turn++) {
		in_vain = get(c, queues[turn % QUEUES], turn / QUEUES % 4) > 0 ? 0 : in_vain + 1;
		if (in_vain >= QUEUES)
			CHECK(mp_wait(items, QUEUES, 20) >= -ETIMEDOUT);
	}
	free(c);
	return 0;
}

/* Somebody from outside, who knows a name: puts, gets, and goes. */
static int visit(int argc, const mp_obj *argv)
{
	struct producer *p = calloc(1, sizeof(*p));
	struct consumer *c = calloc(1, sizeof(*c));
	mp_queue *q;

	CHECK(argc == 1 && p && c && mp_queue_open(mp_obj_str(&argv[0]), &q) == 0);
	p->tally = &shared->put[SIDE];
	c->tally = &shared->got[SIDE];
	for (unsigned i = 0; i < 1000; i++) {
		put(p, q, i % 5);
		(void)get(c, q, i % 4);
	}
	mp_queue_close(q);
	free(p);
	free(c);
	return 0;
}

static mp_process *start(mp_target *target, mp_obj argument)
{
	mp_process *p;

	CHECK(mp_process_new(target, MP_ARGS(argument),
		      MP_PROCESS_OPTIONS(.start_method = MP_START_FORK, .daemon = true), &p) == 0);
	CHECK(mp_process_start(p) == 0);
	return p;
}

static void finish(mp_process *p)
{
	int code;

	CHECK(mp_process_join(p, WAIT_MS) == 0);
	CHECK(mp_process_exit_code(p, &code) == 0 && code == 0);
	CHECK(mp_process_close(p) == 0);
}

/* --- memory --------------------------------------------------------------------------------------- */

static struct soak_use use_of(pid_t pid)
{
	struct soak_use use;

	CHECK(soak_use_of(pid, &use));
	return use;
}

static uint64_t queue_memory(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < QUEUES; i++) {
		struct stat st;
		CHECK(fstat(queues[i]->segment.fd, &st) == 0);
		sum += (uint64_t)st.st_blocks * 512;
	}
	return sum;
}

struct sums {
	uint64_t count;
	uint64_t sum;
};

static struct sums total(struct tally tallies[SIDE + 1])
{
	struct sums sum = {0};

	for (int i = 0; i <= SIDE; i++) {
		sum.count += tallies[i].count;
		sum.sum += tallies[i].sum;
	}
	return sum;
}

/* Until nothing is in the queues any more and their memory is given back. */
static void settle(void)
{
	mp__deadline end = mp__deadline_in(WAIT_MS);

	while (total(shared->got).count != total(shared->put).count ||
		queue_memory() > QUEUES * SHM_AT_REST) {
		CHECK(!mp__deadline_passed(end));
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

/* --- the whole ------------------------------------------------------------------------------------ */

static mp_process *workers[2 * SIDE];
static struct soak_use warm[2 * SIDE + 1];
static uint64_t shm_most;

static void check_use(int64_t began, bool warming)
{
	struct soak_use now[2 * SIDE + 1];
	uint64_t rss = 0;
	uint64_t fds = 0;

	for (int i = 0; i <= 2 * SIDE; i++) {
		now[i] = use_of(i < 2 * SIDE ? mp_process_pid(workers[i]) : getpid());
		rss += now[i].rss;
		fds += now[i].fds;
		if (warming)
			warm[i] = now[i];
	}
	printf("%6lld s  %12llu messages  rss %6llu KiB  shm %4llu KiB (%llu at most)  %llu "
	       "descriptors\n",
		(long long)((mp__now_ns() - began) / 1000000000),
		(unsigned long long)total(shared->got).count, (unsigned long long)rss / 1024,
		(unsigned long long)queue_memory() / 1024, (unsigned long long)shm_most / 1024,
		(unsigned long long)fds);
	fflush(stdout);
	for (int i = 0; i <= 2 * SIDE; i++) {
		CHECK(now[i].rss <= warm[i].rss + SOAK_RSS_ROOM);
		CHECK(now[i].fds <= warm[i].fds + SOAK_FDS_ROOM);
	}
	CHECK(total(shared->got).sum == total(shared->put).sum);
}

static void work_for(int ms, const char *name)
{
	mp__deadline end = mp__deadline_in(ms);

	CHECK(mp_event_set(go) == 0);
	do {
		finish(start(visit, mp_str(name)));
		uint64_t shm = queue_memory();
		shm_most = shm > shm_most ? shm : shm_most;
	} while (!mp__deadline_passed(end));
	CHECK(mp_event_clear(go) == 0);
	for (int i = 0; i < SIDE; i++)
		CHECK(mp_semaphore_acquire(parked, WAIT_MS) >= 0);
}

static void set_up(void)
{
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	CHECK(mp_event_new(NULL, &go) == 0);
	CHECK(mp_semaphore_new(0, NULL, &parked) == 0);
	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.maxsize = 1000), &queues[0]) == 0);
	CHECK(mp_queue_new(MP_QUEUE_OPTIONS(.max_bytes = 32 << 20), &queues[1]) == 0);
	CHECK(mp_queue_create(NULL, MP_QUEUE_OPTIONS(.maxsize = 300), &queues[2]) == 0);
	for (int i = 0; i < 2 * SIDE; i++)
		workers[i] = start(i < SIDE ? produce : consume, mp_i64(i % SIDE));
}

static void tear_down(void)
{
	shared->stop = 1;
	CHECK(mp_event_set(go) == 0);
	for (int i = 0; i < SIDE; i++)
		finish(workers[i]);
	for (int i = 0; i < QUEUES; i++)
		CHECK(mp_queue_shutdown(queues[i], MP_QUEUE_DRAIN) == 0);
	for (int i = SIDE; i < 2 * SIDE; i++)
		finish(workers[i]);
	CHECK(total(shared->got).count == total(shared->put).count);
	CHECK(total(shared->got).sum == total(shared->put).sum);
	for (int i = 0; i < QUEUES; i++)
		mp_queue_close(queues[i]);
	mp_semaphore_close(parked);
	mp_event_close(go);
}

int main(int argc, char **argv)
{
	int64_t began = mp__now_ns();

	mp_begin(&argc, &argv);
	long seconds = argc == 2 ? atol(argv[1]) : 0;
	if (seconds <= 0) {
		fprintf(stderr, "usage: soak_queue SECONDS\n");
		return 2;
	}
	int report_ms = seconds * 1000 / 5 < REPORT_MS ? (int)seconds * 200 : REPORT_MS;
	set_up();
	for (int i = 0; i < 2 || mp__now_ns() - began < seconds * 1000000000; i++) {
		work_for(report_ms, mp_queue_name(queues[2]));
		settle();
		check_use(began, i < 2);
	}
	tear_down();
	return 0;
}
