// SPDX-License-Identifier: MIT
// mp.hpp, used as a program uses it: what a manager serves, and servers of one's own.
#include "tests/support/hpp.hpp"

#include <thread>

#ifdef ENABLE_MANAGER
namespace
{

TEST(dicts_of_a_manager)
{
	auto m = mp::manager::start().value();
	CHECK(m.ping() && m.pid().value() > 0);
	auto d = m.dict("visits").value();
	CHECK(d.set("log", mp::dict_of("total", 1632)) && d.contains("log").value());
	CHECK(d.get("log").value()["total"].as<int>().value() == 1632);
	CHECK(d.get("nothing").error() == -ENOENT && d.setdefault("n", 1).code() == 1);
	CHECK(d.get<int>("n").value() == 1 && d.update(mp::dict_of("n", 2, "m", 3)));
	CHECK(d.size().value() == 3 && d.pop<int>("m").value() == 3);
	CHECK(d.keys().value().size() == 2 && d.values().value()[1].as<int>().value() == 2);
	CHECK(d.items().value()["n"].as<int>().value() == 2);
	auto p = mp::process::launch([](mp::dict &own) { return own.set("n", 5) ? 0 : 1; }, d)
			 .value();
	CHECK(p.join(soon) && p.exit_code().value() == 0 && d.get<int>("n").value() == 5);
	CHECK(d.add<int>("n", 2).value() == 7 && d.add("text", "x").error() == -EINVAL);
	CHECK(d.compare_and_swap("n", 7, 8).value() && !d.compare_and_swap("n", 7, 9).value());
	CHECK(d.get_many(mp::list_of("n", "nothing")).value().size() == 1);
	CHECK(d.popitem().value().size() == 2 && d.clear() && d.popitem().error() == -ENOENT);
}

TEST(served_objects_of_a_manager)
{
	auto m = mp::manager::start().value();
	auto lock = m.lock("l").value();
	std::int64_t fence = 0;
	{
		auto held = lock.hold(soon, &fence).value();
		CHECK(!held.owner_died() && lock.locked().value() && fence > 0);
		CHECK(lock.hold(mp::nowait).error() == -EDEADLK);
	}
	CHECK(!lock.locked().value() && m.rlock("r").value().hold(soon));
	auto n = m.counter("n", 5).value();
	CHECK(n.add(2).value() == 7 && n.get().value() == 7 && n.set(1) &&
		n.compare_and_swap(1, 3).value());
	CHECK(!n.compare_and_swap(1, 3).value());
	auto v = m.value("v", mp::list_of(n, "text")).value();
	mp::obj content = v.get().value();
	CHECK(content[0].as<mp::counter>().value().get().value() == 3);
	CHECK(content[0].as<mp::served_lock>().error() == -EINVAL);
	CHECK(v.exchange(5).value().size() == 2 && v.get<int>().value() == 5 && v.set(nullptr));
	auto same = m.open(nullptr, "n").value();
	CHECK(std::string(same.type()) == "counter" && same != m.open(nullptr, "l").value());
	CHECK(same.call(soon, "nothing_like_this").error() != 0);
}

TEST(served_objects_to_wait_for)
{
	auto m = mp::manager::start().value();
	auto e = m.event("e").value();
	CHECK(e.wait(mp::nowait).error() == -EAGAIN && e.set() && e.wait(soon) &&
		e.is_set().value() && e.clear());
	auto s = m.bounded_semaphore("s", 1).value();
	{
		auto permit = s.hold(soon).value();
		CHECK(s.value().value() == 0 && s.acquire(mp::nowait).error() == -EAGAIN);
	}
	CHECK(s.give().error() == -EOVERFLOW && m.semaphore("t", 0).value().give(2));
	auto b = m.barrier("b", 1).value();
	CHECK(b.wait(soon).value() == 0 && b.parties().value() == 1 && b.waiting().value() == 0);
	CHECK(b.abort() && b.broken().value() && b.wait(soon).error() == -EPIPE && b.renew() &&
		b.wait(soon));
	auto lock = m.lock("l").value();
	auto c = m.condition("c", lock).value();
	int asked = 0;
	{
		auto held = c.hold(soon).value();
		CHECK(lock.locked().value() && c.wait_for([&asked] { return ++asked > 0; }, soon) &&
			asked == 1);
		CHECK(c.wait(1ms).error() == -ETIMEDOUT && c.notify() && c.notify_all());
	}
	CHECK(!lock.locked().value() && m.condition("own").value().hold(soon));
}

TEST(transactions_on_a_dict)
{
	auto m = mp::manager::start().value();
	auto d = m.dict("stock").value();
	namespace step = mp::step;
	CHECK(d.update(mp::dict_of("bolts", 2, "name", std::string("M8"))));
	auto buy = [&d](int n) {
		return d.transact({step::at_least("bolts", n), step::add("bolts", -n),
			step::set("last", mp::list_of("sold", n))});
	};
	CHECK(buy(2) && d.get<int>("bolts").value() == 0 && buy(1).error() == -ESTALE);
	CHECK(d.get("last").value()[1].as<int>().value() == 2);
	CHECK(d.transact({step::equal("name", "M8"), step::present("last"), step::absent("x"),
		step::erase("last")}));
	auto version = d.version().value();
	CHECK(d.watch(version, mp::nowait).error() == -EAGAIN && d.set("x", 1));
	CHECK(d.watch(version, soon).value() != version);
	CHECK(d.transact({step::set("x", 2)}, version).error() == -ESTALE);
}

TEST(many_calls_at_once)
{
	auto m = mp::manager::start().value();
	auto d = m.dict("many").value();
	auto n = m.counter("n", 7).value();
	CHECK(d.set("long", std::string(100000, 'x')));
	auto all = mp::call_many({mp::call_of(n, "get"), mp::call_of(d, "get", mp::list_of("x")),
		mp::call_of(d, "get", mp::list_of("long")), mp::call_of(d, "none"),
		mp::call_of(n, "add", mp::list_of(1))});
	CHECK(all.size() == 5 && all[0].value().as<int>().value() == 7);
	CHECK(all[1].error() == -ENOENT && std::strstr(all[1].error().detail(), "no such key"));
	CHECK(all[2].value().as<std::string>().value().size() == 100000);
	CHECK(all[3].error() == -ENOSYS && all[4].value().as<int>().value() == 8);
	auto kept = std::move(all[2]).value(); /* as long as it has an owner */
	all.clear();
	CHECK(kept.as<std::string>().value().size() == 100000);
	std::vector<mp_call> none;
	CHECK(mp::call_many(none).empty());
}

TEST(transactions_on_several_objects)
{
	auto m = mp::manager::start().value();
	auto stock = m.dict("stock").value(), sold = m.dict("sold").value();
	auto money = m.counter("money").value();
	namespace step = mp::step;
	CHECK(stock.set("bolts", 2));
	auto version = sold.version().value();
	auto buy = [&](int n) {
		return mp::transact({step::of(stock, step::at_least("bolts", n)),
			step::of(stock, step::add("bolts", -n)),
			step::of(sold, step::add("bolts", n)),
			step::of(money, step::add(nullptr, 5 * n))});
	};
	CHECK(buy(2) && buy(1).error() == -ESTALE && money.get().value() == 10);
	CHECK(sold.get<int>("bolts").value() == 2 && stock.get<int>("bolts").value() == 0);
	CHECK(mp::transact({step::of(sold, step::version(version)),
				   step::of(stock, step::set("bolts", 9))})
			.error() == -ESTALE);
}

TEST(transactions_on_lists_and_the_time_of_keys)
{
	auto m = mp::manager::start().value();
	auto d = m.dict("d").value();
	auto l = m.list("l").value();
	namespace step = mp::step;
	CHECK(mp::transact({step::of(l, step::append("b")), step::of(l, step::insert(0, "a")),
		step::of(l, step::equal(-1, "b")), step::of(d, step::set("k", 1)),
		step::of(d, step::expire("k", 1h))}));
	CHECK(l.size().value() == 2 && d.ttl("k").value() <= 1h);
	CHECK(d.transact({step::persist("k")}) && !d.ttl("k").value());
	CHECK(mp::transact({step::of(l, step::erase(2))}).error() == -ESTALE);
}

TEST(what_a_manager_tells_of_itself)
{
	auto m = mp::manager::start().value();
	auto d = m.dict("look").value();
	std::uint64_t after = 0;
	auto all = m.objects(after).value();
	CHECK(after == 0 && all.size() == 1);
	CHECK(all[0]["name"].as<std::string>().value() == "look");
	mp_objects_options none{};
	none.prefix = "no";
	CHECK(m.objects(after, none).value().size() == 0);
	CHECK(m.clients().value().size() == 1 && m.holds().value().size() == 0);
	CHECK(m.stats().value().find("managerd_objects 1") != std::string::npos);
	CHECK(m.unlink("look") && m.unlink("look").error() == -ENOENT);
}

TEST(keys_that_expire)
{
	auto m = mp::manager::start().value();
	auto d = m.dict(nullptr).value();
	CHECK(d.set_for("k", 1, 1h) && d.ttl("k").value() <= 1h && d.persist("k").value());
	CHECK(!d.ttl("k").value() && !d.persist("k").value());
	CHECK(d.set_for("k", 1, 0ms).error() == -EINVAL && d.ttl("none").error() == -ENOENT);
	CHECK(d.expire("k", 1ms) && d.expire("none", 1ms).error() == -ENOENT);
	while (d.contains("k").value())
		;
}

TEST(names_that_expire)
{
	auto m = mp::manager::start().value();
	auto n = m.counter("n", 5).value();
	CHECK(!n.ttl().value() && n.expire(1h) && n.ttl().value() <= 1h && n.persist().value());
	CHECK(!n.persist().value() && n.expire(0ms).error() == -EINVAL && n.expire(1ms));
	while (m.counter("n").value() == n)
		;
	CHECK(n.get().value() == 5 && m.counter("n").value().get().value() == 0);
	CHECK(n.ttl().error() == -EINVAL);
}

TEST(arrays_of_a_manager)
{
	auto m = mp::manager::start().value();
	auto a = m.array("a", 'h', mp::list_of(1, 2, 3)).value();
	CHECK(a.size().value() == 3 && a.item_type().value() == 'h' && a.set(0, 5));
	CHECK(a.get<int>(0).value() == 5 && a.add<int>(-1, 4).value() == 7);
	CHECK(a.compare_and_swap(1, 2, 9).value() && a.set(0, 70000).error() == -EOVERFLOW);
	CHECK(a.slice(MP_SLICE_STEP(MP_SLICE_OPEN, MP_SLICE_OPEN, -2)).value().to_string() ==
		"[7, 5]");
	CHECK(a.set_slice(MP_SLICE(0, 2), mp::list_of(0, 1)) &&
		a.items().value().to_string() == "[0, 1, 7]");
	CHECK(m.array("z", 'd', 2).value().items().value().to_string() == "[0.0, 0.0]");
}

TEST(lists_of_a_manager)
{
	auto m = mp::manager::start().value();
	auto l = m.list("l").value();
	CHECK(l.append("b") && l.insert(0, "a") && l.extend(mp::list_of(3, 4.5, 3)));
	CHECK(l.get<std::string>(0).value() == "a" && l.get(7).error() == -ERANGE);
	CHECK(l.size().value() == 5 && l.count(3).value() == 2 && l.contains("b").value());
	CHECK(l.index(3).value() == 2 && l.index(3, 3).value() == 4 &&
		l.index(3, 3, 4).error() == -ENOENT);
	CHECK(l.add<int>(2, 7).value() == 10 && l.compare_and_swap(2, 10, 11).value());
	CHECK(l.slice(1, 3).value()[1].as<int>().value() == 11 &&
		l.slice(0, mp::list_end, 2).value().size() == 3);
	CHECK(l.set(0, nullptr) && l.set_slice(0, 2, 1, mp::list_of(1)) && l.erase_slice(2));
	CHECK(l.items().value().to_string() == "[1, 11]");
	CHECK(l.reverse() && l.sort() && l.sort(true) && l.pop<int>().value() == 1);
	auto version = l.version().value();
	CHECK(l.multiply(2) && l.watch(version, soon) && l.erase(0) && l.remove(11) &&
		l.remove(11).error() == -ENOENT && l.clear());
	auto same = m.list("l").value();
	CHECK(same == l && same != m.list(nullptr).value() && !same.same(m.lock("x").value()));
	CHECK(l.call(soon, "append", 5).ok() && std::string(l.type()) == "list");
}

TEST(namespaces_of_a_manager)
{
	auto m = mp::manager::start().value();
	auto n = m.attributes("n").value();
	CHECK(n.set("x", 10) && n.set("name", "Ada") && n.has("x").value());
	CHECK(n.get<int>("x").value() == 10 && n.items().value().size() == 2);
	CHECK(n.erase("x") && n.get("x").error() == -ENOENT && !n.has("x").value());
}

TEST(queues_of_a_manager)
{
	auto m = mp::manager::start().value();
	mp_queue_options o = {};
	o.order = MP_QUEUE_PRIORITY;
	o.maxsize = 2;
	o.joinable = true;
	auto q = m.queue("q", o).value();
	CHECK(q.put_priority("late", 5, soon) && q.put("now", soon) && q.full().value());
	CHECK(q.put(1, mp::nowait).error() == -EAGAIN && q.size().value() == 2);
	auto p = mp::process::launch(
		[](mp::served_queue &own) {
			bool good = own.get<std::string>(soon).value() == "now";
			own.task_done().value();
			return good ? 0 : 1;
		},
		q)
			 .value();
	CHECK(p.join(soon) && p.exit_code().value() == 0);
	CHECK(q.join(mp::nowait).error() == -EAGAIN && q.get(soon) && q.task_done() &&
		q.join(soon));
	CHECK(q.put(1, soon) && q.clear() && q.empty().value());
	CHECK(q.shutdown() && q.is_shutdown().value() && q.get(soon).error() == -EPIPE);
	CHECK(m.queue("q").ok() && m.list("q").error() == -EEXIST);
}

// --- a server of one's own ----------------------------------------------------------------------

class account
{
	std::int64_t balance_ = 0;

