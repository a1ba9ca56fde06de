/* SPDX-License-Identifier: MIT */
/*
 * The picture of the results: a group of bars for each name, as long as the logarithm of the value,
 * on a scale of the group's own that begins at a power of ten.
 */
#include <config.h>

#include "bench/report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#define WIDTH 860
#define LEFT 130      /* where bars begin; names of contenders stand before it */
#define BAR_WIDTH 560 /* of the longest bar: a value stands behind it */
#define LINE 18
#define BAR_HEIGHT 13
#define TITLE 26
#define GAP 14
#define MARGIN 20

static const char *colour(const char *who)
{
	if (strcmp(who, "libmp") == 0)
		return "#1f6feb";
	return strcmp(who, "floor") == 0 ? "#b8bec6" : "#e0a458";
}

/* Names come from a file: only what cannot be markup gets into the picture. */
static void put_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text))
			fputc('?', out);
		else
			fputc(*text, out);
	}
}

static json_t *read_results(FILE *in)
{
	json_t *results = json_array();
	char line[1024];

	for (int n = 1; fgets(line, sizeof(line), in); n++) {
		json_t *o = json_loads(line, 0, NULL);

		if (!json_is_string(json_object_get(o, "name")) ||
			!json_is_string(json_object_get(o, "who")) ||
			!json_is_string(json_object_get(o, "unit")) ||
			!(json_number_value(json_object_get(o, "value")) > 0)) {
			fprintf(stderr, "mpbench: line %d is no result\n", n);
			json_decref(o);
			json_decref(results);
			return NULL;
		}
		json_array_append_new(results, o);
	}
	return results;
}

static const char *text_of(json_t *results, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(results, i), key));
}

static double value_of(json_t *results, size_t i)
{
	return json_number_value(json_object_get(json_array_get(results, i), "value"));
}

/* The results of one name stand together: where the group that starts at `first` ends. */
static size_t group_end(json_t *results, size_t first)
{
	size_t end = first;

	while (end < json_array_size(results) &&
		strcmp(text_of(results, end, "name"), text_of(results, first, "name")) == 0)
		end++;
	return end;
}

static void format_short(char *text, size_t size, double value)
{
	if (value >= 1e6)
		snprintf(text, size, "%.3g M", value / 1e6);
	else if (value >= 1e4)
		snprintf(text, size, "%.3g k", value / 1e3);
	else
		snprintf(text, size, "%.*f", value < 10 ? 2 : value < 100 ? 1 : 0, value);
}

static int draw_group(FILE *out, json_t *results, size_t first, size_t end, int y)
{
	const char *name = text_of(results, first, "name");
	const struct bench_row *row = bench_row_find(name);
	double low = HUGE_VAL, high = 0;

	for (size_t i = first; i < end; i++) {
		low = fmin(low, value_of(results, i));
		high = fmax(high, value_of(results, i));
	}
	/* A tenth below the smallest value, so that its bar has a length. */
	double from = floor(log10(low) - 0.1);
	double span = fmax(log10(high) - from, 1);

	fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"name\">", MARGIN, y + TITLE - 10);
	put_text(out, name);
	fputs("<tspan class=\"unit\" dx=\"8\">", out);
	put_text(out, text_of(results, first, "unit"));
	if (row)
		fputs(row->better == BENCH_LOWER ? ", shorter is better" : ", longer is better",
			out);
	fputs("</tspan></text>\n", out);
	y += TITLE;
	for (int decade = 0; decade <= (int)span; decade++) {
		int x = LEFT + (int)(decade / span * BAR_WIDTH);

		fprintf(out, "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" class=\"grid\"/>\n", x,
			x, y - 3, y + (int)(end - first) * LINE);
	}
	for (size_t i = first; i < end; i++, y += LINE) {
		double length = (log10(value_of(results, i)) - from) / span * BAR_WIDTH;
		char value[32];

		format_short(value, sizeof(value), value_of(results, i));
		fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"who\">", LEFT - 8, y + 11);
		put_text(out, text_of(results, i, "who"));
		fprintf(out,
			"</text><rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" "
			"fill=\"%s\"/><text x=\"%.1f\" y=\"%d\">%s</text>\n",
			LEFT, y, length, BAR_HEIGHT, colour(text_of(results, i, "who")),
			LEFT + length + 6, y + 11, value);
	}
	return y + GAP;
}

static void draw(FILE *out, json_t *results)
{
	size_t n = json_array_size(results);
	int height = 2 * MARGIN + 24;
	int y = MARGIN + 24;

	for (size_t i = 0, end; i < n; i = end) {
		end = group_end(results, i);
		height += TITLE + (int)(end - i) * LINE + GAP;
	}
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\">\n<style>text{font:12px sans-serif;fill:#24292f}"
		".who{text-anchor:end}.name{font-weight:bold;font-size:14px}"
		".unit{font-weight:normal;font-size:12px;fill:#57606a}"
		".grid{stroke:#d0d7de;stroke-width:1}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
		"<text x=\"%d\" y=\"%d\">libmp %s, the raw floor and peers, measured in one run. "
		"Logarithmic: each grid line is ten times the one before.</text>\n",
		WIDTH, height, WIDTH, height, MARGIN, MARGIN + 8, PACKAGE_VERSION);
	for (size_t i = 0, end; i < n; i = end) {
		end = group_end(results, i);
		y = draw_group(out, results, i, end, y);
	}
	fputs("</svg>\n", out);
}

int chart(FILE *in, const char *path)
{
	json_t *results = read_results(in);
	FILE *out = results ? fopen(path, "we") : NULL;

	if (!results)
		return -1;
	if (out)
		draw(out, results);
	json_decref(results);
	bool failed = !out || ferror(out);
	if ((out && fclose(out) != 0) || failed) {
		fprintf(stderr, "mpbench: cannot write %s: %s\n", path, strerror(errno));
		return -1;
	}
	return 0;
}
