/* SPDX-License-Identifier: MIT */
/*
 * All types whose handles travel inside an mp_obj. This is the one file that sees every module: the
 * module obj, which uses the table, knows none of them.
 */
#include <config.h>

#include "obj/handle.h"

const struct mp__handle_class *const mp__handle_classes[] = {
	NULL,
};
