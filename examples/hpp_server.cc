// SPDX-License-Identifier: MIT
// A class of one's own, served in a thread; other programs do what use() does.
#include <mp.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;

class account
{
	std::int64_t balance_ = 0;

      public:
	std::int64_t deposit(std::int64_t n)
	{
		return balance_ += n;
	}

	mp::result<std::int64_t> withdraw(std::int64_t n)
	{
		if (n > balance_)
			return mp::error(-EDOM, "there is not so much");
		return balance_ -= n;
	}
};

static const mp_method methods[] = {
	mp::method<&account::deposit>("deposit"), mp::method<&account::withdraw>("withdraw"), {}};
static const mp_served_type type = mp::served_type<account>("account", methods);

static void use(const std::string &address)
{
	auto manager = mp::manager::connect(address.c_str()).value();
	auto bob = manager.open("account", "Bob").value();
	auto alice = manager.open("account", "Alice").value();
	bob.call(10s, "deposit", 100).value();
	// Several at once: one way to the server and back.
	for (auto &r : mp::call_many({mp::call_of(bob, "withdraw", mp::list_of(30)),
		     mp::call_of(alice, "deposit", mp::list_of(30)),
		     mp::call_of(alice, "withdraw", mp::list_of(31))})) {
		if (r)
			std::printf("%s\n", r.value().to_string().c_str());
		else
			std::printf("%s\n", r.error().detail());
	}
}

int main()
{
	char directory[] = "/tmp/mp-example-XXXXXX";
	int failed = 0;

	if (!mkdtemp(directory))
		return 1;
	try {
		std::string address = std::string(directory) + "/socket";
		auto server = mp::server::make(address.c_str()).value();
		server.add(type).value();
		std::thread thread([&server] { (void)server.run(); });
		try {
			use(address);
		} catch (const mp::failure &e) {
			std::fprintf(stderr, "%s\n", e.what());
			failed = 1;
		}
		(void)server.stop();
		thread.join();
	} catch (const mp::failure &e) {
		std::fprintf(stderr, "%s\n", e.what());
		failed = 1;
	}
	rmdir(directory);
	return failed;
}
