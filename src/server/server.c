/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/authkey.h"
#include "base/connect.h"
#include "base/error.h"
#include "base/log.h"
#include "base/options.h"
#include "conn/hmac.h"
#include "serve/listener.h"
#include "serve/log.h"
#include "serve/server.h"
#include "server/served.h"
#include "server/type.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mp_server {
	struct serve_listener listener;
	pid_t maker; /* whose the name is */
	int stop;    /* an eventfd */
	atomic_flag running;
	struct serve_limits limits;
	struct mp__authkey key;       /* of size 0: none */
	struct serve_class **classes; /* ended by NULL */
	size_t n_classes;
};

static void remark(const char *event, pid_t pid, uid_t uid, const char *text)
{
	(void)event;
	(void)pid;
	(void)uid;
	mp__log(MP_LOG_WARNING, "server", "%s", text);
}

static int load_key(const mp_server_options *options, struct mp__authkey *ret_key)
{
	if (!options->authkey && options->authkey_size == 0)
		return 0;
	int r = mp__hmac_available();
	return r < 0 ? r : mp__authkey_set(ret_key, options->authkey, options->authkey_size);
}

static int load(const mp_server_options *options, mp_server_options *ret,
	struct serve_limits *limits, struct mp__authkey *key)
{
	int r = mp__options_load(ret, sizeof(*ret), 0, options);

	if (r < 0)
		return r;
	if (ret->mode & ~0777u)
		return mp_error_set(-EINVAL,
			"a new server: mode 0%o of its socket; it is 0 to 0777", ret->mode);
	*limits = (struct serve_limits)SERVE_LIMITS_DEFAULT;
	if (ret->max_connections)
		limits->max_connections = ret->max_connections;
	if (ret->max_objects)
		limits->max_objects = ret->max_objects;
	return load_key(ret, key);
}

static void free_server(mp_server *server)
{
	mp__authkey_wipe(&server->key);
	free(server);
}

/* With its name, and what stops it; or nothing is left. */
static int open_at(mp_server *server, const char *address, mode_t mode)
{
	struct sockaddr_un at;

	int r = mp__unix_address(address, "a server", &at);
	if (r < 0)
		return r;
	server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->stop < 0)
		return mp__error_errno("a new server: eventfd");
	server->listener = (struct serve_listener){.fd = -1, .spare = -1};
	r = serve_listener_open(&server->listener, at.sun_path, mode, SERVE_GROUP_NONE);
	if (r < 0)
		close(server->stop);
	return r;
}

int mp_server_new(const char *address, const mp_server_options *options, mp_server **ret_server)
{
	mp_server_options o;

	if (!address || !ret_server)
		return mp_error_set(-EINVAL, "a new server: no address, or no place for it");
	mp_server *server = calloc(1, sizeof(*server));
	if (!server)
		return mp_error_set(-ENOMEM, "no memory for a server");
	int r = load(options, &o, &server->limits, &server->key);
	if (r == 0)
		r = open_at(server, address, o.mode ? o.mode : 0600);
	if (r < 0) {
		free_server(server);
		return r;
	}
	server->maker = getpid();
	atomic_flag_clear(&server->running);
	*ret_server = server;
	return 0;
}

static int register_type(mp_server *server, const mp_served_type *type)
{
	struct serve_class *class;

	int r = mp__type_new(type, &class);
	if (r < 0)
		return r;
	if (server->classes && serve_class_find((const struct serve_class *const *)server->classes,
				       class->name, strlen(class->name)))
		r = mp_error_set(-EEXIST,
			"registering a type: the server has one of name %s already", class->name);
	struct serve_class **classes =
		r < 0 ? NULL : realloc(server->classes, (server->n_classes + 2) * sizeof(*classes));
	if (!classes) {
		mp__type_free(class);
		return r < 0 ? r : mp_error_set(-ENOMEM, "no memory for one more type");
	}
	server->classes = classes;
	classes[server->n_classes++] = class;
	classes[server->n_classes] = NULL;
	return 0;
}

/* A server is at one thing at a time. */
static int busy(void)
{
	return mp_error_set(
		-EBUSY, "the server runs; types are registered before, and it runs once at a time");
}

int mp_server_register(mp_server *server, const mp_served_type *type)
{
	if (!server)
		return mp_error_set(-EINVAL, "registering a type: no server");
	if (atomic_flag_test_and_set(&server->running))
		return busy();
	int r = register_type(server, type);
	atomic_flag_clear(&server->running);
	return r;
}

/* The thread serves no more: what the program has kept of its objects is of none. */
static void ended(void *data)
{
	mp__type_leave(data);
}

static int run(mp_server *server)
{
	struct mp__served_list handles = {.first = NULL};
	static const struct serve_class *const none[] = {NULL};
	const struct serve_service service = {
		.program = "libmp " PACKAGE_VERSION,
		.classes =
			server->classes ? (const struct serve_class *const *)server->classes : none,
	};
	struct serve_config config = {
		.service = &service,
		.listen_group = SERVE_GROUP_NONE,
		.listen_fd = fcntl(server->listener.fd, F_DUPFD_CLOEXEC, 3),
		.connector_fd = -1,
		.owner_fd = -1,
		.ready_fd = -1,
		.stop_fd = server->stop,
		.key = &server->key,
		.limits = server->limits,
		.hooks = {.ended = ended, .data = &handles},
	};

	if (config.listen_fd < 0)
		return mp__error_errno("running a server");
	if (!serve_log_sink)
		serve_log_sink = remark;
	mp__type_enter(&handles);
	return serve_server_run(&config);
}

int mp_server_run(mp_server *server)
{
	uint64_t stops;

	if (!server)
		return mp_error_set(-EINVAL, "running no server");
	if (atomic_flag_test_and_set(&server->running))
		return busy();
	int r = run(server);
	(void)!read(server->stop, &stops, sizeof(stops)); /* it may run again */
	atomic_flag_clear(&server->running);
	return r;
}

int mp_server_stop(mp_server *server)
{
	const uint64_t one = 1;
	int e = errno;

	if (!server)
		return -EINVAL;
	(void)!write(server->stop, &one, sizeof(one));
	errno = e;
	return 0;
}

void mp_server_close(mp_server *server)
{
	if (!server)
		return;
	if (server->maker != getpid())
		server->listener.address.sun_path[0] = '\0'; /* the name is not ours */
	serve_listener_close(&server->listener);
	close(server->stop);
	for (size_t i = 0; i < server->n_classes; i++)
		mp__type_free(server->classes[i]);
	free(server->classes);
	free_server(server);
}
