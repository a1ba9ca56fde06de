/* SPDX-License-Identifier: MIT */
/* A shared object that test_target loads: targets in it must be found in children. */
#include <mp/process.h>

static int hidden(int argc, const mp_obj *argv)
{
	/* Calls nothing: a second libmp beside the test's own would come with it. */
	return argc == 1 ? (int)argv[0].as.i64 + 1 : 0;
}

__attribute__((visibility("default"))) mp_target *module_target(void);

mp_target *module_target(void)
{
	return hidden;
}
