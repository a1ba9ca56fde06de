/* SPDX-License-Identifier: MIT */
/*
 * tests/support/place.h - a directory of the test's own, and what stands in it.
 *
 * All of them have names that tests/leaks.sh looks for: what a test leaves behind is found.
 */
#ifndef TESTS_SUPPORT_PLACE_H
#define TESTS_SUPPORT_PLACE_H

#define T_PLACE_SIZE 32

/* A new one, in /tmp. The test removes it: rmdir(2), which also says that it is empty, or t_place_remove(). */
void t_place_make(char ret_path[T_PLACE_SIZE]);
/* With all that is in it. */
void t_place_remove(const char *place);
/* Write a file there; the directories on the way to it are made. */
void t_place_put(const char *place, const char *path, const char *text);

#endif
