/* SPDX-License-Identifier: MIT */
/* How many processes are worth starting? */
#include <mp.h>
#include <stdio.h>

int main(void)
{
	int n = mp_cpu_count();

	printf("%s\n", n >= 1 ? "one process per CPU" : "impossible");
	return 0;
}
