/* SPDX-License-Identifier: MIT */
/*
 * process/buildid.h - the GNU build id of an ELF file: the linker's hash of everything in it.
 */
#ifndef MP_PROCESS_BUILDID_H
#define MP_PROCESS_BUILDID_H

#include <stddef.h>
#include <stdint.h>

/*
 * Find it in the notes of a segment of that alignment: its size (cut to `room`), 0 if it is not
 * there. The notes may be anything; nothing outside of them is read.
 */
size_t mp__build_id_in_notes(
	const void *notes, size_t size, size_t alignment, uint8_t *ret_id, size_t room);

/*
 * Of a file that is not loaded: the size, or -errno of opening it; -ENOEXEC it is no ELF file of
 * this machine or has no build id.
 */
int mp__build_id_of_file(const char *path, uint8_t *ret_id, size_t room);

#endif
