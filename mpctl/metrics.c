/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/metrics.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "managerd_"

static bool read_metric(const char *line, size_t length, struct metric *ret)
{
	const char *end = line + length;
	const char *value = memrchr(line, ' ', length);

	if (length == 0 || *line == '#' || !value)
		return false;
	*ret = (struct metric){.name = line, .name_length = (size_t)(value - line)};
	ret->value = value + 1;
	ret->value_length = (size_t)(end - value - 1);
	const char *brace = memchr(line, '{', ret->name_length);
	if (brace && value[-1] == '}') {
		ret->name_length = (size_t)(brace - line);
		ret->labels = brace + 1;
		ret->labels_length = (size_t)(value - 1 - ret->labels);
	}
	if (strncmp(ret->name, PREFIX, strlen(PREFIX)) == 0) {
		ret->name += strlen(PREFIX);
		ret->name_length -= strlen(PREFIX);
	}
	return true;
}

bool metrics_next(const char **text, struct metric *ret)
{
	while (**text) {
		const char *line = *text;
		size_t length = strcspn(line, "\n");
		*text = line + length + (line[length] == '\n');
		if (read_metric(line, length, ret))
			return true;
	}
	return false;
}

static bool is_named(const struct metric *m, const char *name)
{
	return m->name_length == strlen(name) && memcmp(m->name, name, m->name_length) == 0;
}

double metrics_sum(const char *text, const char *name, const char *label)
{
	struct metric m;
	double sum = 0;

	while (metrics_next(&text, &m)) {
		if (is_named(&m, name) && (!label || (m.labels && memmem(m.labels, m.labels_length,
									  label, strlen(label)))))
			sum += strtod(m.value, NULL);
	}
	return sum;
}

/* --- printing ----------------------------------------------------------------------------------- */

static bool matches(const struct metric *m, const char *pattern)
{
	char name[128];

	if (!pattern)
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)m->name_length, m->name);
	return fnmatch(pattern, name, 0) == 0;
}

static void print_line(const struct metric *m)
{
	char left[160];

	snprintf(left, sizeof(left), "%.*s%s%.*s%s", (int)m->name_length, m->name,
		m->labels ? "{" : "", (int)m->labels_length, m->labels ? m->labels : "",
		m->labels ? "}" : "");
	printf("%-60s %.*s\n", left, (int)m->value_length, m->value);
}

/* LABEL="TEXT",... as members of an object, where it is known that no text has quotes inside. */
static void print_labels(const struct metric *m)
{
	const char *at = m->labels;
	const char *end = at + m->labels_length;

	while (at < end) {
		const char *equals = memchr(at, '=', (size_t)(end - at));
		const char *close = equals && equals + 2 <= end
					    ? memchr(equals + 2, '"', (size_t)(end - equals - 2))
					    : NULL;
		if (!close)
			return;
		printf("\"%.*s\": %.*s, ", (int)(equals - at), at, (int)(close - equals),
			equals + 1);
		at = close + 1;
		at += at < end && *at == ',';
	}
}

static void print_json(const struct metric *m, bool first, bool again)
{
	if (!again)
		printf("%s\"%.*s\": %s", first ? "" : ", ", (int)m->name_length, m->name,
			m->labels ? "[" : "");
	else
		fputs(", ", stdout);
	if (m->labels) {
		putchar('{');
		print_labels(m);
		printf("\"value\": %.*s}", (int)m->value_length, m->value);
	} else {
		printf("%.*s", (int)m->value_length, m->value);
	}
}

void metrics_print(const char *text, const char *pattern, bool json)
{
	struct metric m;
	struct metric before = {0};

	if (json)
		putchar('{');
	while (metrics_next(&text, &m)) {
		if (!matches(&m, pattern))
			continue;
		if (!json) {
			print_line(&m);
			continue;
		}
		/* Those of one name stand together: one list. */
		bool again = before.name && before.labels && m.labels &&
			     before.name_length == m.name_length &&
			     memcmp(before.name, m.name, m.name_length) == 0;
		if (before.labels && !again)
			putchar(']');
		print_json(&m, !before.name, again);
		before = m;
	}
	if (json)
		puts(before.labels ? "]}" : "}");
}
