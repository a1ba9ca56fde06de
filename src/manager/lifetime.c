/* SPDX-License-Identifier: MIT */
/* What lives for some time only. */
#include <config.h>

#include "base/error.h"
#include "manager/argument.h"
#include "manager/proxy.h"

int mp__proxy_call_ttl(struct mp_proxy *proxy, const char *class_name, const char *method,
	mp_obj args, int64_t *ret_ttl_ms)
{
	mp_obj ttl = mp_nil();

	int r = mp__proxy_call(proxy, class_name, method, args, MP_NOWAIT, &ttl);
	if (r < 0)
		return r;
	if (ttl.type == MP_TYPE_I64 || ttl.type == MP_TYPE_NIL)
		*ret_ttl_ms = ttl.type == MP_TYPE_I64 ? ttl.as.i64 : MP_FOREVER;
	else
		r = mp__argument_unexpected();
	mp_obj_free(&ttl);
	return r;
}

int mp_proxy_expire(mp_proxy *proxy, int64_t ttl_ms)
{
	return mp_proxy_call(proxy, "object_expire", MP_LIST(mp_i64(ttl_ms)), MP_NOWAIT, NULL);
}

int mp_proxy_persist(mp_proxy *proxy)
{
	if (!proxy)
		return mp_error_set(-EINVAL, "persist: no object");
	return mp__proxy_call_bool(
		proxy, proxy->object.class_name, "object_persist", mp_nil(), MP_NOWAIT);
}

int mp_proxy_ttl(mp_proxy *proxy, int64_t *ret_ttl_ms)
{
	if (!proxy || !ret_ttl_ms)
		return mp_error_set(-EINVAL, "ttl: no object, or no place for its time");
	return mp__proxy_call_ttl(
		proxy, proxy->object.class_name, "object_ttl", mp_nil(), ret_ttl_ms);
}
