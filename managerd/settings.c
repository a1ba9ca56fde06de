/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/settings.h"

#include "base/error.h"
#include "managerd/number.h"
#include "wire/frame.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct md_settings, member), sizeof(((struct md_settings *)0)->member)
#define MUCH (1u << 30)

const struct md_option md_options[] = {
	{"listen", "daemon", MD_KIND_ADDRESS, MD_AT_START, AT(listen), 0, 0, "unix:/PATH",
		"listen on this socket"},
	{"socket-mode", "daemon", MD_KIND_MODE, MD_AT_START, AT(socket_mode), 0, 0, "MODE",
		"of the socket (0600; 0660 with a group)"},
	{"socket-group", "daemon", MD_KIND_GROUP, MD_AT_START, AT(socket_group), 0, 0, "GROUP",
		"whose members may use it too"},
	{"metrics", "daemon", MD_KIND_ADDRESS, MD_AT_START, AT(metrics), 0, 0, "unix:/PATH",
		"tell how it is, for Prometheus, on this socket"},
	{"metrics-mode", "daemon", MD_KIND_MODE, MD_AT_START, AT(metrics_mode), 0, 0, "MODE",
		"of that socket (0600)"},
	{"authkey-file", "daemon", MD_KIND_PATH, MD_ALWAYS, AT(authkey_file), 0, 0, "/PATH",
		"clients prove that they know the key in it"},
	{"drain-ms", "daemon", MD_KIND_NUMBER, MD_ALWAYS, AT(limits.drain_ms), 0, 3600000, "N",
		"time for replies to go out at the end"},
	{"private-fd", NULL, MD_KIND_FD, MD_AT_START, AT(private_fd), 0, 0, "N",
		"serve only the connections that come over this socket"},
	{"owner-fd", NULL, MD_KIND_FD, MD_AT_START, AT(owner_fd), 0, 0, "N",
		"end when the process of this pidfd has ended"},
	{"ready-fd", NULL, MD_KIND_FD, MD_AT_START, AT(ready_fd), 0, 0, "N",
		"write a byte there, and close it, when ready"},
	{"max-frame", "limits", MD_KIND_BYTES, MD_ALWAYS, AT(limits.max_frame), MP__FRAME_FIRST_MAX,
		MP__FRAME_MAX, "BYTES", "of one message"},
	{"max-connections", "limits", MD_KIND_NUMBER, MD_ALWAYS, AT(limits.max_connections), 1,
		INT32_MAX, "N", "at the same time"},
	{"max-objects", "limits", MD_KIND_NUMBER, MD_ALWAYS, AT(limits.max_objects), 1, MUCH, "N",
		"in the daemon"},
	{"max-references", "limits", MD_KIND_NUMBER, MD_ALWAYS, AT(limits.max_references), 1, MUCH,
		"N", "objects that one connection has open"},
	{"max-waiters", "limits", MD_KIND_NUMBER, MD_ALWAYS, AT(limits.max_waiters), 1, MUCH, "N",
		"calls of one connection that wait"},
	{"max-output", "limits", MD_KIND_BYTES, MD_ALWAYS, AT(limits.max_output), 1, MUCH, "BYTES",
		"unread replies after which a connection has to wait"},
	{"stall-ms", "limits", MD_KIND_NUMBER, MD_ALWAYS, AT(limits.stall_ms), 1, INT32_MAX, "N",
		"patience with connections that stop half-way"},
};
const size_t md_n_options = sizeof(md_options) / sizeof(md_options[0]);

void md_settings_init(struct md_settings *settings)
{
	/* Padding too, since settings are compared as bytes. */
	memset(settings, 0, sizeof(*settings));
	settings->socket_mode = MD_MODE_DEFAULT;
	settings->metrics_mode = 0600;
	settings->socket_group = SERVE_GROUP_NONE;
	settings->private_fd = settings->owner_fd = settings->ready_fd = -1;
	settings->limits = (struct serve_limits)SERVE_LIMITS_DEFAULT;
}

