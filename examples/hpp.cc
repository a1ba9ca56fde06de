// SPDX-License-Identifier: MIT
// Words of several texts, counted by a pool, and a queue that a child fills.
#include <mp.hpp>

#include <cstdio>

using namespace std::chrono_literals;

// A task: arguments and result are typed, and an error is returned as what it is.
static mp::result<int> words(std::string_view text)
{
	if (text.empty())
		return mp::error(-EINVAL, "there is no text");
	int n = 0;
	bool inside = false;
	for (char c : text) {
		n += c != ' ' && !inside;
		inside = c != ' ';
	}
	return n;
}

// Errors are looked at where they are of interest; value() throws the others.
static int run()
{
	auto pool = mp::pool::make().value();
	std::vector<std::string> texts{"to be or not to be", "that is", "the question"};
	auto counts = pool.map<int>(mp::fn<words>, texts).value();
	for (std::size_t i = 0; i < texts.size(); i++)
		std::printf("%-20s %d\n", texts[i].c_str(), counts[i]);

	auto none = pool.apply<int>(10s, mp::fn<words>, "");
	if (!none)
		std::printf("%s: %s\n", none.error().message(), none.error().detail());

	auto queue = mp::queue::make().value();
	auto child = mp::process::launch(
		[](mp::queue &q, int n) {
			for (int i = 0; i < n; i++)
				q.put(mp::dict_of("i", i, "square", i * i)).value();
		},
		queue, 3);
	child.value().join(10s).value();
	while (auto item = queue.get(mp::nowait))
		std::printf("%s\n", item->to_string().c_str());
	return 0;
}

int main(int argc, char **argv)
{
	mp_begin(&argc, &argv);
	try {
		return run();
	} catch (const mp::failure &e) {
		std::fprintf(stderr, "%s\n", e.what());
		return 1;
	}
}
