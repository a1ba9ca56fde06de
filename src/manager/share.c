/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "manager/share.h"

#include "base/error.h"
#include "base/fds.h"

#include <fcntl.h>
#include <mp/handle.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What stands in a struct mp__handle_wire. Between processes of one machine and one libmp. A key is no
 * part of it: it stands in the descriptor, a sealed memfd, so that it gets to who may have the handle and
 * into no memory or message that others look at.
 */
struct travel {
	uint8_t id[MP__MANAGER_ID_SIZE];
	int32_t timeout_ms;
	int32_t reconnect_ms;
	uint16_t
		path_length; /* 0: the descriptor is a connector; else it is the key, if there is one */
};

static struct mp__fork_lock lock;
static struct mp_manager *all;

/*
 * In a forked child the list may be half changed, so it starts empty: handles from before the fork
 * are not found any more, and have a connection of their own.
 */
static void take_lock(void)
{
	if (mp__fork_lock_take(&lock, MP__DEADLINE_NEVER) > 0)
		all = NULL;
}

void mp__share_add(struct mp_manager *manager)
{
	take_lock();
	manager->shared_origin = mp__origin_here();
	manager->next_shared = all;
	all = manager;
	mp__fork_lock_release(&lock);
}

static void remove_shared(struct mp_manager *manager)
{
	struct mp_manager **at = &all;

	if (!mp__origin_is_here(manager->shared_origin))
		return;
	while (*at && *at != manager)
		at = &(*at)->next_shared;
	if (*at)
		*at = manager->next_shared;
}

bool mp__share_drop(struct mp_manager *manager)
{
	unsigned int n = atomic_load_explicit(&manager->references, memory_order_relaxed);

	/* Release and acquire: all use of the handle comes before its end. */
	while (n > 1) {
		if (atomic_compare_exchange_weak_explicit(&manager->references, &n, n - 1,
			    memory_order_acq_rel, memory_order_relaxed))
			return false;
	}
	/* The last one goes under the lock, so that nobody finds it just now. */
	take_lock();
	bool last = atomic_fetch_sub_explicit(&manager->references, 1, memory_order_acq_rel) == 1;
	if (last)
		remove_shared(manager);
	mp__fork_lock_release(&lock);
	return last;
}

static struct mp_manager *find(const uint8_t *id)
{
	struct mp_manager *m;

	take_lock();
	for (m = all; m && memcmp(m->id, id, sizeof(m->id)) != 0; m = m->next_shared)
		;
	mp_manager_ref(m);
	mp__fork_lock_release(&lock);
	return m;
}

/* The descriptor that goes with the handle, or -1: it needs none. */
static int descriptor_of(struct mp_manager *manager, int *ret_fd)
{
	const struct mp__authkey *key = &manager->address.key;
	int r = 0;

	*ret_fd = manager->address.connector;
	if (*ret_fd >= 0 || key->size == 0)
		return 0;
	take_lock();
	if (manager->key_fd < 0)
		r = manager->key_fd = mp__memfd_sealed("mp-authkey", key->bytes, key->size);
	*ret_fd = manager->key_fd;
	mp__fork_lock_release(&lock);
	return r < 0 ? r : 0;
}

int mp__share_export(struct mp_manager *manager, struct mp__handle_wire *wire)
{
	struct travel travel = {
		.timeout_ms = manager->timeout_ms, .reconnect_ms = manager->reconnect_ms};
	bool is_private = manager->address.connector >= 0;
	int fd;

	int r = descriptor_of(manager, &fd);
	if (r < 0)
		return r;

	memcpy(travel.id, manager->id, sizeof(travel.id));
	travel.path_length = is_private ? 0 : (uint16_t)strlen(manager->address.at.sun_path);
	memcpy(wire->data, &travel, sizeof(travel));
	memcpy(wire->data + sizeof(travel), manager->address.at.sun_path, travel.path_length);
	wire->size = sizeof(travel) + travel.path_length;
	wire->n_fds = fd >= 0;
	if (fd >= 0)
		wire->fds[0] = fd;
	return 0;
}

static int bad(void)
{
	return mp_error_set(-EBADMSG, "the handle of a manager is damaged");
}

