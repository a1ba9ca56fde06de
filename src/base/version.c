/* SPDX-License-Identifier: MIT */
#include <config.h>

#include <mp/version.h>

const char *mp_version(void)
{
	return PACKAGE_VERSION;
}
