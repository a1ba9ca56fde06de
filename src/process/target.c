/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/target.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "process/buildid.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define EXE "/proc/self/exe"

/* --- loaded files ---------------------------------------------------------------------------- */

/* One file as dl_iterate_phdr() shows it. Valid while nothing is loaded or unloaded. */
struct module {
	uintptr_t base;
	const ElfW(Phdr) * phdrs;
	size_t n_phdrs;
	const char *path; /* "" the program itself */
};

/* Changes whenever a shared object is loaded or unloaded. */
struct generation {
	unsigned long long adds;
	unsigned long long subs;
};

static bool in_code(const struct module *module, uint64_t offset)
{
	for (size_t i = 0; i < module->n_phdrs; i++) {
		const ElfW(Phdr) *p = &module->phdrs[i];
		if (p->p_type == PT_LOAD && p->p_flags & PF_X && offset >= p->p_vaddr &&
			offset - p->p_vaddr < p->p_memsz)
			return true;
	}
	return false;
}

static bool contains(const struct module *module, uintptr_t address)
{
	for (size_t i = 0; i < module->n_phdrs; i++) {
		const ElfW(Phdr) *p = &module->phdrs[i];
		if (p->p_type == PT_LOAD && address - module->base >= p->p_vaddr &&
			address - module->base - p->p_vaddr < p->p_memsz)
			return true;
	}
	return false;
}

static bool read_build_id(const struct module *module, struct mp__target_ref *ref)
{
	for (size_t i = 0; i < module->n_phdrs; i++) {
		const ElfW(Phdr) *p = &module->phdrs[i];
		if (p->p_type != PT_NOTE)
			continue;
		const void *notes = (const void *)(module->base + p->p_vaddr);
		size_t size = mp__build_id_in_notes(
			notes, p->p_memsz, p->p_align, ref->id, sizeof(ref->id));
		if (size > 0) {
			ref->id_kind = MP__TARGET_BUILD_ID;
			ref->id_size = (uint8_t)size;
			return true;
		}
	}
	return false;
}

/* Built without build ids (-Wl,--build-id=none): the file's size and time have to do. */
static bool read_stamp(const char *path, struct mp__target_ref *ref)
{
	struct stat st;

	if (stat(path[0] ? path : EXE, &st) < 0)
		return false;
	const int64_t stamp[3] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
	memcpy(ref->id, stamp, sizeof(stamp));
	ref->id_kind = MP__TARGET_STAMP;
	ref->id_size = sizeof(stamp);
	return true;
}

/* --- the last few answers -------------------------------------------------------------------- */

/*
 * Per thread, so that no lock is needed and none can be held over a fork. An answer holds while no
 * shared object comes or goes.
 */
#define N_CACHED 4
static _Thread_local struct {
	mp__any_function *function; /* NULL: free */
	struct mp__target_ref ref;
} cache[N_CACHED];
static _Thread_local struct generation cache_generation;
static _Thread_local unsigned cache_next;

static int note_generation(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	*(struct generation *)data = (struct generation){info->dlpi_adds, info->dlpi_subs};
	return 1;
}

static void refresh_cache(void)
{
	struct generation now = {0};

	dl_iterate_phdr(note_generation, &now);
	if (now.adds != cache_generation.adds || now.subs != cache_generation.subs) {
		memset(cache, 0, sizeof(cache));
		cache_generation = now;
	}
}

static void remember(mp__any_function *function, const struct mp__target_ref *ref)
{
	/* What was found may have been loaded just now: then it belongs to the new generation. */
	refresh_cache();
	unsigned at = cache_next++ % N_CACHED;
	cache[at].function = function;
	memcpy(&cache[at].ref, ref, sizeof(*ref));
}

/* --- describe -------------------------------------------------------------------------------- */

struct describing {
	uintptr_t address;
	struct mp__target_ref *ref;
	int result;
};

static struct module module_of(const struct dl_phdr_info *info)
{
	return (struct module){
		.base = info->dlpi_addr,
		.phdrs = info->dlpi_phdr,
		.n_phdrs = info->dlpi_phnum,
		.path = info->dlpi_name ? info->dlpi_name : "",
	};
}

static int describe_in(const struct module *module, struct describing *d)
{
	uint64_t offset = d->address - module->base;

	if (!in_code(module, offset))
		return mp_error_set(-ENOEXEC, "target %p is in %s, but is no code there",
			(void *)d->address, module->path[0] ? module->path : "the program");
	if (strlen(module->path) >= sizeof(d->ref->path))
		return mp_error_set(
			-ENOEXEC, "target: the path of its file is too long: %s", module->path);
	memset(d->ref, 0, sizeof(*d->ref));
	d->ref->offset = offset;
	strcpy(d->ref->path, module->path);
	if (!read_build_id(module, d->ref) && !read_stamp(module->path, d->ref))
		return mp_error_set(-ENOEXEC,
			"target: its file has no build id and cannot be looked at: %s",
			module->path);
	return 0;
}

static int describe_if_inside(struct dl_phdr_info *info, size_t size, void *data)
{
	struct module module = module_of(info);
	struct describing *d = data;

	(void)size;
	if (!contains(&module, d->address))
		return 0;
	d->result = describe_in(&module, d);
	return 1;
}

