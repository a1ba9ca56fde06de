/* SPDX-License-Identifier: MIT */
/*
 * serve/account.h - what each user has of the server, and how much that may be.
 *
 * Whatever a client can make the server hold is charged to the user whose process caused it, and
 * credited when it goes: connections, objects, the bytes in them, calls that wait, replies that are
 * not read. The account stands in the thing that was charged for, so that what is credited is what was
 * charged, whoever frees it. What a user may not have is refused to him; nobody else notices.
 *
 * Accounts are found by uid, made on first use, and kept while something is charged to them. Those of
 * users who have left stay too, for the rate of their connections, but not more than some.
 */
#ifndef SERVE_ACCOUNT_H
#define SERVE_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum serve_asset {
	SERVE_CONNECTIONS,
	SERVE_OBJECTS,
	SERVE_BYTES,   /* in objects, about */
	SERVE_WAITERS, /* calls that are parked */
	SERVE_OUTPUT,  /* bytes of replies that are not sent */
	SERVE_N_ASSETS
};

#define SERVE_UNLIMITED UINT64_MAX

struct serve_quota {
	uint64_t max[SERVE_N_ASSETS];
	uint32_t connections_per_second; /* 0: any number; that many may come at once */
	uint32_t unused;                 /* so that two may be compared as bytes */
};

#define SERVE_QUOTA_NONE                                                                 \
	((struct serve_quota){.max = {SERVE_UNLIMITED, SERVE_UNLIMITED, SERVE_UNLIMITED, \
				      SERVE_UNLIMITED, SERVE_UNLIMITED}})

struct serve_account {
	uid_t uid;
	uint32_t references;
	struct serve_quota quota;
	uint64_t has[SERVE_N_ASSETS];
	uint64_t refused[SERVE_N_ASSETS]; /* how often */
	uint64_t refused_rate;
	int64_t next_connection_ns; /* when the next one is due at an even rate */
	int64_t next_proof_ns;      /* before that, none is looked at */
	uint32_t wrong_keys;        /* since the last right one */
	struct serve_account *next; /* in its bucket */
};

struct serve_accounts {
	struct serve_account **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t count;
	/* What a user may have; NULL: anything. */
	void (*quota_of)(uid_t uid, struct serve_quota *ret_quota, void *data);
	void *data;
};

/* No account may be referenced any more. */
void serve_accounts_deinit(struct serve_accounts *accounts);

/* The account of the user, referenced. NULL: no memory. */
struct serve_account *serve_account_get(struct serve_accounts *accounts, uid_t uid);
static inline void serve_account_ref(struct serve_account *account)
{
	account->references++;
}
/* NULL is allowed. */
void serve_account_unref(struct serve_account *account);

/* Other rules: ask quota_of for everybody again. What is there, stays. */
void serve_accounts_renew(struct serve_accounts *accounts);

/* A new connection of this user now? False: they come too fast. */
bool serve_account_admit(struct serve_account *account, int64_t now_ns);

/* Would n more be too many? The refusal is counted. account NULL: no. */
bool serve_account_may(struct serve_account *account, enum serve_asset asset, uint64_t n);
/* More, or less, than before: what is so, is so. account NULL: nothing happens. */
void serve_account_charge(struct serve_account *account, enum serve_asset asset, uint64_t n);
void serve_account_credit(struct serve_account *account, enum serve_asset asset, uint64_t n);

/* All accounts, one after the other: the one behind `previous`, which is NULL at first. NULL at the end. */
const struct serve_account *serve_accounts_next(const struct serve_accounts *accounts,
	size_t *bucket, const struct serve_account *previous);

#endif
