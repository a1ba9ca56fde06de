/* SPDX-License-Identifier: MIT */
/*
 * mp/server.h - types of one's own, served to every program that may connect.
 *
 * A type is a name, a way to make objects, and a table of functions that others call by name:
 *
 *	static const mp_method methods[] = {{"deposit", deposit}, {"balance", balance}, {NULL}};
 *	static const mp_served_type account = {"account", make_account, free_account, methods};
 *
 *	mp_server_new("unix:/run/bank/socket", NULL, &server);
 *	mp_server_register(server, &account);
 *	mp_server_run(server);
 *
 * and elsewhere:
 *
 *	mp_manager_connect("unix:/run/bank/socket", NULL, &m);
 *	mp_manager_open(m, "account", "Bob", mp_nil(), &bob);
 *	mp_proxy_call(bob, "deposit", MP_LIST(mp_i64(100)), MP_FOREVER, NULL);
 *
 * The server has the protocol, the limits and the names of managerd(8). One thread serves all, so
 * each call is atomic and needs no locks; a function that takes long holds the others up.
 */
#ifndef MP_SERVER_H
#define MP_SERVER_H

#include <mp/obj.h>

MP__BEGIN_DECLS

typedef struct mp_server mp_server;

/*
 * One method: `object` is what `make` made. The arguments are lent. What is written to *ret_result,
 * which is nil at first, is freed by the server. Negative: an error number, which the caller gets with
 * the sentence of mp_error_set() (include/mp/error.h); nothing is written to *ret_result then.
 */
typedef int mp_method_function(void *object, int argc, const mp_obj *argv, mp_obj *ret_result);

typedef struct mp_method {
	const char *name;
	mp_method_function *function;
} mp_method;

typedef struct mp_served_type {
	const char *name; /* 1 to 63 letters, digits, and characters of _.- */
	/* A new object, from the arguments of the opening. Negative: it cannot be, as with methods. */
	int (*make)(int argc, const mp_obj *argv, void **ret_object);
	void (*free)(void *object); /* NULL: nothing is to be done */
	const mp_method *methods;   /* ended by a name that is NULL */
} mp_served_type;

typedef struct mp_server_options {
	size_t size;              /* set by MP_SERVER_OPTIONS() */
	uint64_t flags;           /* none yet: others than 0 are -EINVAL */
	unsigned int mode;        /* of the socket; 0: 0600. Served are this user and root */
	uint32_t max_connections; /* 0: 1000 */
	uint32_t max_objects;     /* 0: a million */
	/* Clients prove that they know this key, of 1 to 512 bytes, and so does the server: the option
	 * of that name of mp_manager_connect(). It is copied. NULL: none. */
	const void *authkey;
	size_t authkey_size;
} mp_server_options;

#define MP_SERVER_OPTIONS(...) \
	(&(const mp_server_options){.size = sizeof(mp_server_options), __VA_ARGS__})

/*
 * A server with a socket at that address ("unix:/path" or "/path"); from here on others may connect,
 * and wait until it runs. One that a killed server left behind is taken over. -EADDRINUSE somebody
 * answers there; -EEXIST something there is no socket; -EPERM others may write to the directory;
 * -EINVAL, -ENAMETOOLONG, -E2BIG, -EMFILE, -ENOMEM; -ENOTSUP a key, and libmp was built without keys.
 */
int mp_server_new(const char *address, const mp_server_options *options, mp_server **ret_server);

/* Serve this type, too; the table is lent. -EEXIST there is one of that name; -EINVAL; -EBUSY it runs. */
int mp_server_register(mp_server *server, const mp_served_type *type);

/*
 * Objects in values. A proxy in an argument, of an object of this server, is a handle here: this is what
 * `make` made of it, lent as long as the value; NULL if the value is something else, of another type, or
 * kept from a server that has ended. Who wants to keep the object, copies the value (mp_obj_copy()).
 */
void *mp_obj_served(const mp_obj *value, const mp_served_type *type);
/*
 * In a method: `object` becomes a new object of that type, without a name, in place of what `make` would
 * make. As a result, or in one, it is a proxy for the caller. It lives as long as somebody has it open
 * or has such a value, and then `free` is called. -EINVAL not in a method, or the server has no such
 * type; -ENOSPC it has as many objects as it may; -ENOMEM. Then `object` is the caller's still.
 */
int mp_served_new(const mp_served_type *type, void *object, mp_obj *ret_value);

/*
 * Serve until mp_server_stop(), in this thread. No signal is touched. What waits for an answer gets it
 * before it returns, for at most a second; all objects are freed. -EBUSY it runs already; -EMFILE,
 * -ENOMEM.
 */
int mp_server_run(mp_server *server);

/* Let mp_server_run() return: from a method, another thread, a signal handler, a forked process. */
int mp_server_stop(mp_server *server);

/* Close it; the name goes with the process that made it. Not while it runs. NULL is allowed. */
void mp_server_close(mp_server *server);

MP__END_DECLS

#endif
