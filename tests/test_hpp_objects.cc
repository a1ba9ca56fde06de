// SPDX-License-Identifier: MIT
// mp.hpp, used as a program uses it: queues, connections, locks, shared memory.
#include "tests/support/hpp.hpp"

#include <algorithm>
#include <sys/eventfd.h>
#include <unistd.h>

namespace
{

// --- queues, connections, wait ------------------------------------------------------------------

TEST(queues)
{
	mp_queue_options o = {};
	o.maxsize = 2;
	o.joinable = true;
	auto q = mp::queue::make(o).value();
	CHECK(q.get(mp::nowait).error() == -EAGAIN && q.get(1ms).error() == -ETIMEDOUT);
	CHECK(q.put(mp::list_of("a", 1)) && q.put_bytes("raw") && q.full());
	CHECK(q.put(3, mp::nowait).error() == -EAGAIN);
	mp::obj first = q.get(soon).value();
	CHECK(first[0].as<std::string_view>().value() == "a" && first[1].as<int>().value() == 1);
	CHECK(q.get_bytes(soon).value().text() == "raw" && q.empty() && q.byte_count() == 0);
	CHECK(q.join(mp::nowait).error() == -EAGAIN);
	CHECK(q.task_done() && q.task_done() && q.join(soon) && q.task_done().error() == -ERANGE);
	std::byte room[4];
	CHECK(q.put_bytes("12345") && q.get_bytes_into(room, soon).error() == -EMSGSIZE &&
		q.size() == 1);
	CHECK(q.get_bytes(soon) && q.put_bytes("12") && q.get_bytes_into(room, soon).value() == 2);
	CHECK(q.put("text") && q.get<int>(soon).error() == -EINVAL);
	CHECK(q.shutdown() && q.is_shutdown() == MP_QUEUE_DRAIN && q.put(1).error() == -EPIPE);
}

TEST(queues_by_name_and_batches)
{
	auto q = mp::queue::create(nullptr).value();
	auto same = mp::queue::open(q.name()).value();
	std::vector<std::string> words{"a", "b", "c"};
	CHECK(q.put_many(words, soon).value() == 3);
	auto two = same.get_many(2, soon).value();
	CHECK(two.size() == 2 && two[1].as<std::string_view>().value() == "b" && q.size() == 1);
	CHECK(q.get_many(5, soon).value().size() == 1 &&
		q.get_many(5, mp::nowait).error() == -EAGAIN);
	CHECK(mp::queue::unlink(q.name()) && mp::queue::open(q.name()).error() == -ENOENT);
}

TEST(queues_with_leases)
{
	mp_queue_options o = {};
	o.leases = true;
	o.max_deliveries = 2;
	auto q = mp::queue::make(o).value();
	CHECK(q.put("work", soon) && q.put("poison", soon));
	auto m = q.lease(soon).value();
	CHECK(m.value.as<std::string_view>().value() == "work" && m.lease.deliveries == 1);
	CHECK(q.leased() == 1 && q.ack(m.lease) && q.leased() == 0);
	for (int i = 0; i < 2; i++)
		CHECK(q.nack(q.lease(soon).value().lease));
	CHECK(q.poison_count() == 1 &&
		q.poison_get().value().as<std::string>().value() == "poison");
	CHECK(q.poison_get().error() == -EAGAIN && q.ack(m.lease).error() != 0);
}

TEST(queues_by_priority)
{
	mp_queue_options o = {};
	o.order = MP_QUEUE_PRIORITY;
	auto q = mp::queue::make(o).value();
	CHECK(q.put_priority("late", 5, soon) && q.put_priority("soon", -1, soon));
	CHECK(q.get<std::string>(soon).value() == "soon" &&
		q.get<std::string>(soon).value() == "late");
}

TEST(queues_of_bytes_with_leases_or_priorities)
{
	mp_queue_options o = {};
	o.leases = true;
	auto q = mp::queue::make(o).value();
	CHECK(q.put_bytes("work", soon));
	auto m = q.lease_bytes(soon).value();
	CHECK(m.data.text() == "work" && !m.lease.redelivered && q.ack(m.lease) && q.empty());
	mp_queue_options by_number = {};
	by_number.order = MP_QUEUE_PRIORITY;
	auto p = mp::queue::make(by_number).value();
	CHECK(p.put_priority_bytes("late", 5, soon) && p.put_priority_bytes("soon", -1, soon));
	CHECK(p.get_bytes(soon).value().text() == "soon");
	CHECK(p.lease_bytes(mp::nowait).error() == -EINVAL);
}

TEST(files_travel)
{
	int ends[2];
	CHECK(pipe(ends) == 0);
	mp::file in(ends[0]), out(ends[1]);
	auto p = mp::process::launch(
		[](mp::file f) { return write(f.fd(), "x", 1) == 1 ? 0 : 1; }, out)
			 .value();
	CHECK(p.join(soon) && p.exit_code().value() == 0);
	char byte = 0;
	CHECK(read(in.fd(), &byte, 1) == 1 && byte == 'x');
	auto value = mp::obj::copy(out);
	CHECK(!value.ok() || value->as<mp::file>().value().fd() != out.fd());
	CHECK(mp::view(nullptr).as<mp::file>().error() == -ENOENT);
	mp_obj text = mp_str("no file");
	CHECK(mp::view(&text).as<mp::file>().error() == -EINVAL);
	int number = out.fd();
	in = std::move(out);
	CHECK(in.fd() == number && !out);
	CHECK(in.release() == number && close(number) == 0);
}

TEST(queue_messages_in_place)
{
	auto q = mp::queue::make().value();
	{
		auto room = q.reserve(16, soon).value();
		CHECK(room.place().size() == 16);
	}
	CHECK(q.empty());
	{
		auto room = q.reserve(16, soon).value();
		std::memcpy(room.place().data(), "in place", 8);
		CHECK(room.commit(17).error() == -EMSGSIZE && room.commit(8));
	}
	CHECK(q.peek(soon).value().bytes().text() == "in place" && q.size() == 1);
	{
		auto message = q.peek(soon).value();
		CHECK(message.consume());
	}
	CHECK(q.empty());
	char a[] = "one", b[] = "three";
	const struct iovec out[] = {{a, 3}, {b, 5}};
	CHECK(q.put_many_bytes(out, soon).value() == 2);
	std::byte buffer[64];
	struct iovec in[4];
	CHECK(q.get_many_bytes(buffer, in, soon).value() == 2 && in[1].iov_len == 5);
}

TEST(connections)
{
	for (auto make : {mp::connection::pair, mp::connection::pipe}) {
		auto [here, there] = make({}).value();
		CHECK(here.send(mp::dict_of("n", 1), soon) && there.poll(soon).value());
		CHECK(there.recv(soon).value()["n"].as<int>().value() == 1);
		CHECK(there.send_bytes("bytes", soon) &&
			here.recv_bytes(soon).value().text() == "bytes");
		std::byte room[8];
		CHECK(there.send_bytes("12", soon) &&
			here.recv_bytes_into(room, soon).value() == 2);
		CHECK(here.recv(mp::nowait).error() == -EAGAIN && here.fileno().value() >= 0);
		CHECK(here.direction().value() == MP_CONNECTION_DUPLEX);
		CHECK(here.shutdown() && there.recv(soon).error() == -EPIPE);
	}
}

TEST(connections_carry_handles)
{
	auto [here, there] = mp::connection::pair().value();
	auto event = mp::event::make().value();
	auto child = mp::process::launch(
		[](mp::connection &c) {
			mp::obj o = c.recv(soon).value();
			o[0].as<mp::event>().value().set().value();
		},
		there)
			     .value();
	CHECK(here.send(mp::list_of(event), soon) && event.wait(soon) && child.join(soon));
}

TEST(listeners)
{
	auto l = mp::listener::make(nullptr).value();
	auto client = mp::connection::open(l.address(), soon).value();
	auto server = l.accept(soon).value();
	CHECK(client.send(5, soon) && server.recv<int>(soon).value() == 5);
	CHECK(server.peer_credentials().value().pid == getpid());
	CHECK(client.peer_address().value().find("unix:") == 0);
	CHECK(l.accept(mp::nowait).error() == -EAGAIN && l.stats().value().accepted == 1);
	CHECK(mp::connection::open("unix:/nowhere/at/all", soon).error() == -ENOENT);
}

TEST(wait_for_several)
{
	auto q = mp::queue::make().value();
	auto e = mp::event::make().value();
	auto [here, there] = mp::connection::pair().value();
	int quiet = eventfd(0, EFD_CLOEXEC);
	mp_waitable items[] = {mp::on(q), mp::on(e), mp::on(here), mp::on(quiet, POLLIN)};
	CHECK(mp::wait(items, 1ms).value() == 0);
	CHECK(e.set() && there.send(1, soon));
	CHECK(mp::wait(items, soon).value() == 2 && !items[0].ready && items[1].ready &&
		items[2].ready);
	auto set = mp::waiter::make().value();
	CHECK(set.add(mp::on(q), &q) && set.add(mp::on_room(q), nullptr));
	mp_ready ready[4];
	auto found = set.wait(ready, soon).value();
	CHECK(found.size() == 1 && found[0].data == nullptr);
	CHECK(set.remove(mp::on_room(q)) && q.put(1) &&
		set.wait(ready, soon).value()[0].data == &q);
	close(quiet);
}

// --- locks and the like -------------------------------------------------------------------------

TEST(locks_are_held)
{
	auto lock = mp::lock::make().value();
	{
		auto held = lock.hold(soon).value();
		CHECK(!held.owner_died() && lock.locked().value() && lock.owner().value() > 0);
		CHECK(lock.hold(mp::nowait).error() == -EDEADLK);
	}
	CHECK(!lock.locked().value());
	auto held = lock.hold(soon).value();
	CHECK(held.release() && held.release() && !lock.locked().value());
	auto rlock = mp::rlock::make().value();
	auto once = rlock.hold(soon).value(), twice = rlock.hold(soon).value();
	CHECK(rlock.locked().value());
}

TEST(a_holder_that_died_is_news)
{
	auto lock = mp::lock::make().value();
	auto p = mp::process::launch(
		[](mp::lock &l) {
			auto held = l.hold(soon);
			(void)raise(SIGKILL);
		},
		lock)
			 .value();
	CHECK(p.join(soon));
	auto held = lock.hold(soon);
	CHECK(held && held.code() == MP_OWNER_DIED && held->owner_died());
}

TEST(locks_in_memory_of_the_program)
{
	static mp_lock place;
	static mp_event event_place;
	{
		auto lock = mp::lock::init(&place).value();
		CHECK(lock.acquire(soon) && lock.c() == &place);
	}
	auto again = mp::lock::adopt(&place);
	CHECK(again.locked().value() && again.release_lock() && again.destroy());
	CHECK(again.acquire(mp::nowait).error() == -EINVAL);
	auto e = mp::event::init(&event_place).value();
	CHECK(e.set() && e.wait(soon) && e.clear() && e.wait(mp::nowait).error() == -EAGAIN &&
		e.destroy());
}

TEST(readers_and_writers)
{
	auto rw = mp::rwlock::make().value();
	{
		auto reading = rw.hold_read(soon).value();
		CHECK(rw.readers().value() == 1 && rw.hold_write(mp::nowait).error() == -EDEADLK);
	}
	auto writing = rw.hold_write(soon).value();
	CHECK(rw.writer().value() > 0);
	{
		auto reading = rw.downgrade(writing).value();
		CHECK(rw.readers().value() == 1 && rw.writer().value() == 0);
		CHECK(rw.downgrade(writing).error() == -EPERM);
	}
	CHECK(rw.readers().value() == 0 && writing.release());
}

TEST(semaphores)
{
	mp_semaphore_options o = {};
	o.bounded = true;
	auto s = mp::semaphore::make(2, o).value();
	{
		auto one = s.hold(soon).value();
		CHECK(s.acquire(soon) && s.value().value() == 0 &&
			s.hold(mp::nowait).error() == -EAGAIN);
	}
	CHECK(s.give() && s.value().value() == 2 && s.give(1).error() == -EOVERFLOW);
}

TEST(conditions_ask_a_predicate)
{
	auto lock = mp::lock::make().value();
	auto changed = mp::condition::make().value();
	auto n = mp::value<int>::make(0).value();
	auto p = mp::process::launch(
		[](mp::lock &l, mp::condition &c, mp::value<int> &v) {
			for (int i = 0; i < 3; i++) {
				auto held = l.hold(soon).value();
				++*v.data();
				c.notify_all().value();
			}
		},
		lock, changed, n)
			 .value();
	{
		auto held = lock.hold(soon).value();
		CHECK(changed.wait_for(
			lock, [&n] { return *n.data() == 3; }, soon));
		CHECK(changed.wait(lock, 1ms).error() == -ETIMEDOUT);
	}
	CHECK(changed.wait(lock, 1ms).error() == -EPERM && changed.notify() && p.join(soon));
}

TEST(barriers_run_an_action)
{
	auto barrier = mp::barrier::make(1).value();
	int ran = 0;
	CHECK(barrier.wait_action([&ran] { return ++ran; }, soon).value() == 0 && ran == 1);
	CHECK(barrier.parties().value() == 1 && barrier.waiting().value() == 0);
	CHECK(barrier.abort() && barrier.wait(soon).error() == -EPIPE);
	CHECK(barrier.broken().value() == MP_BARRIER_ABORTED && barrier.renew() &&
		barrier.wait(soon));
}

TEST(timers_call)
{
	mp_timer_options o = {};
	o.interval_ms = 1;
	int calls = 0;
	auto t = mp::timer::make([&calls](std::uint64_t periods) { calls += periods > 0; }, o)
			 .value();
	mp::timer moved = std::move(t);
	CHECK(moved.start() && moved.wait(soon) && calls == 1);
	CHECK(!moved.cancel(soon).value() && moved.fd().value() >= 0);
	CHECK(mp::timer::make([](std::uint64_t) {}, mp_timer_options()).error() == -EINVAL);
}

// --- shared memory ------------------------------------------------------------------------------

struct point {
	double x, y;
};

TEST(shared_values)
{
	auto n = mp::value<int>::make(7).value();
	CHECK(n.add(3).value() == 7 && n.load().value() == 10 && n.exchange(1).value() == 10);
	CHECK(n.compare_exchange(1, 2).value() && !n.compare_exchange(1, 2).value() &&
		*n.data() == 2);
	auto d = mp::value<double>::make(0.5).value();
	CHECK(d.add(1).value() == 0.5 && d.load().value() == 1.5);
	auto u = mp::value<unsigned long long>::make(UINT64_MAX).value();
	CHECK(u.load().value() == UINT64_MAX && u.add(1).value() == UINT64_MAX &&
		u.load().value() == 0);
	auto p = mp::value<point>::make({1, 2}).value();
	{
		auto held = p.hold(soon).value();
		p.data()->x = 5;
	}
	CHECK(p.copy(soon).value().data()->x == 5);
	CHECK(p.load_locked(soon).value().x == 5 && p.store_locked({3, 4}, soon) &&
		p.data()->y == 4);
}

TEST(shared_arrays)
{
	auto a = mp::array<int>::make({1, 2, 3, 4}).value();
	CHECK(a.size() == 4 && *a.at(-1).value() == 4 && a.at(4).error() == -ERANGE);
	CHECK(a.store(0, 10, soon) && a.load(0, soon).value() == 10);
	int room[2];
	CHECK(a.load(MP_SLICE_STEP(0, 4, 2), room, soon).value() == 2 && room[0] == 10 &&
		room[1] == 3);
	CHECK(a.store(MP_SLICE(2, 4), {7, 8}, soon) && a.items()[3] == 8);
	CHECK(a.store(MP_SLICE(2, 4), {7}, soon).error() == -EINVAL);
	auto copy = a.copy(soon).value();
	CHECK(copy.store(0, 11, soon) && a.load(0, soon).value() == 10);
	auto text = mp::array<char>::make(8).value();
	CHECK(text.set_text("abc", soon) && text.text(soon).value() == "abc");
	CHECK(text.set_text("12345678", soon) && text.text(soon).value() == "12345678");
	CHECK(text.set_text("123456789", soon).error() == -EMSGSIZE);
	auto points = mp::array<point>::make(10).value();
	CHECK(points.items()[9].x == 0 && points.hold(soon));
}

TEST(blocks_heaps_lists)
{
	auto block = mp::block::make(4096).value();
	block.as<int>()[5] = 6;
	CHECK(block.data().size() == block.size() && block.size() >= 4096 && !block.name());
	CHECK(block.grow(1 << 20).error() == -ENOSPC && !block.refresh().value());
	auto named = mp::block::create(nullptr, 100).value();
	CHECK(mp::block::open(named.name()).value().size() == named.size());
	CHECK(mp::block::unlink(named.name()) && mp::block::open(named.name()).error() == -ENOENT);

	auto heap = mp::heap::make(1 << 16).value();
	point *p = heap.alloc<point>(3).value();
	CHECK(p[2].y == 0 && heap.set_root(p) && heap.root<point>() == p);
	CHECK(heap.pointer<point>(heap.offset(p)) == p && heap.next().value().data == p);
	CHECK(heap.check() && heap.stats().value().n_used == 1);
	CHECK(heap.free(p) && heap.free(p).error() == -EINVAL);

	auto list = mp::shared_list::make(mp::list_of(1, 2.5, "ten bytes.")).value();
	CHECK(list.size() == 3 && list.set(0, "one") && list.at<std::string>(0).value() == "one");
	CHECK(list.at(3).error() == -ERANGE && list.index(2.5).value() == 1 &&
		list.count(9).value() == 0);
}

} // namespace
