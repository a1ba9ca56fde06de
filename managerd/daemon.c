/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/daemon.h"

#include "base/error.h"
#include "conn/hmac.h"
#include "managerd/access.h"
#include "managerd/classes.h"
#include "managerd/log.h"
#include "serve/log.h"
#include "serve/server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* What the daemon itself has open, and what the watching of a client's process takes at times. */
#define OWN_DESCRIPTORS 64

/* As many descriptors as connections may come; nothing here uses select(2), so that many are fine. */
static void raise_descriptors(const struct md_settings *settings)
{
	rlim_t wanted = (rlim_t)settings->limits.max_connections + OWN_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < wanted)
		md_say_at(MP_LOG_WARNING, "descriptors",
			"max-connections is %u, but only %llu files may be open",
			settings->limits.max_connections, (unsigned long long)limit.rlim_cur);
}

/* On failure the key that was there stays. */
static int read_key(struct md_daemon *daemon)
{
	const char *path = daemon->settings.authkey_file;
	struct mp__authkey key = {0};

	int r = *path ? mp__hmac_available() : 0;
	if (r == 0 && *path)
		r = mp__authkey_read(&key, path);
	if (r == 0)
		daemon->key = key;
	mp__authkey_wipe(&key);
	return r;
}

/* --- reading it again ------------------------------------------------------------------------- */

/* One remark for what changed, one for each option that cannot; none if the file is as before. */
static void adopt(struct md_settings *settings, const struct md_settings *news)
{
	unsigned changed = 0;

	for (const struct md_option *o = md_options; o < md_options + md_n_options; o++) {
		if (!o->section || md_option_same(o, settings, news))
			continue;
		if (o->when == MD_AT_START) {
			md_say_at(MP_LOG_WARNING, "config",
				"%s stays as it is until the next start", o->name);
			continue;
		}
		md_option_copy(o, settings, news);
		changed++;
	}
	if (memcmp(&settings->users, &news->users, sizeof(settings->users)) != 0)
		changed++;
	if (memcmp(&settings->rules, &news->rules, sizeof(settings->rules)) != 0)
		changed++;
	memcpy(&settings->users, &news->users, sizeof(settings->users));
	memcpy(&settings->rules, &news->rules, sizeof(settings->rules));
	md_say_at(MP_LOG_INFO, "config", "read again: %u options changed", changed);
}

static void read_again(struct md_daemon *daemon)
{
	/* Too large for a stack that somebody may have made small. */
	struct md_settings *news = malloc(sizeof(*news));

	if (!news) {
		md_say_at(MP_LOG_ERROR, "config", "no memory to read the configuration");
		return;
	}
	int r = daemon->load(news, daemon->load_data);
	if (r == -ENODATA)
		md_say_at(MP_LOG_WARNING, "config", "there is no --config to read again");
	else if (r < 0)
		md_say_at(MP_LOG_ERROR, "config", "the configuration stays as it was");
	else
		adopt(&daemon->settings, news);
	free(news);
}

static void reload(struct serve_limits *limits, void *data)
{
	struct md_daemon *daemon = data;

	md_service_reloading();
	read_again(daemon);
	if (read_key(daemon) < 0)
		md_say_at(MP_LOG_ERROR, "config", "%s: the key stays as it was", mp_error_detail());
	raise_descriptors(&daemon->settings);
	*limits = daemon->settings.limits;
	md_service_reloaded(&daemon->service);
}

/* --- who may what ----------------------------------------------------------------------------- */

static bool admits(int fd, const struct ucred *peer, void *data)
{
	const struct md_settings *settings = &((const struct md_daemon *)data)->settings;

	return md_access_admits(fd, peer, settings->socket_group, &settings->rules);
}

static bool allows(const struct serve_session *session, const void *name, size_t size, void *data)
{
	const struct md_daemon *daemon = data;
	struct ucred peer = {.pid = session->pid, .uid = session->uid, .gid = session->gid};

	return md_access_allows(session->source.fd, &peer, &daemon->settings.rules, name, size);
}

static void quota_of(uid_t uid, struct serve_quota *ret_quota, void *data)
{
	md_users_quota(&((const struct md_daemon *)data)->settings.users, uid, ret_quota);
}

/* --- the beginning and the end ---------------------------------------------------------------- */

static void log_text(const char *event, pid_t pid, uid_t uid, const char *text)
{
	struct md_peer peer = {pid, uid};

	md_remark(MP_LOG_WARNING, event, pid > 0 ? &peer : NULL, "%s", text);
}

static int start_metrics(struct md_daemon *daemon, struct serve_loop *loop)
{
	const struct md_settings *settings = &daemon->settings;
	struct serve_listener listener;
	int r = 0;

	if (daemon->metrics_fd >= 0)
		serve_listener_adopt(&listener, daemon->metrics_fd);
	else if (*settings->metrics)
		r = serve_listener_open(
			&listener, settings->metrics, settings->metrics_mode, SERVE_GROUP_NONE);
	else
		return 0;
	if (r < 0)
		return r;
	loop->timed = true;
	return md_metrics_start(&daemon->metrics, &listener, loop, daemon->context);
}

static int started(struct serve_loop *loop, struct serve_context *context, void *data)
{
	struct md_daemon *daemon = data;

	daemon->context = context;
	context->accounts.quota_of = quota_of;
	context->accounts.data = daemon;
	context->allows = allows;
	context->allows_data = daemon;
	md_log_join(&context->timers);
	int r = start_metrics(daemon, loop);
	return r < 0 ? r : md_service_start(&daemon->service, loop, context);
}

static void draining(void *data)
{
	(void)data;
	md_service_stopping();
}

static void ended(void *data)
{
	struct md_daemon *daemon = data;

	md_metrics_stop(&daemon->metrics);
	md_service_stop(&daemon->service);
	md_log_leave();
	daemon->context = NULL;
}

static mode_t socket_mode(const struct md_settings *settings)
{
	if (settings->socket_mode != MD_MODE_DEFAULT)
		return settings->socket_mode;
	return settings->socket_group != SERVE_GROUP_NONE ? 0660 : 0600;
}

int md_daemon_run(struct md_daemon *daemon)
{
	const struct md_settings *settings = &daemon->settings;
	struct serve_config config = {
		.service = &md_served,
		.listen_path = *settings->listen ? settings->listen : NULL,
		.listen_mode = socket_mode(settings),
		.listen_group = settings->socket_group,
		.listen_fd = daemon->listen_fd,
		.connector_fd = settings->private_fd,
		.owner_fd = settings->owner_fd,
		.ready_fd = settings->ready_fd,
		.stop_fd = -1,
		.key = &daemon->key,
		.limits = settings->limits,
		.hooks = {.admits = admits,
			.started = started,
			.reload = reload,
			.draining = draining,
			.ended = ended,
			.data = daemon},
	};

	daemon->service.timer.fd = -1;
	daemon->metrics.listener.fd = -1;
	serve_log_sink = log_text;
	raise_descriptors(settings);
	int r = read_key(daemon);
	if (r == 0)
		r = serve_server_run(&config);
	mp__authkey_wipe(&daemon->key);
	return r;
}
