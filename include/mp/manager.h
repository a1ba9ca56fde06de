/* SPDX-License-Identifier: MIT */
/*
 * mp/manager.h - objects that many programs share, served by managerd(8).
 *
 * Either start a private managerd, which only this program and those it hands a handle to can
 * reach and which ends with it, or connect to one that runs as a service. Then open objects by name:
 *
 *	mp_manager_start(NULL, &m);
 *	mp_manager_dict(m, "visits", &d);
 *	mp_dict_set(d, mp_str("20210322.log"), MP_DICT(mp_str("total"), mp_i64(10000)));
 *
 * Handles may be used from any thread, also at once. A forked child may use them as they are: the
 * first use there opens a connection of its own. As arguments they work under every start method.
 *
 * Each call is one request to the daemon, applied atomically there. Common errors of all calls:
 * -EPIPE the daemon is gone (an acknowledged change was made; whether the last request was, is not
 * known; the next call connects again, as the option reconnect_ms says), -EPROTO it does not speak the protocol, -ETIMEDOUT the
 * options' timeout (the request may still be carried out, but never after a later one of this
 * process), -ENOMEM, -EMFILE.
 */
#ifndef MP_MANAGER_H
#define MP_MANAGER_H

#include <mp/handle.h>
#include <stdbool.h>

MP__BEGIN_DECLS

typedef struct mp_manager_options {
	size_t size;    /* set by MP_MANAGER_OPTIONS() */
	uint64_t flags; /* none yet: others than 0 are -EINVAL */
	const char *
		program; /* start: path of managerd. NULL: $MP_MANAGERD, else where it is installed */
	int timeout_ms; /* for each request; 0: forever. start, connect: 0 is 10 s */
	/* connect: both sides prove that they know this key, of 1 to 512 bytes. NULL: that of the file
	 * in $MP_AUTHKEY_FILE, if set; else none. start: a private daemon has none, -EINVAL. */
	const void *authkey;
	size_t authkey_size;
	/* When managerd has gone, and a call comes: how long it tries to find one that was started anew,
	 * within timeout_ms. 0: once. MP_FOREVER. MP_RECONNECT_NEVER: that handle is -EPIPE for good. */
	int reconnect_ms;
} mp_manager_options;

#define MP_RECONNECT_NEVER (-2)

#define MP_MANAGER_OPTIONS(...) \
	(&(const mp_manager_options){.size = sizeof(mp_manager_options), __VA_ARGS__})

/*
 * Start a private managerd and connect to it. -ENOENT, -EACCES and what else exec says about the
 * program; -EINVAL, -E2BIG.
 */
int mp_manager_start(const mp_manager_options *options, mp_manager **ret_manager);

/*
 * Connect to a running managerd: "unix:/path" or "/path". -EINVAL an address of another form,
 * -ENAMETOOLONG, -ENOENT no such socket, -ECONNREFUSED nobody listens there, -EACCES, -ENOSPC it
 * has as many connections as it may, or the user has proved too many wrong keys; -EKEYREJECTED the
 * keys of the two sides differ, or only one has one; -ENOTSUP libmp was built without keys; -EPERM
 * the file in $MP_AUTHKEY_FILE is not the user's alone.
 */
int mp_manager_connect(
	const char *address, const mp_manager_options *options, mp_manager **ret_manager);

/* Round trip: 0 when the daemon answers. */
int mp_manager_ping(mp_manager *manager);

/* The pid of a private daemon that this process started; -EINVAL for any other. */
int mp_manager_pid(mp_manager *manager);

/* One more reference; NULL gives NULL. */
mp_manager *mp_manager_ref(mp_manager *manager);

/*
 * Drop one reference. With the last one in the process that started it, a private managerd ends
 * (and has ended on return). Proxies hold a reference. NULL is allowed. Returns 0.
 */
int mp_manager_close(mp_manager *manager);

/* --- looking after a managerd: mp_manager_objects(3) ------------------------------------------ */

typedef struct mp_objects_options {
	size_t size;        /* set by MP_OBJECTS_OPTIONS() */
	uint64_t flags;     /* none yet: others than 0 are -EINVAL */
	const char *prefix; /* only those whose names begin with this; NULL: all */
	const char *type;   /* only those of this type; NULL: all */
	bool nameless;      /* also those without a name */
} mp_objects_options;

