/* SPDX-License-Identifier: MIT */
/*
 * mpctl/screen.h - a terminal that shows one page, drawn again and again.
 *
 * The page stands on the terminal's other screen, so that what was there before comes back at the end,
 * however that comes. The few sequences that are used every terminal of today knows.
 */
#ifndef MPCTL_SCREEN_H
#define MPCTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

/* False: standard output is no terminal, and nothing happened. */
bool screen_begin(void);
void screen_end(void);

/* As many lines of the text as there is room for, each as far as it fits. */
void screen_draw(const char *text);

/* How many lines there are. */
size_t screen_lines(void);

/* Wait so long, or until the size of the terminal changes. False: q was pressed, or a signal says so. */
bool screen_wait(int ms);

#endif
