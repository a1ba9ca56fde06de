/* SPDX-License-Identifier: MIT */
/* Makes a block of the name that is its argument and is killed. */
#include <config.h>

#include <mp.h>
#include <signal.h>
#include <string.h>

int main(int argc, char **argv)
{
	mp_block *block;

	if (argc != 2 || mp_block_create(argv[1], 10000, NULL, &block) < 0)
		return 1;
	memset(mp_block_data(block), 1, 10000);
	raise(SIGKILL);
	return 1;
}