#define MP_OBJECTS_OPTIONS(...) \
	(&(const mp_objects_options){.size = sizeof(mp_objects_options), __VA_ARGS__})

/*
 * The objects that are there: a list of a dict for each, some at a time. *after is 0 at first, goes on,
 * and is 0 again when there are no more. -EINVAL, -EILSEQ, -E2BIG.
 */
int mp_manager_objects(
	mp_manager *manager, const mp_objects_options *options, uint64_t *after, mp_obj *ret_list);
/* The connections; who holds something, and who waits for what: lists of a dict for each. */
int mp_manager_clients(mp_manager *manager, mp_obj *ret_list);
int mp_manager_holds(mp_manager *manager, mp_obj *ret_list);
/* What it has done since it began, as a text: that which Prometheus reads. */
int mp_manager_stats(mp_manager *manager, mp_obj *ret_text);
/* The name is free again; the object goes with the last who has it open. -ENOENT; -EACCES. */
int mp_manager_unlink(mp_manager *manager, const char *name);

/* --- dict ------------------------------------------------------------------------------------ */

/*
 * Open the dict of that name, made empty if there is none, or with NULL a new one that nobody else
 * can name. Named dicts live as long as the daemon, anonymous ones as long as anybody has them open.
 * A handle on its way does not count as open: keep the dict until the receiver has used it.
 * -EINVAL an empty name or one of more than 255 bytes, -EILSEQ not UTF-8, -EEXIST the name belongs
 * to an object of another type, -ENOSPC the daemon holds as many objects as it may.
 */
int mp_manager_dict(mp_manager *manager, const char *name, mp_dict **ret_dict);

/*
 * Keys are scalars: bool, integers, f64 (not NaN), strings, bytes; others are -EINVAL. 1 as i64 and
 * as u64 are the same key; 1, 1.0 and true are three; -0.0 is 0.0. Values are any mp_obj with no
 * handles but proxies (-ENOTSUP), nested at most 63 deep (-EOVERFLOW). A key and value of more than
 * 64 MiB together, or a larger copy of the whole: -EMSGSIZE. The order is that of first insertion.
 */
int mp_dict_set(mp_dict *dict, mp_obj key, mp_obj value);
int mp_dict_get(mp_dict *dict, mp_obj key, mp_obj *ret_value); /* -ENOENT no such key */
int mp_dict_pop(mp_dict *dict, mp_obj key, mp_obj *ret_value); /* -ENOENT; ret_value may be NULL */
int mp_dict_contains(mp_dict *dict, mp_obj key);               /* 1 or 0 */
/* The value under key, after putting `value` there if it had none: 1 if it was put, 0 if not. */
int mp_dict_setdefault(mp_dict *dict, mp_obj key, mp_obj value, mp_obj *ret_value);
/* Set all pairs of an mp_obj dict at once: others see all of them or none. */
int mp_dict_update(mp_dict *dict, mp_obj pairs);
int mp_dict_clear(mp_dict *dict);
int mp_dict_len(mp_dict *dict, size_t *ret_len);
/* A copy of the whole at one instant: lists of keys or values, and an mp_obj dict. */
int mp_dict_keys(mp_dict *dict, mp_obj *ret_list);
int mp_dict_values(mp_dict *dict, mp_obj *ret_list);
int mp_dict_items(mp_dict *dict, mp_obj *ret_dict);

/*
 * Add to the number under the key, which is 0 if there is none; the sum, if ret_sum is not NULL.
 * Integers make an i64, with an f64 among them an f64. -EINVAL no number, -EOVERFLOW.
 */
int mp_dict_add(mp_dict *dict, mp_obj key, mp_obj number, mp_obj *ret_sum);
/* Replace the value if it equals `expected`: 1 it did, 0 not. -ENOENT no such key. */
int mp_dict_compare_and_swap(mp_dict *dict, mp_obj key, mp_obj expected, mp_obj value);
/* Those of a list of keys that are there, as a dict, at one instant. */
int mp_dict_get_many(mp_dict *dict, mp_obj keys, mp_obj *ret_dict);
/* Take out the pair that was put there last: a list of key and value. -ENOENT it is empty. */
int mp_dict_popitem(mp_dict *dict, mp_obj *ret_pair);

