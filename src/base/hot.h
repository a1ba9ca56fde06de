/* SPDX-License-Identifier: MIT */
/*
 * base/hot.h - functions that stand together in the library's code.
 *
 * A call that comes after a pause finds caches and the TLB cold, and pays for each page of code that it
 * goes through. So what every task goes through is marked, and the compiler puts it into one place: a
 * few pages instead of one for each source file.
 */
#ifndef MP_BASE_HOT_H
#define MP_BASE_HOT_H

#define MP__HOT __attribute__((hot))

#endif
