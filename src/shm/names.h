/* SPDX-License-Identifier: MIT */
/*
 * shm/names.h - the named objects that this process uses, so that their names go when it ends.
 *
 * At exit(3), and at the end of a child that libmp made, every name that nobody else uses any more
 * is removed, as if the object had been closed. Who ends in another way leaves it to the next.
 */
#ifndef MP_SHM_NAMES_H
#define MP_SHM_NAMES_H

#include "shm/block.h"

/* Is the name of this block removed when nobody uses it any more? */
bool mp__names_goes_with_users(const mp_block *block);

/* What does not go with its users is not listed. */
void mp__names_add(mp_block *block);
void mp__names_drop(const mp_block *block);

/* This process ends: use no names any more, and remove those that nobody else uses. */
void mp__names_leave(void);

#endif
