/* SPDX-License-Identifier: MIT */
/*
 * serve/watch.h - to be told when an object changes: two methods that objects of every class have.
 *
 * version() is a number that is another one after each change of what clients can see; watch(version)
 * answers with the version as soon as it is another one than that, which may be at once. So nothing is
 * missed between looking and watching, and many changes may be told as one.
 */
#ifndef SERVE_WATCH_H
#define SERVE_WATCH_H

#include "serve/class.h"

/* Of those two names, else NULL. */
const struct serve_method *serve_watch_method(const char *name);

#endif
