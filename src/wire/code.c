/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "wire/code.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "proto/manager.pb-c.h"

static const int results[] = {
	[MP__CODE__OK] = 0,
	[MP__CODE__OWNER_DIED] = MP_OWNER_DIED,
	[MP__CODE__INVALID] = -EINVAL,
	[MP__CODE__NOT_FOUND] = -ENOENT,
	[MP__CODE__BAD_REFERENCE] = -EPROTO,
	[MP__CODE__WRONG_TYPE] = -EEXIST,
	[MP__CODE__UNSUPPORTED] = -ENOTSUP,
	[MP__CODE__BAD_VALUE] = -EBADMSG,
	[MP__CODE__TOO_DEEP] = -EOVERFLOW,
	[MP__CODE__TOO_LARGE] = -EMSGSIZE,
	[MP__CODE__BAD_TEXT] = -EILSEQ,
	[MP__CODE__UNKNOWN_OPERATION] = -EPROTO,
	[MP__CODE__BAD_VERSION] = -EPROTO,
	[MP__CODE__DENIED] = -EACCES,
	[MP__CODE__LIMIT] = -ENOSPC,
	[MP__CODE__NO_MEMORY] = -ENOMEM,
	[MP__CODE__GONE] = -EPIPE,
	[MP__CODE__SHUTTING_DOWN] = -EPIPE,
	[MP__CODE__VIOLATION] = -EPROTO,
	[MP__CODE__INTERNAL] = -EPROTO,
	[MP__CODE__TIMEOUT] = -ETIMEDOUT,
	[MP__CODE__CANCELLED] = -ECANCELED,
	[MP__CODE__DEADLOCK] = -EDEADLK,
	[MP__CODE__NOT_OWNER] = -EPERM,
	[MP__CODE__BROKEN] = -EPIPE,
	[MP__CODE__CLOSED] = -EPIPE,
	[MP__CODE__WOULD_BLOCK] = -EAGAIN,
	[MP__CODE__CONFLICT] = -ESTALE,
	[MP__CODE__OUT_OF_RANGE] = -ERANGE,
	[MP__CODE__UNKNOWN_METHOD] = -ENOSYS,
	[MP__CODE__UNKNOWN_CLASS] = -ENOSYS,
	[MP__CODE__OVERFLOW] = -EOVERFLOW,
	[MP__CODE__WRONG_KEY] = -EKEYREJECTED,
	[MP__CODE__FAILED] = -EPROTO, /* the response says more */
};

int mp__code_to_result(int code)
{
	if (code < 0 || code >= (int)MP__COUNT_OF(results))
		return -EPROTO;
	return results[code];
}
