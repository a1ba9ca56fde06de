/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/channel.hpp - connections, listeners, and waiting for several of all kinds.
 *
 * The contracts are those of mp/connection.h, mp/listener.h and mp/wait.h.
 */
#ifndef MP_HPP_CHANNEL_HPP
#define MP_HPP_CHANNEL_HPP

#include <mp/hpp/pool.hpp>
#include <mp/hpp/process.hpp>
#include <mp/hpp/queue.hpp>
#include <mp/hpp/sync.hpp>

namespace mp
{

/* --- connections ----------------------------------------------------------------------------- */

class connection : public detail::handle<connection, mp_connection>
{
      public:
	struct credentials {
		pid_t pid;
		uid_t uid;
		gid_t gid;
	};

	static result<std::pair<connection, connection>> pair(const mp_connection_options &o = {})
	{
		return two(mp_connection_pair, o);
	}

	/* Over shared memory: mp_pipe(). */
	static result<std::pair<connection, connection>> pipe(const mp_connection_options &o = {})
	{
		return two(mp_pipe, o);
	}

	static result<connection> from_fd(int fd, const mp_connection_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<connection>(
			[&](mp_connection **p) { return mp_connection_from_fd(fd, &options, p); });
	}

	static result<connection> open(
		const char *address, timeout t = forever, const mp_connection_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<connection>([&](mp_connection **p) {
			return mp_connection_open(address, &options, t.ms(), p);
		});
	}

	result<void> send(const arg &value, timeout t = forever)
	{
		return result<void>(mp_connection_send(c(), value, t.ms()));
	}

	result<void> send_bytes(bytes data, timeout t = forever)
	{
		return result<void>(
			mp_connection_send_bytes(c(), data.data(), data.size(), t.ms()));
	}

	template <class T = obj> result<T> recv(timeout t = forever)
	{
		return detail::fetched<T>(mp_connection_recv, c(), t.ms());
	}

	result<buffer> recv_bytes(timeout t = forever)
	{
		void *data;
		std::size_t size;
		int r = mp_connection_recv_bytes(c(), t.ms(), &data, &size);
		if (r < 0)
			return error(r);
		return buffer(data, size);
	}

	result<std::size_t> recv_bytes_into(span<std::byte> into, timeout t = forever)
	{
		std::size_t size;
		int r = mp_connection_recv_bytes_into(c(), into.data(), into.size(), t.ms(), &size);
		if (r < 0)
			return error(r);
		return size;
	}

	result<bool> poll(timeout t = nowait)
	{
		return detail::yes(mp_connection_poll(c(), t.ms()));
	}

	result<int> fileno()
	{
		return detail::number(mp_connection_fileno(c()));
	}

	result<int> direction()
	{
		return detail::number(mp_connection_direction(c()));
	}

	result<void> shutdown()
	{
		return result<void>(mp_connection_shutdown(c()));
	}

	result<credentials> peer_credentials()
	{
		credentials who;
		int r = mp_connection_peer_credentials(c(), &who.pid, &who.uid, &who.gid);
		if (r < 0)
			return error(r);
		return who;
	}

	result<std::string> peer_address()
	{
		int n = mp_connection_peer_address(c(), nullptr, 0);
		if (n < 0)
			return error(n);
		std::string address(static_cast<std::size_t>(n), '\0');
		n = mp_connection_peer_address(c(), address.data(), address.size() + 1);
		if (n < 0)
			return error(n);
		return address;
	}

      private:
	using maker = int(const mp_connection_options *, mp_connection **, mp_connection **);

	static result<std::pair<connection, connection>> two(
		maker *make, const mp_connection_options &o)
	{
		mp_connection *first, *second;
		auto options = detail::sized(o);
		int r = make(&options, &first, &second);
		if (r < 0)
			return error(r);
		return std::pair<connection, connection>(adopt(first), adopt(second));
	}
};

class listener : public detail::handle<listener, mp_listener>
{
      public:
	/* NULL: a Unix socket in a new directory. */
	static result<listener> make(const char *address, const mp_listener_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<listener>(
			[&](mp_listener **p) { return mp_listener_new(address, &options, p); });
	}

	const char *address() const noexcept
	{
		return mp_listener_address(c());
	}

	result<connection> accept(timeout t = forever)
	{
		return detail::made<connection>(
			[&](mp_connection **p) { return mp_listener_accept(c(), t.ms(), p); });
	}

	result<int> fileno()
	{
		return detail::number(mp_listener_fileno(c()));
	}

	result<mp_listener_stats> stats()
	{
		mp_listener_stats stats;
		stats.size = sizeof(stats);
		int r = mp_listener_get_stats(c(), &stats);
		if (r < 0)
			return error(r);
		return stats;
	}
};

/* --- wait ------------------------------------------------------------------------------------ */

/* What can be waited for, as mp_waitable: MP_WAIT() for the classes of this header. */
inline mp_waitable on(int fd, int events = POLLIN) noexcept
{
	return MP_WAIT_FD(fd, events);
}

inline mp_waitable on(const connection &x) noexcept
{
	return MP_WAIT(x.c());
}

inline mp_waitable on(const listener &x) noexcept
{
	return MP_WAIT(x.c());
}

inline mp_waitable on(const process &x) noexcept
{
	return MP_WAIT(x.c());
}

inline mp_waitable on(const queue &x) noexcept
{
	return MP_WAIT(x.c());
}

inline mp_waitable on(const event &x) noexcept
{
	return MP_WAIT(x.c());
}

inline mp_waitable on(const future &x) noexcept
{
	return MP_WAIT(x.c());
}

inline mp_waitable on_room(const queue &x) noexcept
{
	return MP_WAIT_ROOM(x.c());
}

/* How many are ready, which each item then says; 0 the time was over. */
inline result<int> wait(span<mp_waitable> items, timeout t = forever)
{
	return detail::number(mp_wait(items.data(), items.size(), t.ms()));
}

/* A set that is kept. */
class waiter : public detail::handle<waiter, mp_waiter>
{
      public:
	static result<waiter> make()
	{
		return detail::made<waiter>(mp_waiter_new);
	}

	result<void> add(mp_waitable item, void *data)
	{
		return result<void>(mp_waiter_add(c(), item, data));
	}

	result<void> modify(mp_waitable item, void *data)
	{
		return result<void>(mp_waiter_modify(c(), item, data));
	}

	result<void> remove(mp_waitable item)
	{
		return result<void>(mp_waiter_remove(c(), item));
	}

	/* The first of `into`, those that are filled. */
	result<span<mp_ready>> wait(span<mp_ready> into, timeout t = forever)
	{
		int r = mp_waiter_wait(c(), into.data(), into.size(), t.ms());
		if (r < 0)
			return error(r);
		return span<mp_ready>(into.data(), static_cast<std::size_t>(r));
	}
};

} // namespace mp

#endif
