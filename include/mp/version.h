/* SPDX-License-Identifier: MIT */
/*
 * mp/version.h - version of the headers, and of the library at run time.
 *
 * PATCH mends, MINOR adds (old programs go on working, also without being compiled again), MAJOR
 * may take away. The layouts of shared memory and the protocol of managerd have numbers of their
 * own, checked when two programs meet.
 */
#ifndef MP_VERSION_H
#define MP_VERSION_H

#include <mp/cdefs.h>

#define MP_VERSION_MAJOR 0
#define MP_VERSION_MINOR 1
#define MP_VERSION_PATCH 0

MP__BEGIN_DECLS

/* "MAJOR.MINOR.PATCH" of the library that the program runs with. */
const char *mp_version(void);

MP__END_DECLS

#endif
