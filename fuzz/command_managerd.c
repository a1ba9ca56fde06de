/* SPDX-License-Identifier: MIT */
/* managerd's command line as a function: everything but serving. */
#include <config.h>

#include "fuzz/command.h"

#define main fuzz_managerd

#include "managerd/main.c" /* NOLINT(bugprone-suspicious-include) */
