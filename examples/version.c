/* SPDX-License-Identifier: MIT */
/* Is the library that runs at least as new as the one this was compiled for? */
#include <mp.h>
#include <stdio.h>

int main(void)
{
	int major = 0;
	int minor = 0;

	if (sscanf(mp_version(), "%d.%d", &major, &minor) != 2)
		return 1;
	if (major != MP_VERSION_MAJOR || minor < MP_VERSION_MINOR) {
		printf("libmp %s is too old\n", mp_version());
		return 1;
	}
	puts("libmp is new enough");
	return 0;
}
