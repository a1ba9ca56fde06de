/* SPDX-License-Identifier: MIT */
/* mpctl/served.h - who has and who waits for what in a managerd, for `mpctl locks`. */
#ifndef MPCTL_SERVED_H
#define MPCTL_SERVED_H

#include "mpctl/scene.h"

/*
 * A scene_source; `data` is the path of the socket, or NULL for the usual one, which need not be there.
 * 0, or an exit code: what went wrong has been said.
 */
scene_source served_read;

#endif
