/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"
#include "manager/proxy.h"

#include <mp/served.h>

static int open_lock(
	mp_manager *manager, const char *class_name, const char *name, mp_proxy **ret_lock)
{
	if (!manager || !ret_lock)
		return mp_error_set(-EINVAL, "opening a %s: no manager, or no place for the %s",
			class_name, class_name);
	return mp__proxy_open(manager, class_name, name, mp_nil(), ret_lock);
}

int mp_manager_lock(mp_manager *manager, const char *name, mp_proxy **ret_lock)
{
	return open_lock(manager, "lock", name, ret_lock);
}

int mp_manager_rlock(mp_manager *manager, const char *name, mp_proxy **ret_rlock)
{
	return open_lock(manager, "rlock", name, ret_rlock);
}

static int acquire(mp_proxy *lock, const char *class_name, int timeout_ms, int64_t *ret_fence)
{
	int64_t fence;

	int r = mp__proxy_call_i64(lock, class_name, "acquire", mp_nil(), timeout_ms, &fence);
	if (r >= 0 && ret_fence)
		*ret_fence = fence;
	return r;
}

int mp_served_lock_acquire(mp_proxy *lock, int timeout_ms, int64_t *ret_fence)
{
	return acquire(lock, "lock", timeout_ms, ret_fence);
}

int mp_served_lock_release(mp_proxy *lock)
{
	return mp__proxy_call(lock, "lock", "release", mp_nil(), MP_NOWAIT, NULL);
}

int mp_served_lock_locked(mp_proxy *lock)
{
	return mp__proxy_call_bool(lock, "lock", "locked", mp_nil(), MP_NOWAIT);
}

int mp_served_rlock_acquire(mp_proxy *rlock, int timeout_ms, int64_t *ret_fence)
{
	return acquire(rlock, "rlock", timeout_ms, ret_fence);
}

int mp_served_rlock_release(mp_proxy *rlock)
{
	return mp__proxy_call(rlock, "rlock", "release", mp_nil(), MP_NOWAIT, NULL);
}

int mp_served_rlock_locked(mp_proxy *rlock)
{
	return mp__proxy_call_bool(rlock, "rlock", "locked", mp_nil(), MP_NOWAIT);
}
