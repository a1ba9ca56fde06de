/* SPDX-License-Identifier: MIT */
/* mpctl's command line as a function. */
#include <config.h>

#include "fuzz/command.h"

#define main fuzz_mpctl

#include "mpctl/main.c" /* NOLINT(bugprone-suspicious-include) */
