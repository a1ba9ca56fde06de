/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/call.hpp - C++ functions as targets and tasks.
 *
 *	pool.submit([](std::int64_t n) { return n * n; }, 12)
 *	pool.submit(mp::fn<square>, 12)
 *
 * A target runs in another process, which finds it by its place in the program file. So it has to
 * be a function: a lambda without captures, or a named function as mp::fn<name>. What a lambda
 * captured would be in this process's memory, and for ever out of reach there; a std::function is
 * no function at all. What the other side has to know goes as an argument.
 *
 * For each such function there is one C function here, which takes its arguments out of the values,
 * calls it, and makes a value of what it returns. Wrong arguments are found before anything starts.
 */
#ifndef MP_HPP_CALL_HPP
#define MP_HPP_CALL_HPP

#include <mp/hpp/obj.hpp>

#include <cxxabi.h>

namespace mp
{

/* All arguments, for targets that take any number: `[](mp::args a) { a[0].as<int>(); }`. */
class args
{
	const mp_obj *argv_;
	std::size_t argc_;

      public:
	args(int argc, const mp_obj *argv) noexcept
	    : argv_(argv), argc_(static_cast<std::size_t>(argc))
	{
	}

	std::size_t size() const noexcept
	{
		return argc_;
	}

	view operator[](std::size_t i) const noexcept
	{
		return i < argc_ ? view(argv_ + i) : view();
	}

	view::iterator begin() const noexcept
	{
		return view::iterator(argv_);
	}

