/* SPDX-License-Identifier: MIT */
/*
 * tests/support/faulty.h - a managerd in which the n-th malloc, recv, epoll_ctl, ... fails on order.
 *
 * It is a child of the test, made of the same modules as the program and linked with fail.c. What
 * shall fail stands in memory that both share; a signal tells the daemon to begin with it, and another
 * one to say what came of it. One daemon lives through all failures of a test, one after the other.
 *
 * All the while others are connected, one with a lock and one who waits: they must notice nothing.
 */
#ifndef TESTS_SUPPORT_FAULTY_H
#define TESTS_SUPPORT_FAULTY_H

#include "managerd/daemon.h"
#include "tests/support/fail.h"
#include "tests/support/support.h"

#include <mp.h>

/* Its directory, and the address of its socket there; while it runs. */
extern char t_faulty_directory[];
extern char t_faulty_address[];
/* The one who has a lock, for the test to use beside. */
extern mp_manager *t_other;

/*
 * Start it, with the others. `prepare`, which may be NULL, runs in the daemon before. `connect` is how the
 * test comes to it; NULL: by the address.
 */
void t_faulty_start(void (*prepare)(struct md_daemon *daemon), int (*connect)(mp_manager **ret));
/* The others have what they had, and it must end well when it is asked to. */
void t_faulty_stop(void);
/* How the test comes to it; never waits for ever. */
int t_faulty_connect(mp_manager **ret_manager);
void t_faulty_signal(int signal);
/* How many clients have calls that wait. */
int t_faulty_waiting(void);

/* What a failure may cost: nothing but time; a call, which says ENOMEM; a connection. */
enum t_cost { T_NOTHING, T_MEMORY, T_CONNECTION };

struct t_fault {
	size_t call; /* of t_fail_calls */
	int error;   /* 0: none */
	unsigned at;
};

/* "malloc number 3 fails with ENOMEM", until the next one is asked for. */
const char *t_fault_text(const struct t_fault *fault);
enum t_cost t_fault_cost(const struct t_fault *fault);

/*
 * `use` again and again, while each call that the daemon makes for it fails once, with each plausible
 * error. Its result must be the one without a failure, or what the failure may cost: -ENOMEM, -EPIPE.
 * Then the daemon has to have what it had before, but no more.
 */
struct t_faulty_use {
	void (*setup)(void); /* without failures; may be NULL */
	int (*use)(void);
	/* The same; `plain` is the result without a failure. May be NULL. */
	void (*end)(const struct t_fault *fault, int result, int plain);
	/* That shall fail, ended by NULL. NULL: all, and what is sent and received is also cut in halves. */
	const char *const *calls;
};

/* How many failures there were. */
int t_faulty_each(const struct t_faulty_use *use);
/* What gives memory, for `calls`. */
extern const char *const t_memory[];

#endif
