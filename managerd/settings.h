/* SPDX-License-Identifier: MIT */
/*
 * managerd/settings.h - everything about the daemon that somebody can set, as one table.
 *
 * An option is a row: its name, which is the same on the command line and in the file, the section
 * of the file, how its text is read, and where the value goes. The usage, the command line, the file,
 * and the comparison of old and new settings after SIGHUP all go by the table; so a new option is a
 * new row and a line in the page.
 */
#ifndef MANAGERD_SETTINGS_H
#define MANAGERD_SETTINGS_H

#include "managerd/access.h"
#include "managerd/users.h"
#include "serve/limits.h"
#include "serve/listener.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/un.h>

#define MD_SOCKET_PATH_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

#define MD_PATH_SIZE 192 /* a line of the file has no more */

#define MD_MODE_DEFAULT UINT32_MAX

/* Plain bytes, so that settings are copied and compared as such. */
struct md_settings {
	char listen[MD_SOCKET_PATH_SIZE];  /* "": none */
	uint32_t socket_mode;              /* MD_MODE_DEFAULT: as the group says */
	uint32_t socket_group;             /* SERVE_GROUP_NONE: none */
	char metrics[MD_SOCKET_PATH_SIZE]; /* "": none */
	uint32_t metrics_mode;
	int private_fd; /* or -1, as the two others */
	int owner_fd;
	int ready_fd;
	char authkey_file[MD_PATH_SIZE]; /* "": none */
	struct serve_limits limits;
	struct md_users users;
	struct md_rules rules;
};

enum md_kind {
	MD_KIND_NUMBER,  /* uint32_t */
	MD_KIND_BYTES,   /* uint32_t; K, M and G may stand behind the number */
	MD_KIND_ADDRESS, /* a path of a socket, with or without unix: before it */
	MD_KIND_PATH,    /* of a file */
	MD_KIND_MODE,    /* uint32_t: octal, at most 0777 */
	MD_KIND_GROUP,   /* uint32_t: the number of a group, by that or its name */
	MD_KIND_FD,      /* int: a descriptor that we have inherited */
};

/* Where a value may be changed while the daemon runs. */
enum md_when { MD_AT_START, MD_ALWAYS };

struct md_option {
	const char *name;
	const char *section; /* of the file; NULL: on the command line alone */
	enum md_kind kind;
	enum md_when when;
	size_t offset; /* in struct md_settings */
	size_t size;
	uint64_t min; /* numbers */
	uint64_t max;
	const char *argument; /* for the usage */
	const char *help;
};

extern const struct md_option md_options[];
extern const size_t md_n_options;

void md_settings_init(struct md_settings *settings);

/* NULL: there is none of that name, or not in that section. section == NULL: command line. */
const struct md_option *md_option_find(const char *section, const char *name);

/* Is there such a section in the file? */
bool md_section_exists(const char *section);

/* Read the text into the settings. -EINVAL, with a sentence that begins with the option's name. */
int md_option_read(const struct md_option *option, const char *text, struct md_settings *settings);

/* Has this option the same value in both? */
bool md_option_same(
	const struct md_option *option, const struct md_settings *a, const struct md_settings *b);

void md_option_copy(
	const struct md_option *option, struct md_settings *to, const struct md_settings *from);

/* The options, one line each, with their defaults. */
void md_options_print(FILE *to);

#endif