/* --- keys that expire: mp_dict_expire(3) ----------------------------------------------------- */

/*
 * Set a key that goes by itself after so many milliseconds, as if it had never been there: for every
 * call, also those that watch. set and update make a key stay; add, compare_and_swap and setdefault
 * leave its time as it is. -EINVAL less than 1 ms, or more than 10^12.
 */
int mp_dict_set_for(mp_dict *dict, mp_obj key, mp_obj value, int64_t ttl_ms);
/* A key that is there goes after this time, whatever was said before. -ENOENT no such key; -EINVAL. */
int mp_dict_expire(mp_dict *dict, mp_obj key, int64_t ttl_ms);
/* It stays after all: 1, or 0 it would have stayed anyway. -ENOENT. */
int mp_dict_persist(mp_dict *dict, mp_obj key);
/* The rest of its time, 1 or more; MP_FOREVER (-1): it stays. -ENOENT. */
int mp_dict_ttl(mp_dict *dict, mp_obj key, int64_t *ret_ttl_ms);

/* --- transactions: mp_dict_transact(3) ------------------------------------------------------- */

enum mp_dict_op {
	/* These must hold. */
	MP_DICT_EQUAL = 1, /* the value under the key equals this one */
	MP_DICT_AT_LEAST,  /* the number under the key is this one or more */
	MP_DICT_PRESENT,   /* there is such a key */
	MP_DICT_ABSENT,    /* there is none */
	/* These are done. */
	MP_DICT_SET,
	MP_DICT_ADD,    /* as mp_dict_add() */
	MP_DICT_DELETE, /* there must be such a key */
	/* This must hold: the object is of the version that is the value. The key is nil. */
	MP_DICT_VERSION,
	/* These are done. */
	MP_LIST_APPEND,  /* behind the last item of a list; the key is nil */
	MP_LIST_INSERT,  /* in front of the item with the index that is the key */
	MP_DICT_EXPIRE,  /* the key, which must be there, goes after so many milliseconds */
	MP_DICT_PERSIST, /* it stays after all */
};

typedef struct mp_dict_step {
	enum mp_dict_op op;
	mp_obj key;
	mp_obj value; /* nil where there is none: of PRESENT, ABSENT, DELETE, PERSIST */
} mp_dict_step;

#define MP_DICT_ANY_VERSION (-1)

/*
 * Carry out up to 1024 steps, all of them or none, and nothing of others in between. A step sees what
 * those before it did. -ESTALE something does not hold, or the dict is not of that version any more:
 * look again, and try again. -EINVAL a wrong step, or a sum of what is no number; -EOVERFLOW;
 * -EMSGSIZE too many steps, or more than 64 MiB.
 */
int mp_dict_transact(mp_dict *dict, int64_t version, const mp_dict_step *steps, size_t n);
/*
 * The same for several objects of one managerd, at most 64: dicts; namespaces, whose keys are names;
 * lists and arrays, whose keys are indexes; values and counters, which have no keys (mp_nil()). `object`
 * is a handle: mp_handle(dict). MP_DICT_VERSION is for every object. -ERANGE an array has no such
 * index. The page is mp_transact(3).
 */
typedef struct mp_transact_step {
	mp_obj object;
	enum mp_dict_op op;
	mp_obj key;
	mp_obj value;
} mp_transact_step;

#define MP_TRANSACT_OBJECTS 64

int mp_transact(const mp_transact_step *steps, size_t n);

/* A number that is another one after each change. For changes of others: mp_dict_watch(). */
int mp_dict_version(mp_dict *dict, int64_t *ret_version);
/* Wait until the version is another one than this: see mp_proxy_watch(). */
int mp_dict_watch(mp_dict *dict, int64_t version, int timeout_ms, int64_t *ret_version);

mp_dict *mp_dict_ref(mp_dict *dict);
int mp_dict_close(mp_dict *dict);

MP__END_DECLS

#endif
