/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/people.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

void people_user(uid_t uid, char ret[PEOPLE_NAME_SIZE])
{
	const struct passwd *user = getpwuid(uid);

	if (user && strlen(user->pw_name) < PEOPLE_NAME_SIZE)
		strcpy(ret, user->pw_name);
	else
		snprintf(ret, PEOPLE_NAME_SIZE, "%u", (unsigned)uid);
}

void people_program(pid_t pid, char ret[PEOPLE_NAME_SIZE])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file || !fgets(ret, PEOPLE_NAME_SIZE, file))
		strcpy(ret, "?");
	if (file)
		fclose(file);
	ret[strcspn(ret, "\n")] = '\0';
	for (char *c = ret; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

void people_age(double seconds, char ret[PEOPLE_NAME_SIZE])
{
	if (seconds < 120)
		snprintf(ret, PEOPLE_NAME_SIZE, "%.0f s", seconds);
	else if (seconds < 7200)
		snprintf(ret, PEOPLE_NAME_SIZE, "%.0f min", seconds / 60);
	else if (seconds < 172800)
		snprintf(ret, PEOPLE_NAME_SIZE, "%.0f h", seconds / 3600);
	else
		snprintf(ret, PEOPLE_NAME_SIZE, "%.0f days", seconds / 86400);
}
