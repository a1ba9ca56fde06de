/* SPDX-License-Identifier: MIT */
/*
 * process/setting.h - what a child finds besides its arguments: environment, directory, standard
 * streams, further descriptors, signal mask, and the signal for its parent's end.
 *
 * mp_process_new() takes copies and duplicates, so that the caller's may go. Descriptors are a list
 * of places, "this one becomes number n there", of which the standard streams are 0, 1 and 2.
 */
#ifndef MP_PROCESS_SETTING_H
#define MP_PROCESS_SETTING_H

#include <mp/process.h>

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP__N_STREAMS 3

/* Standard input is the one that is /dev/null by default. */
#define MP__NULLS_DEFAULT 1U

struct mp__setting {
	char **env;        /* one block for free(); NULL: as the parent's */
	size_t env_size;   /* of the strings, which stand in a row from env[0] on */
	char *cwd;         /* NULL: as the parent's */
	unsigned nulls;    /* bit n: /dev/null becomes number n */
	unsigned inherits; /* bit n: number n of the parent becomes number n */
	int *fds;          /* duplicates of this process, which become ... */
	int *places;       /* ... these numbers */
	size_t n_places;
	bool has_mask;
	sigset_t mask;
	int death;  /* this signal when the parent has ended; 0 none */
	bool apart; /* asks for what only a process of its own can have */
};

/* What the options ask for: -EINVAL, -EBADF, -EMFILE, -ENOMEM. The memory is left as it was. */
int mp__setting_copy(const mp_process_options *options, struct mp__setting *ret_setting);

/* The descriptors have reached the child, or the handle goes. */
void mp__setting_close_fds(struct mp__setting *setting);
/* Memory only. */
void mp__setting_free(struct mp__setting *setting);

/* Its nulls, and those streams that it would inherit but that are closed here. */
unsigned mp__setting_nulls(const struct mp__setting *setting);

/* A descriptor of the directory to start in, which may be entered; -1 if none was named; -errno. */
int mp__setting_open_cwd(const struct mp__setting *setting, int *ret_fd);

/* An environment, one block for free(), from strings that stand in a row; the last has its NUL. */
char **mp__environment_of(const char *strings, size_t size);

/* Signal sets as numbers: bit n - 1 is signal n. */
uint64_t mp__sigset_to_bits(const sigset_t *set);
sigset_t mp__sigset_of_bits(uint64_t bits);

#endif
