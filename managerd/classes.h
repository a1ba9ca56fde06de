/* SPDX-License-Identifier: MIT */
/* managerd/classes.h - all types that managerd serves: the one place that knows them all. */
#ifndef MANAGERD_CLASSES_H
#define MANAGERD_CLASSES_H

#include "serve/session.h"

extern const struct serve_service md_served;

#endif
