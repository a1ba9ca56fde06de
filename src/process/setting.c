/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/setting.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fds.h"

#include <fcntl.h>
#include <string.h>

#define LAST_SIGNAL 64

static int no_memory(void)
{
	return mp_error_set(-ENOMEM, "new process: out of memory");
}

/* --- environment ---------------------------------------------------------------------------------- */

char **mp__environment_of(const char *strings, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += strings[i] == '\0';
	char **env = malloc((n + 1) * sizeof(*env) + size);
	if (!env)
		return NULL;
	char *at = (char *)(env + n + 1);
	if (size > 0)
		memcpy(at, strings, size);
	for (size_t i = 0; i < n; i++) {
		env[i] = at;
		at += strlen(at) + 1;
	}
	env[n] = NULL;
	return env;
}

static int copy_env(char *const *env, struct mp__setting *setting)
{
	size_t size = 0;
	size_t used = 0;

	for (size_t i = 0; env[i]; i++)
		size += strlen(env[i]) + 1;
	MP__AUTO_FREE char *strings = malloc(size + 1);
	if (!strings)
		return no_memory();
	for (size_t i = 0; env[i]; i++) {
		size_t length = strlen(env[i]) + 1;
		memcpy(strings + used, env[i], length);
		used += length;
	}
	setting->env = mp__environment_of(strings, size);
	setting->env_size = size;
	return setting->env ? 0 : no_memory();
}

/* --- descriptors ------------------------------------------------------------------------------------ */

/* Room for all that may come; most processes need none. */
static int make_places(struct mp__setting *setting, size_t n)
{
	if (setting->fds)
		return 0;
	setting->fds = calloc(n, sizeof(int));
	setting->places = calloc(n, sizeof(int));
	return setting->fds && setting->places ? 0 : no_memory();
}

static int add_place(struct mp__setting *setting, size_t n_fds, int from, int to)
{
	int r = make_places(setting, n_fds + MP__N_STREAMS);

	if (r < 0)
		return r;
	for (size_t i = 0; i < setting->n_places; i++) {
		if (setting->places[i] == to)
			return mp_error_set(-EINVAL,
				"new process: two descriptors would be number %d there", to);
	}
	int fd = fcntl(from, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (fd < 0)
		return mp_error_set(
			-errno, "new process: descriptor %d: %s", from, strerrordesc_np(errno));
	setting->fds[setting->n_places] = fd;
	setting->places[setting->n_places++] = to;
	return 0;
}

static int set_stream(struct mp__setting *setting, size_t n_fds, int number, int stream)
{
	if (stream >= MP_STREAM_FD(0))
		return add_place(setting, n_fds, stream - MP_STREAM_FD(0), number);
	switch (stream) {
	case MP_STREAM_DEFAULT:
		setting->nulls |= MP__NULLS_DEFAULT & (1U << number);
		return 0;
	case MP_STREAM_INHERIT:
		setting->inherits |= 1U << number;
		return 0;
	case MP_STREAM_NULL:
		setting->nulls |= 1U << number;
		return 0;
	default:
		return mp_error_set(-EINVAL,
			"new process: %d is no stream; MP_STREAM_FD() makes one of a descriptor",
			stream);
	}
}

static int set_fds(struct mp__setting *setting, const mp_process_options *o)
{
	const int streams[MP__N_STREAMS] = {o->in, o->out, o->err};
	int r = 0;

	if (o->n_fds > 0 && !o->fds)
		return mp_error_set(-EINVAL, "new process: %zu descriptors at NULL", o->n_fds);
	for (int i = 0; i < MP__N_STREAMS && r == 0; i++)
		r = set_stream(setting, o->n_fds, i, streams[i]);
	for (size_t i = 0; i < o->n_fds && r == 0; i++) {
		if (o->fds[i].there < MP__N_STREAMS)
			r = mp_error_set(-EINVAL,
				"new process: descriptor %d there is no number from 3 on",
				o->fds[i].there);
		else
			r = add_place(setting, o->n_fds, o->fds[i].here, o->fds[i].there);
	}
	return r;
}

void mp__setting_close_fds(struct mp__setting *setting)
{
	mp__fds_close(setting->fds, setting->n_places);
	setting->n_places = 0;
}

unsigned mp__setting_nulls(const struct mp__setting *setting)
{
	unsigned nulls = setting->nulls;

	for (int fd = 0; fd < MP__N_STREAMS; fd++) {
		if (setting->inherits & (1U << fd) && fcntl(fd, F_GETFD) < 0)
			nulls |= 1U << fd;
	}
	return nulls;
}

int mp__setting_open_cwd(const struct mp__setting *setting, int *ret_fd)
{
	*ret_fd = -1;
	if (!setting->cwd)
		return 0;
	MP__AUTO_CLOSE int directory = open(setting->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Looking up a name in it takes the right to enter it: the child will be able to. */
	if (directory >= 0)
		*ret_fd =
			mp__fd_above_std(openat(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (*ret_fd < 0)
		return mp_error_set(-errno, "start: entering the directory '%s': %s", setting->cwd,
			strerrordesc_np(errno));
	return 0;
}

/* --- signals ----------------------------------------------------------------------------------------- */

static bool is_signal(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	return sigaddset(&set, signal) == 0;
}

uint64_t mp__sigset_to_bits(const sigset_t *set)
{
	uint64_t bits = 0;

	for (int i = 1; i <= LAST_SIGNAL; i++) {
		if (sigismember(set, i) == 1)
			bits |= UINT64_C(1) << (i - 1);
	}
	return bits;
}

sigset_t mp__sigset_of_bits(uint64_t bits)
{
	sigset_t set;

	sigemptyset(&set);
	for (int i = 1; i <= LAST_SIGNAL; i++) {
		if (bits & (UINT64_C(1) << (i - 1)))
			sigaddset(&set, i);
	}
	return set;
}

static int set_death(struct mp__setting *setting, const mp_process_options *o)
{
	setting->death = o->death ? o->death : o->daemon ? SIGKILL : 0;
	if (setting->death != 0 && !is_signal(setting->death))
		return mp_error_set(-EINVAL, "new process: %d is no signal", o->death);
	return 0;
}

/* --- all --------------------------------------------------------------------------------------------- */

void mp__setting_free(struct mp__setting *setting)
{
	free(setting->env);
	free(setting->cwd);
	free(setting->fds);
	free(setting->places);
}

int mp__setting_copy(const mp_process_options *options, struct mp__setting *ret_setting)
{
	struct mp__setting setting = {.n_places = 0};

	int r = set_death(&setting, options);
	if (r == 0)
		r = set_fds(&setting, options);
	if (r == 0 && options->env)
		r = copy_env(options->env, &setting);
	if (r == 0 && options->cwd) {
		setting.cwd = strdup(options->cwd);
		r = setting.cwd ? 0 : no_memory();
	}
	if (options->sigmask) {
		setting.has_mask = true;
		setting.mask = *options->sigmask;
	}
	setting.apart = setting.n_places > 0 || options->in == MP_STREAM_NULL ||
			setting.nulls & ~MP__NULLS_DEFAULT || setting.env || setting.cwd ||
			options->death;
	if (r < 0) {
		mp__setting_close_fds(&setting);
		mp__setting_free(&setting);
		return r;
	}
	*ret_setting = setting;
	return 0;
}
