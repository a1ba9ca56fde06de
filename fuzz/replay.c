/* SPDX-License-Identifier: MIT */
/*
 * Feeds a fuzz target every file of its corpus, whole and cut off at each byte. Without arguments
 * the corpus is $top_srcdir/fuzz/corpus/FUZZ_CORPUS; otherwise the arguments are files.
 */
#include <config.h>

#include "fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST (1024 * 1024)
/* Larger files are fed whole only. */
#define LARGEST_CUT 1024

/* A buffer of exactly this size, so that a sanitizer sees every byte that is read beyond. */
static void feed(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);

	if (!exact)
		abort();
	memcpy(exact, bytes, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static void replay(const char *path)
{
	static uint8_t bytes[LARGEST];
	FILE *file = fopen(path, "rbe");

	if (!file) {
		perror(path);
		exit(1);
	}
	size_t size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	fprintf(stderr, "%s: %zu bytes\n", path, size);
	for (size_t cut = size < LARGEST_CUT ? 0 : size; cut <= size; cut++)
		feed(bytes, cut);
}

static int replay_corpus(void)
{
	const char *top = getenv("top_srcdir");
	char path[PATH_MAX];
	int n = 0;

	snprintf(path, sizeof(path), "%s/fuzz/corpus/" FUZZ_CORPUS, top ? top : ".");
	DIR *dir = opendir(path);
	if (!dir) {
		perror(path);
		return 1;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		char file[PATH_MAX];
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >= (int)sizeof(file))
			return 1;
		replay(file);
		n++;
	}
	closedir(dir);
	return n > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return replay_corpus();
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	return 0;
}