	view::iterator end() const noexcept
	{
		return view::iterator(argc_ > 0 ? argv_ + argc_ : argv_);
	}
};

namespace detail
{

template <auto F, class Type = decltype(F)> struct named;

template <auto F, class R, class... A> struct named<F, R (*)(A...)> {
	R operator()(A... a) const
	{
		return F(static_cast<A &&>(a)...);
	}
};

template <auto F, class R, class... A> struct named<F, R (*)(A...) noexcept> {
	R operator()(A... a) const
	{
		return F(static_cast<A &&>(a)...);
	}
};

template <class F> struct signature : signature<decltype(&F::operator())> {
};
template <class C, class R, class... A> struct signature<R (C::*)(A...) const> {
	using returns = R;
	using parameters = std::tuple<A...>;
	static constexpr bool takes_all =
		sizeof...(A) == 1 && (std::is_same_v<std::decay_t<A>, args> && ...);
};
template <class C, class R, class... A>
struct signature<R (C::*)(A...) const noexcept> : signature<R (C::*)(A...) const> {
};
template <class C, class R, class... A>
struct signature<R (C::*)(A...)> : signature<R (C::*)(A...) const> {
};
template <class C, class R, class... A>
struct signature<R (C::*)(A...) noexcept> : signature<R (C::*)(A...) const> {
};

/*
 * The one object of a class without state, in a process that was never given one: a class like this
 * comes into being with the storage it has.
 */
template <class F> const F &stateless() noexcept
{
	alignas(F) static unsigned char place[sizeof(F)];
	return *std::launder(reinterpret_cast<const F *>(place));
}

template <class F> constexpr void must_be_a_function()
{
	static_assert(!std::is_pointer_v<F>, "write mp::fn<name> for a named function");
	static_assert(std::is_empty_v<F> && std::is_trivially_copyable_v<F>,
		"a target runs in another process, where captures would point at nothing: "
		"use a lambda without captures, and pass what it needs as arguments");
}

template <class P> using read_type = std::remove_cv_t<std::remove_reference_t<P>>;

/* Take the arguments apart; the first that is wrong is the error. */
template <class... P, std::size_t... I>
auto read_arguments(std::tuple<P...> *, std::index_sequence<I...>, const mp_obj *argv)
{
	(void)argv;
	return std::tuple<result<read_type<P>>...>(view(argv + I).as<read_type<P>>()...);
}

template <class Tuple, std::size_t... I>
int first_error(const Tuple &values, std::index_sequence<I...>)
{
	int r = 0;

	((r == 0 && !std::get<I>(values).ok()
			 ? (r = mp_error_set(std::get<I>(values).code(), "argument %zu: %s", I + 1,
				    std::get<I>(values).error().detail()))
			 : 0),
		...);
	return r;
}

template <class F> int wrong_number(int argc)
{
	return mp_error_set(-EINVAL, "the function takes %zu arguments, and %d are given",
		std::tuple_size_v<typename signature<F>::parameters>, argc);
}

/* Would the function take these? 0 or an error. */
template <class F> int check_arguments(const mp_obj &list)
{
	using s = signature<F>;
	using parameters = typename s::parameters;
	constexpr std::size_t n = std::tuple_size_v<parameters>;

	if constexpr (!s::takes_all) {
		if (list.count != n)
			return wrong_number<F>(static_cast<int>(list.count));
		constexpr auto indexes = std::make_index_sequence<n>();
		return first_error(
			read_arguments(static_cast<parameters *>(nullptr), indexes, list.as.items),
			indexes);
	}
	return 0;
}

/* Call it and hand what it returns to `then`; < 0 when the arguments are wrong. */
template <class F, class Function, class... P, std::size_t... I, class Then>
int call_with(const Function &f, std::tuple<P...> *parameters, std::index_sequence<I...> indexes,
	const mp_obj *argv, Then then)
{
	auto values = read_arguments(parameters, indexes, argv);
	int r = first_error(values, indexes);

	if (r < 0)
		return r;
	if constexpr (std::is_void_v<typename signature<F>::returns>) {
		f(static_cast<P &&>(*std::get<I>(values))...);
		return 0;
	} else {
		return then(f(static_cast<P &&>(*std::get<I>(values))...));
	}
}

/* `F` says what it takes, and is a class with operator() or a pointer to a member function. */
template <class F, class Function, class Then>
int call(const Function &f, int argc, const mp_obj *argv, Then then)
{
	using s = signature<F>;
	using parameters = typename s::parameters;

	if constexpr (s::takes_all) {
		if constexpr (std::is_void_v<typename s::returns>) {
			f(args(argc, argv));
			return 0;
		} else {
			return then(f(args(argc, argv)));
		}
	} else {
		constexpr std::size_t n = std::tuple_size_v<parameters>;
		if (static_cast<std::size_t>(argc) != n)
			return wrong_number<F>(argc);
		return call_with<F>(f, static_cast<parameters *>(nullptr),
			std::make_index_sequence<n>(), argv, then);
	}
}

template <class T> struct is_result : std::false_type {
};
template <class T> struct is_result<result<T>> : std::true_type {
};

/* What a task returned becomes its result. */
template <class T> int deliver(T &&value, mp_obj *ret)
{
	using V = std::decay_t<T>;

	if constexpr (is_result<V>::value) {
		if (!value)
			return mp_error_set(value.code(), "%s", value.error().detail());
		if constexpr (std::is_void_v<typename V::value_type>)
			return 0;
		else
			return deliver(*std::move(value), ret);
	} else if constexpr (std::is_same_v<V, obj>) {
		*ret = value.release();
		return 0;
	} else if constexpr (std::is_arithmetic_v<V>) {
		*ret = arg(value);
		return 0;
	} else {
		return mp_obj_copy(arg(value), ret);
	}
}

/* What was thrown becomes an error; a thread that ends itself goes on ending. */
template <class Body> int guarded(const char *who, Body body)
{
#if defined(__cpp_exceptions)
	try {
		return body();
	} catch (const failure &e) {
		return mp_error_set(e.code(), "%s", e.what());
	} catch (const std::bad_alloc &) {
		return mp_error_set(-ENOMEM, "the %s found no memory", who);
	} catch (const std::exception &e) {
		return mp_error_set(
			-ENOTRECOVERABLE, "the %s threw an exception: %s", who, e.what());
#if defined(__GLIBCXX__)
	} catch (abi::__forced_unwind &) {
		throw;
#endif
	} catch (...) {
		return mp_error_set(
			-ENOTRECOVERABLE, "the %s threw what is no std::exception", who);
	}
#else
	(void)who;
	return body();
#endif
}

template <class F> int run_task(int argc, const mp_obj *argv, mp_obj *ret)
{
	return guarded("task", [&] {
		return call<F>(stateless<F>(), argc, argv, [ret](auto &&value) {
			return deliver(std::forward<decltype(value)>(value), ret);
		});
	});
}

/* An exception must not reach main()'s handlers in a copy of the parent: it ends the child. */
template <class F> int run_target(int argc, const mp_obj *argv)
{
	using returns = typename signature<F>::returns;
	static_assert(std::is_void_v<returns> || std::is_integral_v<returns>,
		"the target of a process returns its exit code, or nothing");
	auto body = [&] {
		return call<F>(stateless<F>(), argc, argv,
			[](auto code) { return static_cast<int>(code); });
	};
#if defined(__cpp_exceptions)
	try {
		return body();
#if defined(__GLIBCXX__)
	} catch (abi::__forced_unwind &) {
		throw;
#endif
	} catch (...) {
		std::terminate();
	}
#else
	return body();
#endif
}

/* As the C API wants it: C functions as they are, others by what was said above. */
template <class F> mp_task *task_of(const F &f)
{
	if constexpr (std::is_convertible_v<F, mp_task *>) {
		return f;
	} else {
		(void)f;
		must_be_a_function<F>();
		return run_task<F>;
	}
}

template <class F> mp_target *target_of(const F &f)
{
	if constexpr (std::is_convertible_v<F, mp_target *>) {
		return f;
	} else {
		(void)f;
		must_be_a_function<F>();
		return run_target<F>;
	}
}

template <class C, class F> int check_call(const F &, const mp_obj &list)
{
	if constexpr (std::is_convertible_v<F, C>)
		return 0;
	else
		return check_arguments<F>(list);
}

} // namespace detail

/* A named function as a target or task: mp::fn<square>. */
template <auto F> inline constexpr detail::named<F> fn{};

} // namespace mp

#endif
