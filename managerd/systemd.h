/* SPDX-License-Identifier: MIT */
/*
 * managerd/systemd.h - what systemd wants to know of a service, and gives it.
 *
 * All of it is libsystemd's, which is loaded only when systemd has started us (its variables are in
 * the environment): private daemons, of which a program may start many, would otherwise pay for
 * seven libraries that they never use, and for most of a millisecond. Without systemd, or built without
 * libsystemd, every call here does nothing.
 */
#ifndef MANAGERD_SYSTEMD_H
#define MANAGERD_SYSTEMD_H

#include <mp/cdefs.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Find out who has started us; once, before anything else. -errno, with its sentence: it was
 * systemd, and there is no speaking to it.
 */
int md_systemd_init(void);

/*
 * What sd_notify(3) does: lines "NAME=value". Neither takes a descriptor, so that they work when clients
 * have taken all. notify is for changes of state, which systemd has to hear of, and waits until it can
 * be heard; hint never waits, and may be lost: the next one will do.
 */
void md_systemd_notify(const char *format, ...) MP__PRINTF(1, 2);
void md_systemd_hint(const char *format, ...) MP__PRINTF(1, 2);
bool md_systemd_is_notified(void);

/*
 * The socket of that name (FileDescriptorName=) that systemd listens on for us; the caller's from
 * now on, close-on-exec and not blocking; -1: none. -EINVAL: there is one, and it is no listening
 * Unix stream socket; or what the system says, with its sentence.
 */
int md_systemd_take_socket(const char *name, int *ret_fd);
/* Sockets that nobody has taken: they are closed, and said. */
void md_systemd_close_others(void);

/* The time within which systemd wants to hear of us; 0: it does not. */
uint64_t md_systemd_watchdog_usec(void);

#endif
