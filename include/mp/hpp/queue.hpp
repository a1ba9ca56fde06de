/* SPDX-License-Identifier: MIT */
/*
 * mp/hpp/queue.hpp - queues between processes.
 *
 *	auto q = mp::queue::make().value();
 *	q.put(mp::list_of("square", 12), 10s).value();
 *	int n = q.get<int>(10s).value();
 *
 * The contracts are those of mp/queue.h. Queues of a managerd stand in mp/hpp/served_list.hpp.
 */
#ifndef MP_HPP_QUEUE_HPP
#define MP_HPP_QUEUE_HPP

#include <mp/hpp/obj.hpp>

namespace mp
{

class queue : public detail::handle<queue, mp_queue>
{
      public:
	static result<queue> make(const mp_queue_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<queue>([&](mp_queue **p) { return mp_queue_new(&options, p); });
	}

	/* By name. NULL: a name is made up. */
	static result<queue> create(const char *name, const mp_queue_options &o = {})
	{
		auto options = detail::sized(o);
		return detail::made<queue>(
			[&](mp_queue **p) { return mp_queue_create(name, &options, p); });
	}

	static result<queue> open(const char *name)
	{
		return detail::made<queue>([&](mp_queue **p) { return mp_queue_open(name, p); });
	}

	static result<void> unlink(const char *name)
	{
		return result<void>(mp_queue_unlink(name));
	}

	const char *name() const noexcept
	{
		return mp_queue_name(c());
	}

	result<void> put(const arg &value, timeout t = forever)
	{
		return result<void>(mp_queue_put(c(), value, t.ms()));
	}

	result<void> put_bytes(bytes data, timeout t = forever)
	{
		return result<void>(mp_queue_put_bytes(c(), data.data(), data.size(), t.ms()));
	}

	/* Into a queue of order MP_QUEUE_PRIORITY: the lowest number comes out first. */
	result<void> put_priority(const arg &value, std::int64_t priority, timeout t = forever)
	{
		return result<void>(mp_queue_put_priority(c(), value, priority, t.ms()));
	}

	result<void> put_priority_bytes(bytes data, std::int64_t priority, timeout t = forever)
	{
		return result<void>(mp_queue_put_priority_bytes(
			c(), data.data(), data.size(), priority, t.ms()));
	}

	template <class T = obj> result<T> get(timeout t = forever)
	{
		return detail::fetched<T>(mp_queue_get, c(), t.ms());
	}

	result<buffer> get_bytes(timeout t = forever)
	{
		void *data;
		std::size_t size;
		int r = mp_queue_get_bytes(c(), t.ms(), &data, &size);
		if (r < 0)
			return error(r);
		return buffer(data, size);
	}

	/* How many there were. */
	result<std::size_t> get_bytes_into(span<std::byte> into, timeout t = forever)
	{
		std::size_t size;
		int r = mp_queue_get_bytes_into(c(), into.data(), into.size(), t.ms(), &size);
		if (r < 0)
			return error(r);
		return size;
	}

	/* How many were put, of whatever can be values. */
	template <class Items> result<int> put_many(const Items &items, timeout t = forever)
	{
		std::vector<mp_obj> values;
		values.reserve(std::size(items));
		for (const auto &item : items)
			values.push_back(arg(item));
		return detail::number(mp_queue_put_many(c(), values.data(), values.size(), t.ms()));
	}

	/* One at least, unless it is an error, and at most `max`. */
	result<std::vector<obj>> get_many(std::size_t max, timeout t = forever)
	{
		std::vector<mp_obj> raw(max);
		int r = mp_queue_get_many(c(), t.ms(), raw.data(), raw.size());
		if (r < 0)
			return error(r);
		return std::vector<obj>(raw.begin(), raw.begin() + r);
	}

	/*
	 * How many messages were put or got, as mp_queue_put_many_bytes() and
	 * mp_queue_get_many_bytes().
	 */
	result<int> put_many_bytes(span<const struct iovec> messages, timeout t = forever)
	{
		return detail::number(
			mp_queue_put_many_bytes(c(), messages.data(), messages.size(), t.ms()));
	}

	result<int> get_many_bytes(
		span<std::byte> into, span<struct iovec> ret_messages, timeout t = forever)
	{
		return detail::number(mp_queue_get_many_bytes(c(), t.ms(), into.data(), into.size(),
			ret_messages.data(), ret_messages.size()));
	}

