/* SPDX-License-Identifier: MIT */
/*
 * managerd/obj_namespace.h - the served namespace: attributes by name.
 *
 * get(name), set(name, value), delete(name), has(name), items(). Names are strings, values any.
 */
#ifndef MANAGERD_OBJ_NAMESPACE_H
#define MANAGERD_OBJ_NAMESPACE_H

#include "serve/class.h"

extern const struct serve_class md_namespace_class;

#endif
