/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/server.hpp - classes of one's own, served to every program that may connect.
 *
 *	struct account {
 *		std::int64_t balance = 0;
 *		mp::result<std::int64_t> deposit(std::int64_t n);
 *	};
 *	static const mp_method methods[] = {mp::method<&account::deposit>("deposit"), {}};
 *	static const mp_served_type type = mp::served_type<account>("account", methods);
 *
 *	auto server = mp::server::make("unix:/run/bank/socket").value();
 *	server.add(type).value();
 *	server.run().value();
 *
 * Arguments and results of methods are those of tasks, see mp/hpp/call.hpp; so is what becomes of
 * exceptions. The contracts are those of mp/server.h.
 */
#ifndef MP_HPP_SERVER_HPP
#define MP_HPP_SERVER_HPP

#include <mp/hpp/call.hpp>

namespace mp
{
namespace detail
{

template <class M> struct member_of;
template <class C, class F> struct member_of<F C::*> {
	using type = C;
};

template <auto M> int run_method(void *object, int argc, const mp_obj *argv, mp_obj *ret)
{
	using C = typename member_of<decltype(M)>::type;
	auto bound = [object](auto &&...a) -> decltype(auto) {
		return (static_cast<C *>(object)->*M)(std::forward<decltype(a)>(a)...);
	};

	return guarded("method", [&] {
		return call<decltype(M)>(bound, argc, argv, [ret](auto &&value) {
			return deliver(std::forward<decltype(value)>(value), ret);
		});
	});
}

template <class T> int make_object(int argc, const mp_obj *argv, void **ret_object)
{
	return guarded("constructor", [&] {
		if constexpr (std::is_constructible_v<T, args>) {
			*ret_object = new T(args(argc, argv));
		} else {
			(void)argv;
			if (argc != 0)
				return mp_error_set(-EINVAL,
					"the object is made without arguments, and %d are given",
					argc);
			*ret_object = new T();
		}
		return 0;
	});
}

template <class T> void free_object(void *object)
{
	delete static_cast<T *>(object);
}

} // namespace detail

/* A member function that others call by this name. */
template <auto M> constexpr mp_method method(const char *name) noexcept
{
	return {name, detail::run_method<M>};
}

/*
 * A class whose objects are served, made by T(mp::args) if there is such a constructor, else by
 * T(). The methods, ended by {}, are lent.
 */
template <class T>
constexpr mp_served_type served_type(const char *name, const mp_method *methods) noexcept
{
	return {name, detail::make_object<T>, detail::free_object<T>, methods};
}

/* What T() or T(mp::args) made of the object in an argument; NULL as mp_obj_served(). */
template <class T> T *served(view value, const mp_served_type &type) noexcept
{
	return static_cast<T *>(mp_obj_served(value.raw(), &type));
}

/* In a method: a new object of that type, as its result or in it. As mp_served_new(). */
template <class T> result<obj> serve_new(const mp_served_type &type, std::unique_ptr<T> object)
{
	mp_obj o;
	int r = mp_served_new(&type, object.get(), &o);

	if (r >= 0)
		(void)object.release(); /* it is the server's now */
	return detail::owned(r, o);
}

class server : public detail::handle<server, mp_server>
{
      public:
	static result<server> make(const char *address, const mp_server_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<server>(
			[&](mp_server **p) { return mp_server_new(address, &options, p); });
	}

	/* Serve this type, too: mp_server_register(). It is lent, with its methods. */
	result<void> add(const mp_served_type &type)
	{
		return result<void>(mp_server_register(c(), &type));
	}

	/* In this thread, until stop(). */
	result<void> run()
	{
		return result<void>(mp_server_run(c()));
	}

	result<void> stop()
	{
		return result<void>(mp_server_stop(c()));
	}
};

} // namespace mp

#endif