int mp__target_describe(mp__any_function *function, struct mp__target_ref *ret_ref)
{
	struct mp__target_ref ref;
	struct describing d = {.address = (uintptr_t)function, .ref = &ref};

	refresh_cache();
	for (size_t i = 0; function && i < N_CACHED; i++) {
		if (cache[i].function == function) {
			memcpy(ret_ref, &cache[i].ref, sizeof(*ret_ref));
			return 0;
		}
	}
	if (dl_iterate_phdr(describe_if_inside, &d) == 0)
		return mp_error_set(
			-ENOEXEC, "target %p is in no file of this process", (void *)d.address);
	if (d.result < 0)
		return d.result;
	remember(function, &ref);
	memcpy(ret_ref, &ref, sizeof(ref));
	return 0;
}

/* --- resolve --------------------------------------------------------------------------------- */

struct resolving {
	const struct mp__target_ref *ref;
	mp__any_function *function;
	bool found;
};

static bool is_same_file(const struct module *module, const struct mp__target_ref *ref)
{
	struct mp__target_ref own = {0};

	if (ref->id_kind == MP__TARGET_STAMP) {
		if (strcmp(module->path, ref->path) != 0 || !read_stamp(module->path, &own))
			return false;
	} else if (!read_build_id(module, &own)) {
		return false;
	}
	return own.id_size == ref->id_size && memcmp(own.id, ref->id, ref->id_size) == 0;
}

static int resolve_if_same(struct dl_phdr_info *info, size_t size, void *data)
{
	struct module module = module_of(info);
	struct resolving *r = data;

	(void)size;
	if (!is_same_file(&module, r->ref))
		return 0;
	r->found = true;
	if (in_code(&module, r->ref->offset))
		r->function = (mp__any_function *)(module.base + r->ref->offset);
	return 1;
}

static int check_ref(const struct mp__target_ref *ref)
{
	if (ref->id_kind != MP__TARGET_BUILD_ID && ref->id_kind != MP__TARGET_STAMP)
		return mp_error_set(-EBADMSG, "target: id of unknown kind %u", ref->id_kind);
	if (ref->id_size == 0 || ref->id_size > sizeof(ref->id))
		return mp_error_set(-EBADMSG, "target: id of %u bytes", ref->id_size);
	if (!memchr(ref->path, '\0', sizeof(ref->path)))
		return mp_error_set(-EBADMSG, "target: path without an end");
	if (ref->path[0] != '\0' && ref->path[0] != '/')
		return mp_error_set(-EBADMSG, "target: path is not absolute");
	return 0;
}

/* Look before loading: its constructors would run before anything could be checked. */
static int load(const struct mp__target_ref *ref)
{
	uint8_t id[MP__TARGET_ID_MAX];
	struct mp__target_ref stamp;

	if (ref->path[0] == '\0')
		return mp_error_set(-ENOEXEC, "target: it is in the program that the other process "
					      "runs, and this process runs another build of it");
	if (ref->id_kind == MP__TARGET_BUILD_ID) {
		int size = mp__build_id_of_file(ref->path, id, sizeof(id));
		if (size < 0)
			return mp_error_set(
				-ENOEXEC, "target: %s: %s", ref->path, mp_strerror(size));
		if (size != ref->id_size || memcmp(id, ref->id, ref->id_size) != 0)
			return mp_error_set(-ENOEXEC,
				"target: %s is no longer the file that the other process has "
				"loaded",
				ref->path);
	} else if (!read_stamp(ref->path, &stamp) || memcmp(stamp.id, ref->id, ref->id_size) != 0) {
		return mp_error_set(-ENOEXEC,
			"target: %s is gone or not the file that the other process has loaded",
			ref->path);
	}
	if (!dlopen(ref->path, RTLD_NOW | RTLD_LOCAL)) {
		const char *why = dlerror();
		return mp_error_set(-ENOEXEC, "target: %s", why ? why : "cannot be loaded");
	}
	return 0;
}

static int find(const struct mp__target_ref *ref, struct resolving *r)
{
	int result = 0;

	*r = (struct resolving){.ref = ref};
	dl_iterate_phdr(resolve_if_same, r);
	if (!r->found) {
		/* It stays loaded: the function runs as long as this process does. */
		result = load(ref);
		if (result == 0)
			dl_iterate_phdr(resolve_if_same, r);
	}
	if (result == 0 && !r->found)
		result =
			mp_error_set(-ENOEXEC, "target: %s changed while it was loaded", ref->path);
	if (result == 0 && !r->function)
		result = mp_error_set(-ENOEXEC, "target: offset 0x%llx is not in the code of %s",
			(unsigned long long)ref->offset, ref->path[0] ? ref->path : "the program");
	return result;
}

int mp__target_resolve(const struct mp__target_ref *ref, mp__any_function **ret_function)
{
	struct mp__target_ref own;
	struct resolving r;

	memcpy(&own, ref, sizeof(own)); /* once: it may stand in shared memory */
	int result = check_ref(&own);
	if (result < 0)
		return result;
	size_t size = mp__target_ref_size(&own);
	refresh_cache();
	for (size_t i = 0; i < N_CACHED; i++) {
		if (cache[i].function && memcmp(&cache[i].ref, &own, size) == 0) {
			*ret_function = cache[i].function;
			return 0;
		}
	}
	result = find(&own, &r);
	if (result < 0)
		return result;
	remember(r.function, &own);
	*ret_function = r.function;
	return 0;
}

size_t mp__target_ref_size(const struct mp__target_ref *ref)
{
	return offsetof(struct mp__target_ref, path) + strnlen(ref->path, sizeof(ref->path) - 1) +
	       1;
}