      public:
	explicit account(mp::args a)
	{
		if (a.size() > 0)
			balance_ = a[0].as<std::int64_t>().value();
	}

	mp::result<std::int64_t> deposit(std::int64_t n)
	{
		if (n <= 0)
			return mp::error(-EDOM, "a deposit is more than 0");
		return balance_ += n;
	}

	std::int64_t balance() const noexcept
	{
		return balance_;
	}

	void close()
	{
		throw std::runtime_error("it stays open");
	}

	std::string all(mp::args a)
	{
		return std::to_string(a.size());
	}
};

struct plain {
	int n = 2;
	int two()
	{
		return n;
	}
	mp::result<mp::obj> twice();
	mp::result<int> sum(mp::view other);
};

const mp_method account_methods[] = {mp::method<&account::deposit>("deposit"),
	mp::method<&account::balance>("balance"), mp::method<&account::close>("close"),
	mp::method<&account::all>("all"), {}};
const mp_served_type account_type = mp::served_type<account>("account", account_methods);
extern const mp_served_type plain_type;
const mp_method plain_methods[] = {mp::method<&plain::two>("two"),
	mp::method<&plain::twice>("twice"), mp::method<&plain::sum>("sum"), {}};
const mp_served_type plain_type = mp::served_type<plain>("plain", plain_methods);

mp::result<mp::obj> plain::twice()
{
	auto other = std::make_unique<plain>();
	other->n = 2 * n;
	return mp::serve_new(plain_type, std::move(other));
}

mp::result<int> plain::sum(mp::view other)
{
	auto *object = mp::served<plain>(other, plain_type);
	if (!object)
		return mp::error(-EINVAL, "that is none of ours");
	return n + object->n;
}

void use_accounts(const char *address)
{
	auto m = mp::manager::connect(address).value();
	auto bob = m.open("account", "Bob", mp::list_of(100)).value();
	CHECK(bob.call(soon, "deposit", 50).value().as<int>().value() == 150);
	auto none = bob.call(soon, "deposit", 0);
	CHECK(none.error() == -EDOM &&
		std::strstr(none.error().detail(), "a deposit is more than 0"));
	CHECK(bob.call(soon, "deposit", "a lot").error() == -EINVAL);
	CHECK(bob.call(soon, "deposit").error() == -EINVAL);
	CHECK(bob.call(soon, "close").error() == -ENOTRECOVERABLE);
	CHECK(bob.call(soon, "all", 1, 2, 3).value().as<std::string>().value() == "3");
	CHECK(bob.call(soon, "balance").value().as<int>().value() == 150);
	CHECK(m.open("account", "Eve", mp::list_of("text")).error() == -EINVAL);
	CHECK(m.open("plain", "p").value().call(soon, "two").value().as<int>().value() == 2);
	CHECK(m.open("plain", "q", mp::list_of(1)).error() == -EINVAL);
	auto p = m.open("plain", "p").value();
	auto twice = p.call(soon, "twice").value().as<mp::proxy>().value();
	CHECK(twice.call(soon, "two").value().as<int>().value() == 4);
	CHECK(p.call(soon, "sum", twice).value().as<int>().value() == 6);
	CHECK(p.call(soon, "sum", bob).error() == -EINVAL);
}

TEST(classes_are_served)
{
	char directory[] = "/tmp/mp-hpp-XXXXXX";
	CHECK(mkdtemp(directory));
	std::string address = std::string(directory) + "/socket";
	{
		auto server = mp::server::make(address.c_str()).value();
		CHECK(server.add(account_type) && server.add(plain_type) &&
			server.add(plain_type).error() == -EEXIST);
		std::thread thread([&server] { (void)server.run(); });
		bool good = true;
		try {
			use_accounts(address.c_str());
		} catch (...) {
			good = false;
		}
		CHECK(server.stop());
		thread.join();
		CHECK(good);
	}
	CHECK(rmdir(directory) == 0); // the name of the socket is gone
}

} // namespace
#endif
