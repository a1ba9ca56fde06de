/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "conn/hmac.h"

#include "base/error.h"

#ifdef HAVE_NETTLE

#include <nettle/hmac.h>
#include <nettle/memops.h>

int mp__hmac_available(void)
{
	return 0;
}

void mp__hmac_sha256(
	const void *key, size_t key_size, const void *data, size_t size, uint8_t *ret_digest)
{
	struct hmac_sha256_ctx context;

	hmac_sha256_set_key(&context, key_size, key);
	hmac_sha256_update(&context, size, data);
	hmac_sha256_digest(&context, MP__HMAC_SIZE, ret_digest);
	explicit_bzero(&context, sizeof(context));
}

bool mp__hmac_equal(const uint8_t *a, const uint8_t *b)
{
	return memeql_sec(a, b, MP__HMAC_SIZE);
}

#else

int mp__hmac_available(void)
{
	return mp_error_set(-ENOTSUP, "this libmp was built without keys (--without-nettle)");
}

void mp__hmac_sha256(
	const void *key, size_t key_size, const void *data, size_t size, uint8_t *ret_digest)
{
	(void)key, (void)key_size, (void)data, (void)size;
	memset(ret_digest, 0, MP__HMAC_SIZE);
}

bool mp__hmac_equal(const uint8_t *a, const uint8_t *b)
{
	(void)a, (void)b;
	return false;
}

#endif
