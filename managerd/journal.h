/* SPDX-License-Identifier: MIT */
/*
 * managerd/journal.h - records with fields, by systemd's native journal protocol.
 *
 * One datagram a record. libsystemd has a function for this too, but that one waits for as long as
 * the journal does not read; and nothing may make the daemon wait. The protocol is documented and
 * stable: lines "NAME=value".
 */
#ifndef MANAGERD_JOURNAL_H
#define MANAGERD_JOURNAL_H

#include <stdbool.h>

#define MD_JOURNAL_PATH "/run/systemd/journal/socket"
#define MD_JOURNAL_RECORD_SIZE 1024

struct md_journal {
	int fd;
	char record[MD_JOURNAL_RECORD_SIZE];
	unsigned size;
};

/* Is standard error the journal's? */
bool md_journal_is_stderr(void);

/* A socket connected to the journal's. -errno. */
int md_journal_open(struct md_journal *journal, const char *path);
void md_journal_close(struct md_journal *journal);

/* Build a record. A control character in a value becomes '?'; what does not fit is cut. */
void md_journal_begin(struct md_journal *journal);
void md_journal_field(struct md_journal *journal, const char *name, const char *value);
void md_journal_number(struct md_journal *journal, const char *name, long long value);
/* Send it, now or never: -EAGAIN if the journal does not keep up, or what else the system says. */
int md_journal_send(struct md_journal *journal);

#endif
