/* SPDX-License-Identifier: MIT */
/*
 * tests/support/daemons.h - cases of faults.h that talk to one managerd, which lives as long as the
 * case, over a connection of each try's own.
 *
 * SERVED_IN(suite, name, setup, call, end) makes the tests, SERVED_PROXY_IN() those of a proxy. A
 * failure may have ended the connection, and with it what had no name: then `call` has to work on a
 * new one, made by the same setup.
 */
#ifndef TESTS_SUPPORT_DAEMONS_H
#define TESTS_SUPPORT_DAEMONS_H

#include "tests/support/daemon.h"
#include "tests/support/faults.h"

static struct t_daemon its_daemon;
static mp_manager *manager;

static inline void manager_opened(void)
{
	T_CHECK(mp_manager_connect(its_daemon.address, T_PATIENT, &manager) == 0);
}

static inline void manager_closed(void)
{
	T_CHECK(mp_manager_close(manager) == 0);
}

#define SERVED_IN(suite, id, setup, call_, end_)                 \
	static int again_##id(void)                              \
	{                                                        \
		end_();                                          \
		setup();                                         \
		return call_();                                  \
	}                                                        \
	static const struct t_fault_case case_##id = {           \
		#suite "/" #id, setup, call_, end_, again_##id}; \
	Test(suite, id)                                          \
	{                                                        \
		its_daemon = t_daemon_start(NULL);               \
		t_faults(&case_##id);                            \
		t_daemon_stop(&its_daemon);                      \
	}                                                        \
	Test(suite, id##_interrupted)                            \
	{                                                        \
		its_daemon = t_daemon_start(NULL);               \
		t_interruptions(&case_##id);                     \
		t_daemon_stop(&its_daemon);                      \
	}

static mp_proxy *proxy;

static inline void proxy_closed(void)
{
	T_CHECK(mp_proxy_close(proxy) == 0);
	manager_closed();
}

/* Opening the proxy; and `call` on one that is opened anew for each try. */
#define SERVED_PROXY_IN(suite, id, open, call)                                 \
	static void id##_opened(void)                                          \
	{                                                                      \
		manager_opened();                                              \
		T_CHECK((open) == 0);                                          \
	}                                                                      \
	static int id##_open(void)                                             \
	{                                                                      \
		T_STEP(open);                                                  \
		return mp_proxy_close(proxy);                                  \
	}                                                                      \
	SERVED_IN(suite, open_##id, manager_opened, id##_open, manager_closed) \
	SERVED_IN(suite, id, id##_opened, call, proxy_closed)

#endif
