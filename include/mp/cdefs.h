/* SPDX-License-Identifier: MIT */
/*
 * mp/cdefs.h - what every public header needs: C linkage and symbol visibility.
 *
 * The library is built with hidden visibility; what stands between MP__BEGIN_DECLS and
 * MP__END_DECLS is visible, and libmp.map names what of it is exported.
 */
#ifndef MP_CDEFS_H
#define MP_CDEFS_H

#ifdef __cplusplus
#define MP__BEGIN_DECLS \
	extern "C" {    \
	_Pragma("GCC visibility push(default)")
#define MP__END_DECLS                 \
	_Pragma("GCC visibility pop") \
	}
#else
#define MP__BEGIN_DECLS _Pragma("GCC visibility push(default)")
#define MP__END_DECLS _Pragma("GCC visibility pop")
#endif

#define MP__PRINTF(at, first) __attribute__((__format__(__printf__, at, first)))

/* Timeouts are milliseconds as int; these two are the special ones. */
#define MP_NOWAIT 0
#define MP_FOREVER (-1)

#endif
