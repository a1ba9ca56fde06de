/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: any bytes as managerd.conf(5). A file is right, and every setting is what its option
 * may be; or it is wrong, each complaint tells a line that is there, and nothing has changed.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include "base/fds.h"
#include "managerd/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char path[64];
static size_t lines;
static size_t complaints;

/* "FILE:LINE: what" */
static void complain(const char *sentence, void *data)
{
	char *end;

	expect(data == &complaints);
	expect(strncmp(sentence, path, strlen(path)) == 0 && sentence[strlen(path)] == ':');
	unsigned long line = strtoul(sentence + strlen(path) + 1, &end, 10);
	expect(line >= 1 && line <= lines && end[0] == ':' && end[1] == ' ' && end[2] != '\0');
	complaints++;
}

static void expect_sound(const struct md_settings *settings)
{
	for (const struct md_option *o = md_options; o < md_options + md_n_options; o++) {
		const char *at = (const char *)settings + o->offset;
		uint32_t number;
		if (o->kind == MD_KIND_ADDRESS) {
			expect(memchr(at, '\0', o->size) && (*at == '\0' || *at == '/'));
		} else if (o->kind == MD_KIND_NUMBER || o->kind == MD_KIND_BYTES) {
			memcpy(&number, at, sizeof(number));
			expect(number >= o->min && number <= o->max);
		} else if (o->kind == MD_KIND_FD) {
			expect(memcmp(at, &(int){-1}, sizeof(int)) == 0);
		}
	}
	expect(settings->socket_mode <= 0777 || settings->socket_mode == MD_MODE_DEFAULT);
	expect(settings->metrics_mode <= 0777);
	expect(settings->users.n <= MD_USERS_MAX && settings->rules.n <= MD_RULES_MAX);
	for (uint32_t i = 0; i < settings->rules.n; i++)
		expect(memchr(settings->rules.rules[i].name, '\0', MD_RULE_NAME_SIZE) != NULL);
}

static int read_config(const uint8_t *data, size_t size, struct md_settings *settings)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	expect(fd >= 0 && mp__write_full(fd, data, size) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	lines = 1;
	complaints = 0;
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	int r = md_config_read(path, settings, complain, &complaints);
	close(fd);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct md_settings before;
	struct md_settings settings;
	struct md_settings again;

	md_settings_init(&before);
	md_settings_init(&settings);
	int r = read_config(data, size, &settings);
	expect(r == 0 || r == -EINVAL);
	expect((r == 0) == (complaints == 0));
	expect_sound(&settings);
	if (r < 0) {
		expect(memcmp(&settings, &before, sizeof(settings)) == 0);
		return 0;
	}
	/* Settings are compared as bytes when the file is read again. */
	md_settings_init(&again);
	expect(read_config(data, size, &again) == 0);
	expect(memcmp(&settings, &again, sizeof(settings)) == 0);
	return 0;
}
