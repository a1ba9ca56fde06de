/* SPDX-License-Identifier: MIT */
/*
 * process/place.h - in the child: move descriptors to the numbers that were asked for.
 *
 * Those numbers may be in use here, by descriptors that the child still needs: these move away
 * first. Whatever else stands at such a number is closed, as dup2(2) does.
 */
#ifndef MP_PROCESS_PLACE_H
#define MP_PROCESS_PLACE_H

#include <stdbool.h>
#include <stddef.h>

/* Of fds[], -1 allowed, nothing stands at one of these numbers afterwards. 0, -errno. */
int mp__places_clear(const int *places, size_t n_places, int *fds, size_t n_fds);

/*
 * fds[i] becomes number places[i], open over exec, and is closed and -1. `only_free`: leave it when
 * something else stands there.
 */
int mp__places_take(const int *places, size_t n_places, int *fds, bool only_free);

/*
 * /dev/null becomes the numbers 0 to 2 whose bit is set: this one, which is above 2 and is closed then, or
 * with -1 one that is opened here.
 */
int mp__places_null(unsigned nulls, int null);

#endif
