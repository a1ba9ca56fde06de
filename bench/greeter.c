/* SPDX-License-Identifier: MIT */
/* The least that a server can do: start, and say one byte. The floor of manager_start. */
#include <unistd.h>

int main(void)
{
	return write(STDOUT_FILENO, "", 1) == 1 ? 0 : 1;
}
