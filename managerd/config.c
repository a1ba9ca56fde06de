/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "managerd/config.h"

#include "base/error.h"

#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What inih's own buffer takes as it is usually built; the page says so. */
#define LINE_MAX_BYTES 190
#define SENTENCE_SIZE 512
#define OPTIONS_MAX 128

/* Sections that are not of options with one value each. */
#define USER "user "
#define ACCESS "access"

struct reading {
	const char *path;
	FILE *file;
	struct md_settings settings;
	void (*complain)(const char *sentence, void *data);
	void *data;
	int line;
	int lines[OPTIONS_MAX]; /* where an option was set; 0 */
	bool wrong;
	bool skip; /* the section does not exist: that has been said once */
};

MP__PRINTF(2, 3) static void complain(struct reading *reading, const char *format, ...)
{
	char sentence[SENTENCE_SIZE];
	va_list args;

	int n = snprintf(sentence, sizeof(sentence), "%s:%d: ", reading->path, reading->line);
	va_start(args, format);
	if (n >= 0 && n < (int)sizeof(sentence))
		vsnprintf(sentence + n, sizeof(sentence) - (size_t)n, format, args);
	va_end(args);
	reading->complain(sentence, reading->data);
	reading->wrong = true;
}

static bool is_comment(const char *text)
{
	text += strspn(text, " \t");
	return *text == '\0' || *text == ';' || *text == '#';
}

static void begin_section(struct reading *reading, const char *name)
{
	reading->skip = false;
	if (strncmp(name, USER, sizeof(USER) - 1) == 0) {
		const char *who = name + sizeof(USER) - 1;
		reading->skip =
			md_users_begin(&reading->settings.users, who + strspn(who, " ")) < 0;
		if (reading->skip)
			complain(reading, "%s", mp_error_detail());
	} else if (strcmp(name, ACCESS) != 0 && !md_section_exists(name)) {
		complain(reading,
			"there is no section [%s]; there are daemon, limits, user NAME and access",
			name);
		reading->skip = true;
	}
}

/* inih tells of a section only with its first key, cuts long names, and takes what is behind. */
static void look_at_section(struct reading *reading, char *line)
{
	char *end = strchr(line, ']');

	reading->skip = true;
	if (!end || !is_comment(end + 1)) {
		complain(reading, "this is no [SECTION]");
		*line = '\0';
		return;
	}
	*end = '\0';
	begin_section(reading, line + 1);
	*end = ']';
}

/* It also tells of its first error alone. */
static void look_at_line(struct reading *reading, char *line)
{
	if (*line == '[') {
		look_at_section(reading, line);
	} else if (!is_comment(line) && !strpbrk(line, "=:")) {
		complain(reading, "this is neither [SECTION] nor NAME = VALUE");
		*line = '\0';
	}
}

/*
 * The next line, as fgets(3) would give it. Blanks before it go, since to inih they mean that the
 * last value goes on; a line that inih cannot have whole is left out.
 */
static char *next_line(char *buffer, int size, void *data)
{
	struct reading *reading = data;
	char *line = NULL;
	size_t room = 0;
	ssize_t n = getline(&line, &room, reading->file);

	if (n < 0) {
		free(line);
		return NULL;
	}
	reading->line++;
	/* Some editors begin a file with a byte order mark. */
	bool marked = reading->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0;
	char *text = marked ? line + 3 : line;
	text += strspn(text, " \t");
	size_t length = strcspn(text, "\r\n");
	buffer[0] = '\0';
	if (strlen(line) != (size_t)n)
		complain(reading, "there is a zero byte in it");
	else if (length > LINE_MAX_BYTES || (int)length + 3 > size)
		complain(reading, "the line is longer than %d bytes", LINE_MAX_BYTES);
	else
		memcpy(buffer, text, length + 1);
	buffer[length <= LINE_MAX_BYTES ? length : 0] = '\0';
	look_at_line(reading, buffer);
	free(line);
	return buffer;
}

static int add_rule(struct reading *reading, const char *name, const char *value)
{
	bool allow = strcmp(name, "allow") == 0;

	if (!allow && strcmp(name, "deny") != 0)
		complain(reading, "a rule is allow or deny, not %s", name);
	else if (md_rules_add(&reading->settings.rules, allow, value) < 0)
		complain(reading, "%s: %s", name, mp_error_detail());
	return 1;
}

/* inih: 0 means an error; but what is wrong has been said here, and is known. */
static int take_value(void *data, const char *section, const char *name, const char *value)
{
	struct reading *reading = data;

	if (reading->skip)
		return 1;
	if (*section == '\0') {
		complain(reading, "%s stands before any section", name);
		return 0;
	}
	if (strcmp(section, ACCESS) == 0)
		return add_rule(reading, name, value);
	if (strncmp(section, USER, sizeof(USER) - 1) == 0) {
		if (md_users_set(&reading->settings.users, name, value) < 0)
			complain(reading, "%s", mp_error_detail());
		return 1;
	}
	const struct md_option *option = md_option_find(section, name);
	if (!option) {
		const struct md_option *elsewhere = md_option_find(NULL, name);
		if (elsewhere && elsewhere->section)
			complain(reading, "%s belongs to [%s]", name, elsewhere->section);
		else if (elsewhere)
			complain(reading, "%s is for the command line only", name);
		else
			complain(reading, "there is no option %s", name);
		return 0;
	}
	int *line = &reading->lines[option - md_options];
	if (*line > 0) {
		complain(reading, "%s has been set in line %d", name, *line);
		return 0;
	}
	*line = reading->line;
	if (md_option_read(option, value ? value : "", &reading->settings) < 0) {
		complain(reading, "%s", mp_error_detail());
		return 0;
	}
	return 1;
}

static int fail(const struct reading *reading, int result)
{
	char sentence[SENTENCE_SIZE];

	snprintf(sentence, sizeof(sentence), "%s: it cannot be read: %s", reading->path,
		strerrordesc_np(-result));
	reading->complain(sentence, reading->data);
	return mp_error_set(result, "%s", sentence);
}

/* What the path leads to may be a FIFO, and nobody is to wait for its other end. */
static FILE *open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return NULL;
	int error = fstat(fd, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : EISDIR;
	FILE *file = error == 0 ? fdopen(fd, "r") : NULL;
	if (!file) {
		error = error ? error : errno;
		close(fd);
		errno = error == EISDIR && !S_ISDIR(st.st_mode) ? EINVAL : error;
	}
	return file;
}

int md_config_read(const char *path, struct md_settings *settings,
	void (*complain_to)(const char *sentence, void *data), void *data)
{
	struct reading reading = {
		.path = path, .settings = *settings, .complain = complain_to, .data = data};

	reading.file = open_file(path);
	if (!reading.file)
		return fail(&reading, -errno);
	int wrong_line = ini_parse_stream(next_line, &reading, take_value, &reading);
	bool unreadable = ferror(reading.file);
	fclose(reading.file);
	if (unreadable)
		return fail(&reading, -EIO);
	if (wrong_line < 0)
		return fail(&reading, -ENOMEM);
	/* What else inih may have; it tells the line of its first one. */
	if (wrong_line > 0 && !reading.wrong) {
		reading.line = wrong_line;
		complain(&reading, "this is neither [SECTION] nor NAME = VALUE");
	}
	if (reading.wrong)
		return mp_error_set(-EINVAL, "%s has errors", path);
	memcpy(settings, &reading.settings, sizeof(*settings));
	return 0;
}
