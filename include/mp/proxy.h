/* SPDX-License-Identifier: MIT */
/*
 * mp/proxy.h - any object of a managerd: open it, call its methods.
 *
 * Every object that a managerd serves has a type, named by a string, with methods, named by strings:
 *
 *	mp_manager_open(m, "lock", "jobs", mp_nil(), &lock);
 *	mp_proxy_call(lock, "acquire", mp_nil(), 1000, NULL);
 *
 * The headers of the types (mp/served.h and others) have functions for each, which do just this.
 * Proxies may be used from any thread, also at once: a call that waits holds up no other. They travel
 * as arguments (mp_handle()) under every start method, work in a forked child as they are, and may be
 * stored inside other served objects: what comes out there is a proxy of the same object.
 *
 * Common errors of all calls are those of mp/manager.h, and: -ENOSYS the daemon has no such type or
 * method; -EPIPE also for an object that is gone. The page is mp_proxy(3).
 */
#ifndef MP_PROXY_H
#define MP_PROXY_H

#include <mp/manager.h>

MP__BEGIN_DECLS

/*
 * Open the object of that type and name, made with `args` (a list, or nil for none) if there is
 * none; with name NULL a new one that nobody else can name. Named ones live as long as the daemon,
 * the others as long as somebody has them open or a stored value refers to them. type NULL: the one
 * that exists, whatever it is (-ENOENT). -EINVAL wrong arguments, a bad name; -EILSEQ a name that is
 * not UTF-8; -EEXIST it is of another type; -ENOSPC the daemon holds as many objects as it may.
 */
int mp_manager_open(
	mp_manager *manager, const char *type, const char *name, mp_obj args, mp_proxy **ret_proxy);

/*
 * Call a method. `args` is a list, or nil for none. timeout_ms counts for methods that wait for
 * others: MP_FOREVER, MP_NOWAIT (-EAGAIN), or -ETIMEDOUT after so many milliseconds; nothing was done
 * then. *ret_result is to be freed; NULL: it is not wanted. 0, or MP_OWNER_DIED where a lock is
 * acquired whose last holder died. -EDEADLK to wait would be for ever, mp_error_detail() says who
 * waits for whom.
 */
int mp_proxy_call(
	mp_proxy *proxy, const char *method, mp_obj args, int timeout_ms, mp_obj *ret_result);

/* One of several calls. */
typedef struct mp_call {
	mp_obj object;      /* a handle: mp_handle(proxy), mp_handle(dict) */
	const char *method; /* with args: as in mp_proxy_call() */
	mp_obj args;
	int result;   /* out: what mp_proxy_call() would have returned */
	mp_obj value; /* out: to be freed; nil if the result is negative */
} mp_call;

/*
 * Make all calls on one way to the daemon and back: they are sent before the first answer is waited
 * for, up to 64 at a time, and carried out in this order, each for itself. So one that waits for a
 * later one must not be more than 63 before it. The timeout is that of each. 0: all have worked; else
 * the result of the first that has not, with its sentence. Either way each has its own result. -EINVAL
 * no calls; -ENOMEM none was made.
 */
int mp_call_many(mp_call *calls, size_t n, int timeout_ms);

/*
 * A number that is another one after each change of the object; to be told of changes: wait until it
 * is another one than `version`, and give it (ret_version may be NULL). -EAGAIN, -ETIMEDOUT it has not
 * changed. Many changes may be told as one, none is missed.
 */
int mp_proxy_version(mp_proxy *proxy, int64_t *ret_version);
int mp_proxy_watch(mp_proxy *proxy, int64_t version, int timeout_ms, int64_t *ret_version);

/*
 * A named object whose name goes by itself after so many milliseconds: whoever opens the name then gets
 * a new one, and those who have it open keep it until they close it. Again: another time. persist: it
 * stays after all, 1, or 0 it would have stayed anyway. ttl: the rest of its time, 1 or more; MP_FOREVER
 * (-1): it stays. -EINVAL it has no name (any more); less than 1 ms, or more than 10^12.
 */
int mp_proxy_expire(mp_proxy *proxy, int64_t ttl_ms);
int mp_proxy_persist(mp_proxy *proxy);
int mp_proxy_ttl(mp_proxy *proxy, int64_t *ret_ttl_ms);

/* The name of its type; lives as long as the proxy. NULL for NULL. */
const char *mp_proxy_type(const mp_proxy *proxy);

/* Do both stand for the same object? 1 or 0. */
int mp_proxy_equal(const mp_proxy *a, const mp_proxy *b);

mp_proxy *mp_proxy_ref(mp_proxy *proxy);
/* Drop one reference. NULL is allowed. What a thread has acquired stays acquired. Returns 0. */
int mp_proxy_close(mp_proxy *proxy);

/* A dict by its own functions (mp/manager.h): one more reference to it; NULL: it is no dict. */
mp_dict *mp_proxy_dict(mp_proxy *proxy);

MP__END_DECLS

#endif
