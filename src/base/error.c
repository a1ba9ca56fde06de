/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char detail[MP__DETAIL_SIZE];

/* What these codes mean in libmp, where errno's own words would mislead. */
static const struct {
	int code;
	const char *text;
} meanings[] = {
	{MP_OWNER_DIED, "acquired, but the last holder died while holding it"},
	{0, "success"},
	{-E2BIG, "an option that this version of libmp does not know"},
	{-EAGAIN, "would block"},
	{-EALREADY, "started or ended already"},
	{-EBADMSG, "data failed validation"},
	{-EBUSY, "still in use"},
	{-ECANCELED, "cancelled"},
	{-ECHILD, "the handle belongs to the parent process"},
	{-EDEADLK, "would wait for itself"},
	{-EEXIST, "exists already, or as something else"},
	{-EILSEQ, "string is not UTF-8, or has a NUL byte inside"},
	{-EKEYREJECTED, "the keys of the two sides do not agree"},
	{-EMSGSIZE, "message too large"},
	{-ENOENT, "no such key, object or file"},
	{-ENOEXEC, "function is in no file that the other process could find"},
	{-ENOTCONN, "not connected, or the program did not call mp_begin()"},
	{-EOVERFLOW, "over a limit, or nested too deeply"},
	{-EOWNERDEAD, "the process that worked on it died"},
	{-EPERM, "not the owner, or not allowed"},
	{-EPIPE, "the other side is closed or dead"},
	{-EPROTO, "protocol error"},
	{-ERANGE, "out of range"},
	{-ESRCH, "has ended already"},
	{-ESTALE, "has changed or ended meanwhile"},
	{-ETIME, "was ended: its time was over"},
	{-ETIMEDOUT, "timed out"},
};

const char *mp_strerror(int result)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (meanings[i].code == result)
			return meanings[i].text;
	}
	/* The _np form is static text: no locale, no buffer, safe in signal handlers. */
	const char *text = result < 0 && result > -4096 ? strerrordesc_np(-result) : NULL;
	return text ? text : result > 0 ? "success" : "unknown error";
}

const char *mp_error_detail(void)
{
	return detail;
}

void mp__error_clear(void)
{
	detail[0] = '\0';
}

int(mp_error_set)(int result, const char *format, ...)
{
	/* By way of a copy, so that the current sentence may be one of the arguments. */
	char text[MP__DETAIL_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(detail, text, sizeof(text));
	return result;
}