const struct md_option *md_option_find(const char *section, const char *name)
{
	for (const struct md_option *o = md_options; o < md_options + md_n_options; o++) {
		bool here = !section || (o->section && strcmp(o->section, section) == 0);
		if (here && strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}

bool md_section_exists(const char *section)
{
	for (const struct md_option *o = md_options; o < md_options + md_n_options; o++) {
		if (o->section && strcmp(o->section, section) == 0)
			return true;
	}
	return false;
}

/* --- texts ------------------------------------------------------------------------------------ */

static int read_number(const struct md_option *option, const char *text, uint32_t *ret)
{
	uint64_t number;

	if (!md_number_scan(text, option->kind == MD_KIND_BYTES, &number) || number < option->min ||
		number > option->max)
		return mp_error_set(-EINVAL, "%s: %s is not a number from %" PRIu64 " to %" PRIu64,
			option->name, text, option->min, option->max);
	*ret = (uint32_t)number;
	return 0;
}

static int read_address(const struct md_option *option, const char *text, char *ret_path)
{
	const char *path = strncmp(text, "unix:", 5) == 0 ? text + 5 : text;

	if (*path != '/')
		return mp_error_set(
			-EINVAL, "%s: %s is no address; it must be unix:/PATH", option->name, text);
	if (strlen(path) >= MD_SOCKET_PATH_SIZE)
		return mp_error_set(-EINVAL, "%s: the path of a socket has at most %zu bytes",
			option->name, MD_SOCKET_PATH_SIZE - 1);
	memset(ret_path, 0, MD_SOCKET_PATH_SIZE);
	strcpy(ret_path, path);
	return 0;
}

static int read_path(const struct md_option *option, const char *text, char *ret_path)
{
	if (*text != '/' || strlen(text) >= MD_PATH_SIZE)
		return mp_error_set(-EINVAL,
			"%s: %s is no absolute path of less than %d bytes: write /PATH",
			option->name, text, MD_PATH_SIZE);
	memset(ret_path, 0, MD_PATH_SIZE);
	strcpy(ret_path, text);
	return 0;
}

static int read_mode(const struct md_option *option, const char *text, uint32_t *ret)
{
	size_t n = strspn(text, "01234567");
	unsigned long mode = strtoul(text, NULL, 8);

	if (n == 0 || n > 4 || text[n] != '\0' || mode > 0777)
		return mp_error_set(-EINVAL, "%s: %s is not a mode from 0 to 0777, in octal",
			option->name, text);
	*ret = (uint32_t)mode;
	return 0;
}

/* Names are looked up where the system keeps them, now and not later. */
static int read_group(const struct md_option *option, const char *text, uint32_t *ret)
{
	char why[MP__DETAIL_SIZE];
	int r = md_group_parse(text, ret);

	if (r < 0) {
		strcpy(why, mp_error_detail());
		mp_error_set(r, "%s: %s", option->name, why);
	}
	return r;
}

/* An inherited descriptor that is really open. */
static int read_fd(const struct md_option *option, const char *text, int *ret_fd)
{
	uint64_t fd;

	if (!md_number_scan(text, false, &fd) || fd < 3 || fd > INT32_MAX)
		return mp_error_set(-EINVAL, "%s: %s is no descriptor above 2", option->name, text);
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return mp_error_set(-EINVAL, "%s: descriptor %s is not open", option->name, text);
	*ret_fd = (int)fd;
	return 0;
}

int md_option_read(const struct md_option *option, const char *text, struct md_settings *settings)
{
	void *at = (char *)settings + option->offset;

	switch (option->kind) {
	case MD_KIND_NUMBER:
	case MD_KIND_BYTES:
		return read_number(option, text, at);
	case MD_KIND_ADDRESS:
		return read_address(option, text, at);
	case MD_KIND_PATH:
		return read_path(option, text, at);
	case MD_KIND_MODE:
		return read_mode(option, text, at);
	case MD_KIND_GROUP:
		return read_group(option, text, at);
	case MD_KIND_FD:
		return read_fd(option, text, at);
	}
	return mp_error_set(-EINVAL, "%s: unknown kind", option->name);
}

bool md_option_same(
	const struct md_option *option, const struct md_settings *a, const struct md_settings *b)
{
	return memcmp((const char *)a + option->offset, (const char *)b + option->offset,
		       option->size) == 0;
}

void md_option_copy(
	const struct md_option *option, struct md_settings *to, const struct md_settings *from)
{
	memcpy((char *)to + option->offset, (const char *)from + option->offset, option->size);
}

void md_options_print(FILE *to)
{
	struct md_settings defaults;
	char left[64];

	md_settings_init(&defaults);
	for (const struct md_option *o = md_options; o < md_options + md_n_options; o++) {
		snprintf(left, sizeof(left), "--%s %s", o->name, o->argument);
		fprintf(to, "  %-24s %s", left, o->help);
		if (o->kind == MD_KIND_NUMBER || o->kind == MD_KIND_BYTES) {
			uint32_t value;
			memcpy(&value, (const char *)&defaults + o->offset, sizeof(value));
			fprintf(to, " (%" PRIu32 ")", value);
		}
		fputc('\n', to);
	}
}
