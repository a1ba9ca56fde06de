// SPDX-License-Identifier: MIT A harness for tests of mp.hpp: no Criterion, so that every C++
// compiler builds them and they link to nothing but libmp. main() in test_hpp.cc reports as
// Criterion does, by --tap=FILE.
#ifndef TESTS_SUPPORT_HPP_HPP
#define TESTS_SUPPORT_HPP_HPP

#include <config.h>
#include <mp.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <unistd.h>

using namespace std::chrono_literals;

struct test {
	const char *name;
	void (*run)();
};

inline std::vector<test> &tests()
{
	static std::vector<test> all;
	return all;
}

struct failed_check {
};

#define TEST(name)                                                                           \
	void name();                                                                         \
	[[maybe_unused]] const bool added_##name = (tests().push_back({#name, name}), true); \
	void name()

#define CHECK(...)                                                                         \
	do {                                                                               \
		if (!(__VA_ARGS__)) {                                                      \
			std::fprintf(stderr, "%s:%d: %s (last: %s)\n", __FILE__, __LINE__, \
				#__VA_ARGS__, mp_error_detail());                          \
			throw failed_check();                                              \
		}                                                                          \
	} while (0)

// Far beyond what any step takes, so that a hang is an error and not a verdict by speed.
constexpr auto soon = 60s;

#endif
