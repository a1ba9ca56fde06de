/* SPDX-License-Identifier: MIT */
/*
 * Boost.Interprocess as a peer: an empty call to another process and back, by two message_queues in
 * shared memory, one for each direction; and blocks of its managed shared memory.
 */
#include <config.h>

extern "C" {
#include "bench/bench.h"
}

#include <atomic>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/version.hpp>
#include <memory>
#include <new>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace bip = boost::interprocess;

namespace
{

struct link_pair {
	std::unique_ptr<bip::message_queue> there;
	std::unique_ptr<bip::message_queue> back;
	pid_t server = 0;
};

/* The child has the mapping by fork; so the name can go before anybody uses the queue. */
std::unique_ptr<bip::message_queue> make_queue(const char *direction)
{
	std::string name = "mpbench-" + std::to_string(getpid()) + direction;
	auto queue = std::make_unique<bip::message_queue>(
		bip::create_only, name.c_str(), 64, BENCH_ECHO_SIZE);

	bip::message_queue::remove(name.c_str());
	return queue;
}

int serve(link_pair &l)
{
	char message[BENCH_ECHO_SIZE];
	bip::message_queue::size_type size;
	unsigned priority;

	for (;;) {
		l.there->receive(message, sizeof(message), size, priority);
		l.back->send(message, size, priority);
	}
}

int call(void *arg)
{
	auto *l = static_cast<link_pair *>(arg);
	char message[BENCH_ECHO_SIZE] = "";
	bip::message_queue::size_type size;
	unsigned priority;

	l->there->send(message, sizeof(message), 0);
	l->back->receive(message, sizeof(message), size, priority);
	return 0;
}

int setup(struct bench *b)
{
	try {
		auto l = std::make_unique<link_pair>();

		bench_set_version("%d.%d.%d", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
			BOOST_VERSION % 100);
		l->there = make_queue("-there");
		l->back = make_queue("-back");
		l->server = bench_fork();
		if (l->server == 0)
			_exit(serve(*l));
		if (l->server < 0)
			return -1;
		b->state = l.release();
		return 0;
	} catch (const std::exception &e) {
		return bench_fail("message_queue: %s", e.what());
	}
}

int run(struct bench *b, double *ret_value)
{
	try {
		return bench_time(call, b->state, ret_value);
	} catch (const std::exception &e) {
		return bench_fail("message_queue: %s", e.what());
	}
}

void teardown(struct bench *b)
{
	auto *l = static_cast<link_pair *>(b->state);

	bench_reap(l->server);
	delete l;
}

/* --- one queue, as bench_queue.c ---------------------------------------------------------------- */

struct counts {
	std::atomic<uint64_t> n[2][16];
};

uint64_t got(const counts &c)
{
	return c.n[0][0].load(std::memory_order_relaxed) +
	       c.n[1][0].load(std::memory_order_relaxed);
}

[[noreturn]] void produce(bip::message_queue &q)
{
	char message[BENCH_ECHO_SIZE] = "";

	for (;;)
		q.send(message, sizeof(message), 0);
}

[[noreturn]] void consume(bip::message_queue &q, std::atomic<uint64_t> &count)
{
	char message[BENCH_ECHO_SIZE];
	bip::message_queue::size_type size;
	unsigned priority;

	for (;;) {
		q.receive(message, sizeof(message), size, priority);
		count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
	}
}

int run_queue(struct bench *b, double *ret_value)
{
	void *memory = mmap(
		nullptr, sizeof(counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return bench_fail("no memory");
	auto *c = new (memory) counts();
	std::string name = "mpbench-" + std::to_string(getpid()) + "-queue";
	bip::message_queue q(bip::create_only, name.c_str(), 1024, BENCH_ECHO_SIZE);
	bip::message_queue::remove(name.c_str());
	pid_t pids[4];
	for (int i = 0; i < 2 * b->variant; i++) {
		pids[i] = bench_fork();
		if (pids[i] == 0 && bench_place_side(i, b->variant) < 0)
			_exit(1);
		if (pids[i] == 0 && i < b->variant)
			produce(q);
		else if (pids[i] == 0)
			consume(q, c->n[i - b->variant][0]);
	}
	usleep(50000);
	uint64_t before = got(*c);
	int64_t start = bench_now();
	usleep(BENCH_ROUND_NS / 1000);
	*ret_value = static_cast<double>(got(*c) - before) * 1e9 /
		     static_cast<double>(bench_now() - start);
	for (int i = 0; i < 2 * b->variant; i++)
		bench_reap(pids[i]);
	munmap(memory, sizeof(counts));
	return 0;
}

int setup_queue(struct bench *)
{
	bench_set_version("%d.%d.%d", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
		BOOST_VERSION % 100);
	return 0;
}

/* --- a heap: as bench_value.c --------------------------------------------------------------------- */

constexpr int LIVE = 64;
constexpr int BATCH = 100;

struct blocks {
	bip::managed_shared_memory memory;
	void *live[LIVE] = {};
	unsigned next = 0;
};

int churn(void *arg)
{
	auto *b = static_cast<blocks *>(arg);

	for (int i = 0; i < BATCH; i++) {
		unsigned n = b->next++ * 2654435761u;
		void **slot = &b->live[n >> 26];
		if (*slot)
			b->memory.deallocate(*slot);
		*slot = b->memory.allocate(16 + (n >> 8 & 511));
		*static_cast<volatile char *>(*slot) = 1;
	}
	return 0;
}

int setup_heap(struct bench *b)
{
	try {
		std::string name = "mpbench-" + std::to_string(getpid()) + "-heap";
		auto h = std::make_unique<blocks>();

		bench_set_version("%d.%d.%d", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
			BOOST_VERSION % 100);
		h->memory = bip::managed_shared_memory(bip::create_only, name.c_str(), 1 << 20);
		bip::shared_memory_object::remove(name.c_str());
		b->state = h.release();
		return 0;
	} catch (const std::exception &e) {
		return bench_fail("managed_shared_memory: %s", e.what());
	}
}

int run_heap(struct bench *b, double *ret_value)
{
	try {
		int r = bench_time(churn, b->state, ret_value);
		*ret_value = *ret_value * 1000 / BATCH;
		return r;
	} catch (const std::exception &e) {
		return bench_fail("managed_shared_memory: %s", e.what());
	}
}

void teardown_heap(struct bench *b)
{
	delete static_cast<blocks *>(b->state);
}

const struct bench benches[] = {
	{"heap_alloc_free", "boost", setup_heap, run_heap, teardown_heap, 0, nullptr},
	{"queue_64B_1p1c", "boost", setup_queue, run_queue, nullptr, 1, nullptr},
	{"queue_64B_2p2c", "boost", setup_queue, run_queue, nullptr, 2, nullptr},
	{"pool_apply_rtt", "boost", setup, run, teardown, 0, nullptr},
	{nullptr, nullptr, nullptr, nullptr, nullptr, 0, nullptr},
};

} // namespace

int main(int argc, char **argv)
{
	return bench_peer_main(argc, argv, benches);
}