/* The connector, taken out of the wire. It may be anything that another process sent. */
static int take_connector(struct mp__handle_wire *wire, struct mp__address *address)
{
	int type = 0;
	socklen_t size = sizeof(type);

	if (wire->n_fds != 1 || getsockopt(wire->fds[0], SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
		type != SOCK_SEQPACKET || fcntl(wire->fds[0], F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return bad();
	address->connector = wire->fds[0];
	return 0;
}

/* It may be anything; of what is sealed, reading waits for nobody. */
static int read_key(int fd, struct mp__authkey *key)
{
	uint8_t bytes[MP__KEY_MAX + 1];
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_WRITE) || !(seals & F_SEAL_SHRINK))
		return bad();
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);
	int r = n < 0 || mp__authkey_set(key, bytes, (size_t)n) < 0 ? bad() : 0;
	explicit_bzero(bytes, sizeof(bytes));
	return r;
}

static int read_address(
	struct mp__handle_wire *wire, size_t *at, size_t length, struct mp__address *address)
{
	char path[sizeof(address->at.sun_path)];

	if (wire->n_fds > 1 || length >= sizeof(path) || length > wire->size - *at)
		return bad();
	memcpy(path, wire->data + *at, length);
	path[length] = '\0';
	*at += length;
	if (strlen(path) != length || mp__address_parse(path, address) < 0)
		return bad();
	return wire->n_fds == 1 ? read_key(wire->fds[0], &address->key) : 0;
}

/* 1: it has taken the connector. */
static int become_known(const struct mp__address *address, const struct travel *travel,
	struct mp_manager **ret_manager)
{
	int r = mp__manager_new(
		address, travel->timeout_ms, travel->reconnect_ms, travel->id, ret_manager);

	if (r < 0)
		return r;
	mp__share_add(*ret_manager);
	return 1;
}

int mp__share_import(struct mp__handle_wire *wire, size_t *at, struct mp_manager **ret_manager)
{
	struct mp__address address = {.connector = -1};
	struct travel travel;
	int r;

	if (wire->size - *at < sizeof(travel))
		return bad();
	memcpy(&travel, wire->data + *at, sizeof(travel));
	*at += sizeof(travel);
	if (travel.timeout_ms < MP_FOREVER || travel.reconnect_ms < MP_RECONNECT_NEVER)
		return bad();
	r = travel.path_length > 0 ? read_address(wire, at, travel.path_length, &address)
				   : take_connector(wire, &address);
	if (r < 0)
		return r;
	*ret_manager = find(travel.id);
	if (!*ret_manager)
		r = become_known(&address, &travel, ret_manager);
	mp__authkey_wipe(&address.key);
	if (r > 0 && address.connector >= 0)
		wire->fds[0] = -1;
	return r < 0 ? r : 0;
}

/* --- the class -------------------------------------------------------------------------------- */

static void class_ref(struct mp__handle *handle)
{
	mp_manager_ref((struct mp_manager *)handle);
}

static void class_unref(struct mp__handle *handle)
{
	mp_manager_close((struct mp_manager *)handle);
}

static int class_export(struct mp__handle *handle, struct mp__handle_wire *ret_wire)
{
	return mp__share_export((struct mp_manager *)handle, ret_wire);
}

static int class_import(struct mp__handle_wire *wire, struct mp__handle **ret_handle)
{
	struct mp_manager *manager;
	size_t at = 0;

	int r = mp__share_import(wire, &at, &manager);
	if (r == 0 && at != wire->size) {
		mp_manager_close(manager);
		r = bad();
	}
	if (r == 0)
		*ret_handle = &manager->handle;
	return r;
}

const struct mp__handle_class mp__manager_class = {
	.kind = MP__HANDLE_MANAGER,
	.name = "manager",
	.ref = class_ref,
	.unref = class_unref,
	.export = class_export,
	.import = class_import,
};

mp_obj mp_manager_handle(mp_manager *manager)
{
	return mp__handle_obj(manager ? &manager->handle : NULL);
}

mp_manager *mp_obj_manager(const mp_obj *value)
{
	return (mp_manager *)mp__obj_handle(value, MP__HANDLE_MANAGER);
}
