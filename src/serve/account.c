/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "serve/account.h"

#include <stdlib.h>

#define NS_PER_SECOND ((int64_t)1000 * 1000 * 1000)
/* Accounts that are kept although nothing is charged to them. */
#define KEPT_MAX 1024
#define BUCKETS_MIN 16

static struct serve_account **bucket_of(const struct serve_accounts *accounts, uid_t uid)
{
	/* Users choose no uids: spreading them by their low bits is enough. */
	return &accounts->buckets[(uid * 0x9e3779b1u >> 8) & (accounts->n_buckets - 1)];
}

void serve_accounts_deinit(struct serve_accounts *accounts)
{
	for (size_t i = 0; i < accounts->n_buckets; i++) {
		while (accounts->buckets[i]) {
			struct serve_account *account = accounts->buckets[i];
			accounts->buckets[i] = account->next;
			free(account);
		}
	}
	free(accounts->buckets);
	accounts->buckets = NULL;
	accounts->n_buckets = accounts->count = 0;
}

/* Chains stay short. Without memory they get longer, that is all. */
static void grow(struct serve_accounts *accounts)
{
	struct serve_accounts bigger = {
		.n_buckets = accounts->n_buckets ? accounts->n_buckets * 4 : BUCKETS_MIN};

	if (accounts->count < accounts->n_buckets)
		return;
	bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return;
	for (size_t i = 0; i < accounts->n_buckets; i++) {
		while (accounts->buckets[i]) {
			struct serve_account *account = accounts->buckets[i];
			accounts->buckets[i] = account->next;
			struct serve_account **bucket = bucket_of(&bigger, account->uid);
			account->next = *bucket;
			*bucket = account;
		}
	}
	free(accounts->buckets);
	accounts->buckets = bigger.buckets;
	accounts->n_buckets = bigger.n_buckets;
}

/* Free accounts of users who have nothing here, when there are many. */
static void forget_some(struct serve_accounts *accounts)
{
	if (accounts->count < KEPT_MAX)
		return;
	for (size_t i = 0; i < accounts->n_buckets; i++) {
		for (struct serve_account **at = &accounts->buckets[i]; *at;) {
			struct serve_account *account = *at;
			if (account->references > 0) {
				at = &account->next;
				continue;
			}
			*at = account->next;
			free(account);
			accounts->count--;
		}
	}
}

static void ask_quota(const struct serve_accounts *accounts, struct serve_account *account)
{
	account->quota = SERVE_QUOTA_NONE;
	if (accounts->quota_of)
		accounts->quota_of(account->uid, &account->quota, accounts->data);
}

struct serve_account *serve_account_get(struct serve_accounts *accounts, uid_t uid)
{
	struct serve_account *account = NULL;

	if (accounts->n_buckets > 0)
		account = *bucket_of(accounts, uid);
	while (account && account->uid != uid)
		account = account->next;
	if (!account) {
		forget_some(accounts);
		grow(accounts);
		account = accounts->n_buckets > 0 ? calloc(1, sizeof(*account)) : NULL;
		if (!account)
			return NULL;
		account->uid = uid;
		ask_quota(accounts, account);
		struct serve_account **bucket = bucket_of(accounts, uid);
		account->next = *bucket;
		*bucket = account;
		accounts->count++;
	}
	account->references++;
	return account;
}

void serve_account_unref(struct serve_account *account)
{
	if (account)
		account->references--;
}

void serve_accounts_renew(struct serve_accounts *accounts)
{
	for (size_t i = 0; i < accounts->n_buckets; i++) {
		for (struct serve_account *a = accounts->buckets[i]; a; a = a->next)
			ask_quota(accounts, a);
	}
}

/*
 * At an even rate one is due every second / rate. Who comes earlier has to have waited before: up to
 * one second's worth may come at once.
 */
bool serve_account_admit(struct serve_account *account, int64_t now_ns)
{
	uint32_t rate = account->quota.connections_per_second;

	if (rate == 0)
		return true;
	int64_t due = account->next_connection_ns < now_ns ? now_ns : account->next_connection_ns;
	int64_t next = due + NS_PER_SECOND / rate;
	if (next - now_ns > NS_PER_SECOND) {
		account->refused_rate++;
		return false;
	}
	account->next_connection_ns = next;
	return true;
}

bool serve_account_may(struct serve_account *account, enum serve_asset asset, uint64_t n)
{
	if (!account || account->quota.max[asset] == SERVE_UNLIMITED ||
		(account->has[asset] <= account->quota.max[asset] &&
			n <= account->quota.max[asset] - account->has[asset]))
		return true;
	account->refused[asset]++;
	return false;
}

void serve_account_charge(struct serve_account *account, enum serve_asset asset, uint64_t n)
{
	if (account)
		account->has[asset] += n;
}

void serve_account_credit(struct serve_account *account, enum serve_asset asset, uint64_t n)
{
	if (account)
		account->has[asset] -= n;
}

const struct serve_account *serve_accounts_next(
	const struct serve_accounts *accounts, size_t *bucket, const struct serve_account *previous)
{
	if (previous && previous->next)
		return previous->next;
	for (size_t i = previous ? *bucket + 1 : 0; i < accounts->n_buckets; i++) {
		if (accounts->buckets[i]) {
			*bucket = i;
			return accounts->buckets[i];
		}
	}
	return NULL;
}
