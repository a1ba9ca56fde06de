/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/buildid.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

static const char gnu[] = "GNU";

static size_t round_up(size_t n, size_t alignment)
{
	return (n + alignment - 1) & ~(alignment - 1);
}

size_t mp__build_id_in_notes(
	const void *notes, size_t size, size_t alignment, uint8_t *ret_id, size_t room)
{
	const uint8_t *at = notes;
	size_t left = size;
	ElfW(Nhdr) head;

	if (alignment != 8)
		alignment = 4;
	while (left >= sizeof(head)) {
		memcpy(&head, at, sizeof(head));
		if (head.n_namesz > left || head.n_descsz > left)
			return 0;
		size_t desc = round_up(sizeof(head) + head.n_namesz, alignment);
		if (desc > left || head.n_descsz > left - desc)
			return 0;
		if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == sizeof(gnu) &&
			head.n_descsz > 0 && memcmp(at + sizeof(head), gnu, sizeof(gnu)) == 0) {
			size_t n = head.n_descsz < room ? head.n_descsz : room;
			memcpy(ret_id, at + desc, n);
			return n;
		}
		size_t next = round_up(desc + head.n_descsz, alignment);
		if (next > left)
			return 0;
		at += next;
		left -= next;
	}
	return 0;
}

/* pread() of exactly that range; a file may change or end at any time, so it is not mapped. */
static bool read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
	return offset <= INT64_MAX && pread(fd, buffer, size, (off_t)offset) == (ssize_t)size;
}

/* More program headers or notes than this is no file that a linker made. */
#define MAX_PHDRS 256
#define MAX_NOTES 65536

static size_t in_segment(int fd, const ElfW(Phdr) * phdr, uint8_t *ret_id, size_t room)
{
	if (phdr->p_type != PT_NOTE || phdr->p_filesz == 0 || phdr->p_filesz > MAX_NOTES)
		return 0;
	MP__AUTO_FREE void *notes = malloc(phdr->p_filesz);
	if (!notes || !read_at(fd, notes, phdr->p_filesz, phdr->p_offset))
		return 0;
	return mp__build_id_in_notes(notes, phdr->p_filesz, phdr->p_align, ret_id, room);
}

int mp__build_id_of_file(const char *path, uint8_t *ret_id, size_t room)
{
	/* Non-blocking, in case it is a FIFO. */
	MP__AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ElfW(Ehdr) ehdr;
	ElfW(Phdr) phdr;

	if (fd < 0)
		return -errno;
	if (!read_at(fd, &ehdr, sizeof(ehdr), 0) || memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 ||
		ehdr.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
		ehdr.e_phentsize != sizeof(phdr) || ehdr.e_phnum > MAX_PHDRS)
		return -ENOEXEC;
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		if (!read_at(fd, &phdr, sizeof(phdr), ehdr.e_phoff + i * sizeof(phdr)))
			return -ENOEXEC;
		size_t size = in_segment(fd, &phdr, ret_id, room);
		if (size > 0)
			return (int)size;
	}
	return -ENOEXEC;
}
