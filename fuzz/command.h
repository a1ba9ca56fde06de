/* SPDX-License-Identifier: MIT */
/*
 * fuzz/command.h - managerd's and mpctl's main() as functions, without what they would do to the
 * machine: managerd stops where it would serve, mpctl looks at what the target has made up.
 *
 * command_managerd.c and command_mpctl.c are the programs' main.c with other names for these; what they
 * would act with, the linker takes from here (--wrap).
 */
#ifndef FUZZ_COMMAND_H
#define FUZZ_COMMAND_H

#include "managerd/daemon.h"
#include "mpctl/scene.h"

#include <mp.h>

int fuzz_managerd(int argc, char **argv);
int fuzz_mpctl(int argc, char **argv);

int __wrap_md_daemon_run(struct md_daemon *daemon);
void __wrap_md_say(const char *format, ...) MP__PRINTF(1, 2);
void __wrap_md_say_at(int level, const char *event, const char *format, ...) MP__PRINTF(3, 4);
int __wrap_mp_shm_gc(uint64_t flags, mp_shm_function *function, void *data);
int __wrap_scene_read(struct scene *scene, scene_source *more, void *data);
void __wrap_scene_free(struct scene *scene);
int __wrap_mp_manager_connect(
	const char *address, const mp_manager_options *options, mp_manager **ret_manager);

#endif