	/* A message that is leased, and goes to another one unless ack() is said. */
	struct leased_message {
		obj value;
		mp_lease lease;
	};

	result<leased_message> lease(timeout t = forever)
	{
		mp_obj o;
		mp_lease lease;
		int r = mp_queue_lease(c(), t.ms(), &o, &lease);
		if (r < 0)
			return error(r);
		return leased_message{obj(o), lease};
	}

	struct leased_bytes {
		buffer data;
		mp_lease lease;
	};

	result<leased_bytes> lease_bytes(timeout t = forever)
	{
		void *data;
		std::size_t size;
		mp_lease lease;
		int r = mp_queue_lease_bytes(c(), t.ms(), &data, &size, &lease);
		if (r < 0)
			return error(r);
		return leased_bytes{buffer(data, size), lease};
	}

	result<void> ack(const mp_lease &lease)
	{
		return result<void>(mp_queue_ack(c(), lease));
	}

	result<void> nack(const mp_lease &lease)
	{
		return result<void>(mp_queue_nack(c(), lease));
	}

	std::size_t leased() const noexcept
	{
		return mp_queue_leased(c());
	}

	std::size_t poison_count() const noexcept
	{
		return mp_queue_poison_count(c());
	}

	/* One that was set aside. */
	result<obj> poison_get()
	{
		return detail::fetched(mp_queue_poison_get, c());
	}

	/*
	 * Room for a message that is being written in place. Without commit() it was never there.
	 */
	class room
	{
		mp_queue *queue_;
		span<std::byte> place_;

	      public:
		room(mp_queue *q, span<std::byte> place) noexcept : queue_(q), place_(place)
		{
		}
		room(room &&other) noexcept
		    : queue_(std::exchange(other.queue_, nullptr)), place_(other.place_)
		{
		}
		room &operator=(room &&) = delete;

		~room()
		{
			if (queue_)
				(void)mp_queue_abandon(queue_);
		}

		span<std::byte> place() const noexcept
		{
			return place_;
		}

		/* After -EMSGSIZE the room is still there. */
		result<void> commit(std::size_t size)
		{
			int r = mp_queue_commit(queue_, size);
			if (r != -EMSGSIZE)
				queue_ = nullptr;
			return result<void>(r);
		}
	};

	result<room> reserve(std::size_t size, timeout t = forever)
	{
		void *data;
		int r = mp_queue_reserve(c(), size, t.ms(), &data);
		if (r < 0)
			return error(r);
		return room(c(), {static_cast<std::byte *>(data), size});
	}

	/* The oldest message, where it lies. Without consume() it stays in the queue. */
	class message
	{
		mp_queue *queue_;
		mp::bytes bytes_;

	      public:
		message(mp_queue *q, mp::bytes data) noexcept : queue_(q), bytes_(data)
		{
		}
		message(message &&other) noexcept
		    : queue_(std::exchange(other.queue_, nullptr)), bytes_(other.bytes_)
		{
		}
		message &operator=(message &&) = delete;

		~message()
		{
			if (queue_)
				(void)mp_queue_unpeek(queue_);
		}

		mp::bytes bytes() const noexcept
		{
			return bytes_;
		}

		result<void> consume()
		{
			return result<void>(mp_queue_consume(std::exchange(queue_, nullptr)));
		}
	};

	result<message> peek(timeout t = forever)
	{
		const void *data;
		std::size_t size;
		int r = mp_queue_peek(c(), t.ms(), &data, &size);
		if (r < 0)
			return error(r);
		return message(c(), {data, size});
	}

	result<void> shutdown(int how = MP_QUEUE_DRAIN)
	{
		return result<void>(mp_queue_shutdown(c(), how));
	}

	int is_shutdown() const noexcept
	{
		return mp_queue_is_shutdown(c());
	}

	result<void> task_done()
	{
		return result<void>(mp_queue_task_done(c()));
	}

	result<void> join(timeout t = forever)
	{
		return result<void>(mp_queue_join(c(), t.ms()));
	}

	std::size_t size() const noexcept
	{
		return mp_queue_size(c());
	}

	std::uint64_t byte_count() const noexcept
	{
		return mp_queue_bytes(c());
	}

	bool empty() const noexcept
	{
		return mp_queue_empty(c());
	}

	bool full() const noexcept
	{
		return mp_queue_full(c());
	}
};

} // namespace mp

#endif
