/* SPDX-License-Identifier: MIT */
/* mpctl/people.h - numbers as people know them: users, programs, how long ago. */
#ifndef MPCTL_PEOPLE_H
#define MPCTL_PEOPLE_H

#include <sys/types.h>

#define PEOPLE_NAME_SIZE 40

/* The name of a user, or the number. */
void people_user(uid_t uid, char ret[PEOPLE_NAME_SIZE]);
/* What the kernel calls the process or thread, fit for a terminal; "?" if there is none. */
void people_program(pid_t pid, char ret[PEOPLE_NAME_SIZE]);
/* "12 s", "5 min", "3 h", "40 days" */
void people_age(double seconds, char ret[PEOPLE_NAME_SIZE]);

#endif
