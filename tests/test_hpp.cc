// SPDX-License-Identifier: MIT
// mp.hpp, used as a program uses it: results, values, handles, processes, pools; and main().
#include "tests/support/hpp.hpp"

#include <algorithm>
#include <array>

namespace
{

// --- results, timeouts, spans -------------------------------------------------------------------

TEST(result_holds_a_value)
{
	mp::result<std::string> r(std::string("text"));
	CHECK(r && r.ok() && r.code() == 0 && *r == "text" && r->size() == 4);
	CHECK(r.error() == 0 && r.error().detail()[0] == '\0');
	std::string taken = std::move(r).value();
	CHECK(taken == "text");
}

TEST(result_error_keeps_its_detail)
{
	auto r = mp::block::make(0);
	CHECK(!r && r.code() == -EINVAL && r.error() == -EINVAL);
	std::string detail = r.error().detail();
	CHECK(!detail.empty());
	(void)mp_error_set(-EIO, "another sentence");
	CHECK(detail == r.error().detail());
	mp::error copy = r.error();
	CHECK(copy == -EINVAL && detail == copy.detail());
	CHECK(std::string(copy.message()) == mp_strerror(-EINVAL));
}

TEST(result_throws_only_in_value)
{
	auto r = mp::block::make(0);
	bool thrown = false;
	try {
		(void)r.value();
	} catch (const mp::failure &e) {
		thrown = e.code() == -EINVAL && std::string(e.what()) == r.error().detail();
	}
	CHECK(thrown);
	thrown = false;
	try {
		mp::event().set().value();
	} catch (const std::runtime_error &) {
		thrown = true;
	}
	CHECK(thrown);
}

TEST(result_value_or)
{
	mp::obj o = mp::obj::copy(mp::dict_of("n", 5)).value();
	CHECK(o["n"].as<int>().value_or(0) == 5);
	CHECK(o["m"].as<int>().value_or(7) == 7);
	const auto kept = o["n"].as<std::string_view>();
	CHECK(kept.value_or("none") == "none" && kept.value_or("none") == "none");
}

TEST(result_moves)
{
	auto q = mp::queue::make();
	CHECK(q);
	mp_queue *raw = q->c();
	mp::result<mp::queue> other(std::move(q));
	CHECK(other && other->c() == raw && !*q);
	other = mp::queue::make({});
	CHECK(other && other->c() != raw);
	other = mp::result<mp::queue>(mp::error(-EIO, "gone"));
	CHECK(!other && other.error() == -EIO);
}

TEST(timeouts_are_durations_rounded_up)
{
	CHECK(mp::timeout(5s).ms() == 5000);
	CHECK(mp::timeout(1us).ms() == 1);
	CHECK(mp::timeout(1001us).ms() == 2);
	CHECK(mp::timeout(0ms).ms() == MP_NOWAIT);
	CHECK(mp::timeout(-5ms).ms() == MP_NOWAIT);
	CHECK(mp::timeout(std::chrono::hours(24 * 365)).ms() == INT_MAX);
	CHECK(mp::timeout(std::chrono::hours::max()).ms() == INT_MAX);
	CHECK(mp::timeout(std::chrono::duration<float>(0.25f)).ms() == 250);
	CHECK(mp::forever.ms() == MP_FOREVER && mp::nowait.ms() == MP_NOWAIT);
}

std::size_t count(mp::span<const int> s)
{
	return s.size();
}

TEST(spans_are_made_of_what_holds_items)
{
	std::vector<int> v{1, 2, 3};
	std::array<int, 2> a{};
	int c[4] = {};
	CHECK(count(v) == 3 && count(a) == 2 && count(c) == 4 && count({1, 2}) == 2);
	CHECK(count(std::vector<int>{1}) == 1);
	mp::span<int> s = v;
	s[0] = 9;
	CHECK(v[0] == 9 && s.data() == v.data() && mp::span<int>().empty());
	CHECK(mp::bytes("four").size() == 4 && mp::bytes(std::string("a\0b", 3)).size() == 3);
	CHECK(mp::bytes(std::vector<unsigned char>(5)).size() == 5);
	CHECK(mp::bytes(std::vector<std::byte>(6)).size() == 6);
	CHECK(mp::bytes("text").text() == "text");
}

// --- values -------------------------------------------------------------------------------------

TEST(values_are_built_of_anything)
{
	std::string name = "kept";
	const unsigned char raw[] = {0, 255};
	auto l = mp::list_of(nullptr, true, -1, 2u, 3.5, "text", name, std::string("moved in"),
		mp::bytes(raw, 2), mp::list_of(1, mp::list_of()),
		mp::dict_of("k", name, 2, 'c' - 'a'));
	mp::obj o = mp::obj::copy(l).value();
	CHECK(o.to_string() == "[nil, true, -1, 2, 3.5, \"text\", \"kept\", \"moved in\", "
			       "b\"\\x00\\xff\", [1, []], {\"k\": \"kept\", 2: 2}]");
}

TEST(values_are_kept_in_variables)
{
	auto make = [] {
		return mp::list_of(std::string(100, 'x'), mp::list_of(std::string(100, 'y')));
	};
	auto l = make();
	auto outer = mp::list_of(std::move(l), 1);
	mp::view v(&static_cast<const mp_obj &>(mp::arg(outer)));
	mp::obj o = mp::obj::copy(outer).value();
	CHECK(o[0][0].as<std::string_view>().value() == std::string(100, 'x'));
	CHECK(o[0][1][0].as<std::string_view>().value() == std::string(100, 'y'));
}

TEST(values_borrow)
{
	std::string text = "not copied";
	auto l = mp::list_of(text);
	mp_obj raw = l;
	CHECK(mp_obj_at(&raw, 0)->as.str == text.data());
	mp::obj o = mp::obj::copy(l).value();
	const char *inside = o[0].as<std::string_view>().value().data();
	mp::obj moved = std::move(o);
	CHECK(moved[0].as<std::string_view>().value().data() == inside);
	CHECK(o.is_nil() && inside != text.data());
}

TEST(values_are_read_with_checks)
{
	mp::obj o = mp::obj::copy(mp::dict_of("small", 200, "big", UINT64_MAX, "neg", -1, "f", 0.5,
					  "text", "abc", "raw", mp::bytes("xyz"), "no", false))
			    .value();
	CHECK(o["small"].as<unsigned char>().value() == 200);
	CHECK(o["small"].as<signed char>().error() == -ERANGE);
	CHECK(o["big"].as<std::uint64_t>().value() == UINT64_MAX);
	CHECK(o["big"].as<std::int64_t>().error() == -ERANGE);
	CHECK(o["neg"].as<unsigned>().error() == -ERANGE);
	CHECK(o["neg"].as<short>().value() == -1 && o["neg"].as<double>().value() == -1.0);
	CHECK(o["f"].as<float>().value() == 0.5f && o["f"].as<int>().error() == -EINVAL);
	CHECK(o["no"].as<bool>().value() == false && o["small"].as<bool>().error() == -EINVAL);
	CHECK(o["text"].as<std::string>().value() == "abc");
	CHECK(o["text"].as<mp::bytes>().error() == -EINVAL);
	CHECK(o["raw"].as<mp::bytes>().value().text() == "xyz");
	CHECK(o["raw"].as<std::string_view>().error() == -EINVAL);
	CHECK(o["nowhere"]["deeper"][3].as<int>().error() == -ENOENT && !o["nowhere"]);
	CHECK(o["text"].as<mp::queue>().error() == -EINVAL);
	CHECK(o["small"].as<mp::view>().value().as<int>().value() == 200);
}

TEST(values_are_iterated)
{
	mp::obj o = mp::obj::copy(mp::list_of(1, 2, 3, mp::dict_of("a", 10, 5, 20))).value();
	int sum = 0;
	for (mp::view v : o)
		sum += v.as<int>().value_or(0);
	CHECK(sum == 6 && o.size() == 4 && o[3].size() == 2);
	std::string keys;
	for (auto [key, value] : o[3].pairs()) {
		keys += key.to_string();
		sum += value.as<int>().value();
	}
	CHECK(sum == 36 && keys == "\"a\"5");
	CHECK(o[3].get(5).as<int>().value() == 20 && !o[3].get(6));
	CHECK(o[0].begin() == o[0].end() && !(mp::view().begin() != mp::view().end()));
	for (auto p : o.pairs())
		CHECK(!p.key);
	CHECK(std::count_if(
		      o.begin(), o.end(), [](mp::view v) { return v.type() == MP_TYPE_I64; }) == 3);
}

TEST(values_compare_and_travel_as_bytes)
{
	mp::obj a = mp::obj::copy(mp::list_of(1, "b")).value();
	auto encoded = mp::encode(a).value();
	CHECK(encoded.size() > 0);
	mp::obj b = mp::obj::decode(encoded.bytes()).value();
	CHECK(a == b && !(a != b) && !(a < b));
	CHECK(mp::obj::decode("\xff\xff").error() == -EBADMSG);
	CHECK(mp::obj::copy(mp::arg(std::string_view("\xff"))).error() == -EILSEQ);
}

TEST(items_of_any_number)
{
	std::vector<std::string> names{"a", "b", "c"};
	mp::items items;
	for (const auto &name : names)
		items.add(name);
	mp::obj o = mp::obj::copy(items.add(4).list()).value();
	CHECK(o.size() == 4 && o[2].as<std::string_view>().value() == "c");
	CHECK(mp::obj::copy(items.dict()).value().size() == 2);
}

// --- handles ------------------------------------------------------------------------------------

TEST(handles_are_moved_and_referenced)
{
	mp::queue q = mp::queue::make({}).value();
	mp::queue other = q.ref();
	CHECK(q.c() == other.c());
	CHECK(q.put(1));
	mp::queue moved = std::move(q);
	CHECK(!q && moved);
	moved.reset();
	CHECK(other.get<int>(mp::nowait).value() == 1);
	mp_queue *raw = other.release();
	CHECK(!other);
	other = mp::queue::adopt(raw);
	CHECK(other.size() == 0);
	static_assert(
		!std::is_copy_constructible_v<mp::queue> && !std::is_copy_assignable_v<mp::pool>);
	static_assert(sizeof(mp::queue) == sizeof(void *));
}

TEST(handles_stand_in_values)
{
	mp::queue q = mp::queue::make().value();
	mp::obj o = mp::obj::copy(mp::list_of(q, mp::event::make().value())).value();
	CHECK(q.put("through"));
	q.reset();
	CHECK(o[0].as<mp::queue>().value().get<std::string>(mp::nowait).value() == "through");
	CHECK(o[1].as<mp::event>().value().is_set().value() == false);
	CHECK(o[1].as<mp::queue>().error() == -EINVAL);
	auto n = mp::value<int>::make(4).value();
	mp::obj v = mp::obj::copy(n).value();
	CHECK(v.as<mp::value<int>>().value().load().value() == 4);
	CHECK(v.as<mp::value<unsigned>>().error() == -EINVAL);
}

// --- processes ----------------------------------------------------------------------------------

int add(int a, int b)
{
	return a + b;
}

int plain(int argc, const mp_obj *argv)
{
	return argc + static_cast<int>(mp_obj_i64(&argv[0]));
}

int ends_with(mp::result<mp::process> made)
{
	auto p = std::move(made).value();
	p.join(soon).value();
	return p.exit_code().value();
}

TEST(targets_are_functions_and_lambdas)
{
	CHECK(ends_with(mp::process::launch(
		      [](int a, std::string_view s) { return a + int(s.size()); }, 3, "four")) ==
		7);
	CHECK(ends_with(mp::process::launch(mp::fn<add>, 20, 3)) == 23);
	CHECK(ends_with(mp::process::launch(plain, 40, "more")) == 42);
	CHECK(ends_with(mp::process::launch([] {})) == 0);
	CHECK(ends_with(mp::process::launch(
		      [](mp::args a) { return int(a.size()) + a[1].as<int>().value(); }, 1, 2,
		      3)) == 5);
}

TEST(targets_by_every_start_method)
{
	for (int method : {MP_START_FORK, MP_START_SPAWN, MP_START_FORKSERVER, MP_START_THREAD}) {
		mp_process_options o = {};
		o.start_method = method;
		o.name = "child";
		auto q = mp::queue::make().value();
		auto made = mp::process::make(
			o,
			[](mp::queue &results, std::string_view text) {
				return results.put(text) ? 5 : 1;
			},
			q, "hello");
		CHECK(made);
		CHECK(made->start() && made->pid().value() > 0 &&
			std::string(made->name()) == "child");
		CHECK(q.get<std::string>(soon).value() == "hello");
		CHECK(made->join(soon) && made->exit_code().value() == 5 &&
			!made->is_alive().value());
	}
}

TEST(wrong_arguments_are_found_before_the_start)
{
	auto r = mp::process::make([](int) {}, "text");
	CHECK(r.error() == -EINVAL && std::string(r.error().detail()).find("argument 1") == 0);
	CHECK(mp::process::make(mp::fn<add>, 1).error() == -EINVAL);
	CHECK(mp::process::make([](signed char) {}, 1000).error() == -ERANGE);
	CHECK(mp::process::make([](mp::queue) {}, mp::event::make().value()).error() == -EINVAL);
}

TEST(an_exception_in_a_target_ends_the_child)
{
	auto p = mp::process::launch({}, [] {
		std::set_terminate([] { _exit(77); });
		throw std::runtime_error("in the child");
	});
	CHECK(p && p->join(soon) && p->exit_code().value() == 77);
}

TEST(children_are_listed_and_killed)
{
	auto p = mp::process::launch([] { pause(); }).value();
	{
		auto all = mp::children().value();
		CHECK(std::any_of(
			all.begin(), all.end(), [&](auto &c) { return c->c() == p.c(); }));
	}
	CHECK(p.join(mp::nowait).error() == -ETIMEDOUT || p.join(mp::nowait).error() == -EAGAIN);
	CHECK(p.kill() && p.join(soon) && p.exit_code().value() == -SIGKILL);
	CHECK(p.sentinel().value() >= 0 && p.usage());
}

// --- pools --------------------------------------------------------------------------------------

mp::pool two_workers()
{
	mp_pool_options o = {};
	o.workers = 2;
	return mp::pool::make(o).value();
}

std::int64_t square(std::int64_t n)
{
	return n * n;
}

mp::result<int> half(int n)
{
	if (n % 2 != 0)
		return mp::error(-EDOM, "it is odd");
	return n / 2;
}

int plain_task(int argc, const mp_obj *argv, mp_obj *ret)
{
	(void)argv;
	*ret = mp_i64(argc);
	return 0;
}

TEST(tasks_are_functions_and_lambdas)
{
	mp::pool pool = two_workers();
	CHECK(pool.submit(mp::fn<square>, 12).value().get<std::int64_t>(soon).value() == 144);
	CHECK(pool.apply<int>(
			  soon, [](int a, int b) { return a - b; }, 7, 3)
			.value() == 4);
	CHECK(pool.apply<int>(soon, plain_task, 1, 2, 3).value() == 3);
	CHECK(pool.apply(soon, [] {}).value().is_nil());
	auto o =
		pool.apply(
			    soon,
			    [](std::string_view s) {
				    std::string twice(s);
				    twice += s;
				    return mp::obj::copy(mp::dict_of(twice, mp::list_of(s.size())));
			    },
			    "ab")
			.value();
	CHECK(o["abab"][0].as<int>().value() == 2);
	CHECK(pool.apply<std::string>(
			  soon, [](std::string_view s) { return s; }, "same")
			.value() == "same");
	CHECK(pool.workers().value() == 2 && pool.join(soon));
}

TEST(tasks_fail_with_their_sentence)
{
	mp::pool pool = two_workers();
	CHECK(pool.apply<int>(soon, mp::fn<half>, 8).value() == 4);
	auto f = pool.submit(mp::fn<half>, 7).value();
	auto r = f.get(soon);
	CHECK(r.error() == -EDOM && std::string(r.error().detail()) == "it is odd");
	CHECK(f.state() == MP_FUTURE_FAILED && f.done().value() && !f.cancelled().value());
	auto why = f.why_failed(soon).value();
	CHECK(why && why->code == -EDOM && why->message == "it is odd");
	CHECK(!pool.submit(mp::fn<half>, 8).value().why_failed(soon).value());

	auto thrown = pool.apply(soon, [] { throw std::logic_error("thrown"); });
	CHECK(thrown.error() == -ENOTRECOVERABLE);
	CHECK(std::string(thrown.error().detail()).find("thrown") != std::string::npos);
	CHECK(pool.apply(soon, [](mp::args a) { a[9].as<int>().value(); }).error() == -ENOENT);
	CHECK(pool.apply(soon, [] { throw std::bad_alloc(); }).error() == -ENOMEM);
	CHECK(pool.apply(soon, [] { throw 1; }).error() == -ENOTRECOVERABLE);
	CHECK(pool.submit(mp::fn<half>, "text").error() == -EINVAL);
	CHECK(pool.apply(soon, mp::fn<half>).error() == -EINVAL);
}

TEST(a_task_that_kills_its_worker)
{
	mp::pool pool = two_workers();
	mp_task_options o = {};
	o.name = "deadly";
	auto f = pool.submit(o, [] { (void)raise(SIGKILL); }).value();
	CHECK(f.get(soon).error() == -EOWNERDEAD && f.state() == MP_FUTURE_CRASHED);
	auto crash = f.crash().value();
	CHECK(crash.signal == SIGKILL && std::string(crash.task_name) == "deadly");
	CHECK(pool.apply<std::int64_t>(soon, mp::fn<square>, 3).value() == 9);
}

TEST(callbacks_capture)
{
	mp::pool pool = two_workers();
	auto seen = std::make_shared<std::vector<std::int64_t>>();
	std::vector<mp::future> futures;
	for (int i = 0; i < 5; i++) {
		futures.push_back(pool.submit(mp::fn<square>, i).value());
		CHECK(futures.back().on_done([seen](mp::future &f) {
			seen->push_back(f.get<std::int64_t>(mp::nowait).value_or(-1));
		}));
	}
	CHECK(mp::wait_for(futures, MP_WAIT_ALL, soon).value() == 5);
	std::sort(seen->begin(), seen->end());
	CHECK(*seen == std::vector<std::int64_t>{0, 1, 4, 9, 16} && seen.use_count() == 1);

	auto it = mp::as_completed::make(futures).value();
	int n = 0;
	for (;;) {
		auto next = it.next(soon).value();
		if (!next)
			break;
		CHECK((**next).done().value());
		n++;
	}
	CHECK(n == 5);
}

TEST(maps)
{
	mp::pool pool = two_workers();
	std::vector<int> numbers{1, 2, 3, 4};
	auto squares = pool.map<std::int64_t>(mp::fn<square>, numbers).value();
	CHECK(squares == std::vector<std::int64_t>{1, 4, 9, 16});
	CHECK(pool.map(mp::fn<half>, numbers).error() == -EDOM);
	mp_map_options star = {};
	star.star = true;
	std::vector<decltype(mp::list_of(1, 2))> pairs;
	pairs.push_back(mp::list_of(1, 2));
	pairs.push_back(mp::list_of(3, 4));
	CHECK(pool.map<int>(mp::fn<add>, pairs, star).value() == std::vector<int>{3, 7});
	auto all = pool.map_async(mp::fn<square>, numbers).value().get(soon).value();
	CHECK(all.size() == 4 && all[3].as<int>().value() == 16);
	std::vector<std::string> words{"a", "bb"};
	auto sizes = pool.map([](std::string_view s) { return s.size(); }, words).value();
	CHECK(sizes[1].as<int>().value() == 2);
}

TEST(imap_pulls_from_a_source)
{
	mp::pool pool = two_workers();
	int given = 0;
	auto it = pool.imap([](std::string_view s) { return s.size(); },
			      [&given]() -> std::optional<std::string> {
				      if (given == 20)
					      return std::nullopt;
				      return std::string(static_cast<std::size_t>(given++), 'x');
			      })
			  .value();
	CHECK(given < 20);
	mp::imap moved = std::move(it);
	for (int i = 0; i < 20; i++)
		CHECK(moved.next(soon).value()->as<int>().value() == i);
	CHECK(!moved.next(soon).value());
}

TEST(loops_over_shared_memory)
{
	auto table = mp::array<int>::make(1000).value();
	mp::pool pool = two_workers();
	auto handles = mp::list_of(table);
	mp_for_options o = {};
	o.args = handles;
	auto body = [](const mp_range &range) -> mp::result<void> {
		auto items = mp::view(range.argv).as<mp::array<int>>();
		if (!items)
			return items.error();
		for (std::size_t i = range.begin; i < range.end; i++)
			items->items()[i] = static_cast<int>(i);
		return {};
	};
	CHECK(pool.for_each(1000, body, nullptr, o));
	for (int i = 0; i < 1000; i++)
		CHECK(table.items()[static_cast<std::size_t>(i)] == i);
	auto fails = [](const mp_range &) -> mp::result<void> { return mp::error(-EDOM, "no"); };
	CHECK(pool.for_each(10, fails).error() == -EDOM);
	CHECK(pool.for_each(10, [](const mp_range &) { throw 1; }).error() == -ENOTRECOVERABLE);
}

TEST(futures_are_cancelled)
{
	mp::pool pool = two_workers();
	auto f = pool.submit([] {
			     while (!mp_task_cancelled())
				     usleep(1000);
			     return mp::result<void>(mp_error_set(-ECANCELED, "told"));
		     }).value();
	while (!f.running().value())
		usleep(1000);
	CHECK(f.cancel().value() == false);
	CHECK(f.wait(soon) && f.cancelled().value() && f.get(soon).error() == -ECANCELED);
	CHECK(pool.shutdown(MP_SHUTDOWN_CANCEL) &&
		pool.submit(mp::fn<square>, 1).error() == -EPIPE);
	CHECK(pool.terminate());
}

} // namespace

int main(int argc, char **argv)
{
	mp_begin(&argc, &argv);
	FILE *tap = stdout;
	for (int i = 1; i < argc; i++)
		if (std::strncmp(argv[i], "--tap=", 6) == 0)
			tap = std::fopen(argv[i] + 6, "we");
	if (!tap)
		return 2;
	std::fprintf(tap, "1..%zu\n", tests().size());
	std::fflush(tap);
	int failed = 0, n = 0;
	for (const test &t : tests()) {
		bool passed = false;
		try {
			t.run();
			passed = true;
		} catch (const failed_check &) {
		} catch (const std::exception &e) {
			std::fprintf(stderr, "%s: %s\n", t.name, e.what());
		}
		std::fprintf(tap, "%s %d - hpp/%s\n", passed ? "ok" : "not ok", ++n, t.name);
		std::fflush(tap);
		failed += !passed;
	}
	return failed > 0;
}
