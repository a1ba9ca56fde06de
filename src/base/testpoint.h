/* SPDX-License-Identifier: MIT */
/*
 * base/testpoint.h - named places inside a protocol where tests make a process die or stop.
 *
 * Between any two steps of a protocol that others can observe stands MP__TEST_POINT("module.step").
 * In a normal build that is nothing. With --enable-test-points each place looks at
 *
 *	MP_TEST_POINT="NAME:ACTION"	ACTION: kill, stop, exit (of code 86)
 *	MP_TEST_POINT_TOKEN=PATH	act only if this file could be removed: so once in all
 *					processes together
 *	MP_TEST_POINT_SPARES=PID	this one goes on
 *
 * in the environment, which children inherit under every start method.
 */
#ifndef MP_BASE_TESTPOINT_H
#define MP_BASE_TESTPOINT_H

#ifdef MP_TEST_POINTS
void mp__test_point(const char *name);
#define MP__TEST_POINT(name) mp__test_point(name)
#else
#define MP__TEST_POINT(name) ((void)0)
#endif

#endif
