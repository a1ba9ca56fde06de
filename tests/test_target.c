/* SPDX-License-Identifier: MIT */
/* Functions named in one process and found in another. */
#include <config.h>

#include "tests/support/place.h"
#include "tests/support/starts.h"

#include "process/buildid.h"
#include "process/target.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

T_SUITE(target);

#define ANY(f) ((mp__any_function *)(f))

static void expect_round_trip(mp__any_function *f)
{
	struct mp__target_ref ref;
	mp__any_function *found = NULL;

	T_OK(mp__target_describe(f, &ref));
	T_OK(mp__target_resolve(&ref, &found));
	cr_assert(found == f);
	/* From the cache. */
	struct mp__target_ref again;
	T_OK(mp__target_describe(f, &again));
	cr_assert(memcmp(&ref, &again, sizeof(ref)) == 0);
	T_OK(mp__target_resolve(&again, &found));
	cr_assert(found == f);
}

Test(target, functions_of_program_and_libraries)
{
	struct mp__target_ref ref;

	/* More than the cache holds, twice around. */
	for (int i = 0; i < 2; i++) {
		expect_round_trip(ANY(return_it));
		expect_round_trip(ANY(hang));
		expect_round_trip(ANY(mp_process_new));
		expect_round_trip(ANY(expect_round_trip));
		expect_round_trip(ANY(t_begin));
		expect_round_trip(ANY(dlsym(RTLD_DEFAULT, "getpid")));
	}
	T_OK(mp__target_describe(ANY(return_it), &ref));
	cr_assert_str_eq(ref.path, "");
	cr_assert(mp__target_ref_size(&ref) < 64);
}

Test(target, only_code_is_a_target)
{
	static int data;
	int on_stack;
	struct mp__target_ref ref;
	void *heap = malloc(64);

	T_RESULT(mp__target_describe(ANY(&data), &ref), -ENOEXEC);
	T_RESULT(mp__target_describe(ANY(&on_stack), &ref), -ENOEXEC);
	T_RESULT(mp__target_describe(ANY(heap), &ref), -ENOEXEC);
	T_RESULT(mp__target_describe(NULL, &ref), -ENOEXEC);
	T_RESULT(mp__target_describe(ANY((void *)-1), &ref), -ENOEXEC);
	T_RESULT(mp__target_describe(ANY("text"), &ref), -ENOEXEC);
	free(heap);
}

Test(target, hostile_refs_are_refused)
{
	struct mp__target_ref good;
	struct mp__target_ref ref;
	mp__any_function *f;

	T_OK(mp__target_describe(ANY(return_it), &good));
#define BAD(change, expected)                                     \
	do {                                                      \
		ref = good;                                       \
		change;                                           \
		T_RESULT(mp__target_resolve(&ref, &f), expected); \
	} while (0)
	BAD(ref.id_kind = 0, -EBADMSG);
	BAD(ref.id_kind = 3, -EBADMSG);
	BAD(ref.id_size = 0, -EBADMSG);
	BAD(ref.id_size = 33, -EBADMSG);
	BAD(memset(ref.path, 'x', sizeof(ref.path)), -EBADMSG);
	BAD(strcpy(ref.path, "relative.so"), -EBADMSG);
	BAD(ref.offset = 0, -ENOEXEC);
	BAD(ref.offset = UINT64_MAX, -ENOEXEC);
	BAD(ref.offset += UINT64_C(1) << 40, -ENOEXEC);
	BAD(ref.id[0] ^= 1, -ENOEXEC);
	BAD(ref.id_size--, -ENOEXEC);
	BAD(ref.id[0] ^= 1; strcpy(ref.path, "/nonexistent.so"), -ENOEXEC);
	BAD(ref.id[0] ^= 1; strcpy(ref.path, "/etc/passwd"), -ENOEXEC);
	BAD(ref.id[0] ^= 1; strcpy(ref.path, "/proc/self/exe"), -ENOEXEC);
	BAD(ref.id[0] ^= 1; strcpy(ref.path, "/"), -ENOEXEC);
	BAD(ref.id_kind = MP__TARGET_STAMP, -ENOEXEC);
}

/* --- shared objects ---------------------------------------------------------------------------------- */

static char module[PATH_MAX];

static void find_module(void)
{
	ssize_t n = readlink("/proc/self/exe", module, sizeof(module) - 1);

	cr_assert(n > 0);
	module[n] = '\0';
	strcpy(strrchr(module, '/'), "/.libs/module.so");
	if (access(module, R_OK) < 0)
		strcpy(strrchr(module, '/'), "/module.so");
	cr_assert(access(module, R_OK) == 0, "%s is not there", module);
}

static mp_target *load_module(void **ret_handle)
{
	*ret_handle = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	cr_assert(*ret_handle, "%s", dlerror());
	mp_target *(*module_target)(void) =
		(mp_target * (*)(void)) dlsym(*ret_handle, "module_target");
	cr_assert(module_target);
	return module_target();
}

EACH_METHOD(target, static_function_of_a_loaded_module)
{
	void *handle;

	find_module();
	mp_target *target = load_module(&handle);
	finish(start(target, MP_ARGS(mp_i64(41)), BY(method)), 42);
	dlclose(handle);
}

Test(target, unloaded_module_is_not_taken_from_the_cache)
{
	void *handle;
	struct mp__target_ref ref;
	mp__any_function *f = NULL;

	find_module();
	mp_target *target = load_module(&handle);
	T_OK(mp__target_describe(ANY(target), &ref));
	cr_assert_str_eq(ref.path, module);
	dlclose(handle);
	T_RESULT(mp__target_describe(ANY(target), &ref), -ENOEXEC);
	/* It is loaded again. */
	T_OK(mp__target_resolve(&ref, &f));
	cr_assert_eq(((mp_target *)f)(0, NULL), 0);
}

static void copy_file(const char *from, const char *to)
{
	char buffer[65536];
	ssize_t n;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	cr_assert(in >= 0 && out >= 0);
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		T_OK(mp__write_full(out, buffer, (size_t)n));
	close(in);
	close(out);
}

static void expect_no_start(mp_target *target, int method, const char *why)
{
	mp_process *p;

	T_OK(mp_process_new(target, MP_ARGS(mp_i64(1)), BY(method), &p));
	T_RESULT(mp_process_start(p), -ENOEXEC);
	cr_assert(strstr(mp_error_detail(), why), "%s", mp_error_detail());
	T_OK(mp_process_close(p));
}

EACH_METHOD(target, module_replaced_on_disk)
{
	char directory[T_PLACE_SIZE];
	char other[PATH_MAX];
	void *handle;

	if (method == MP_START_FORK)
		return; /* nothing is looked for */
	find_module();
	t_place_make(directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	copy_file("/bin/true", other);
	char *original = strdup(module);
	snprintf(module, sizeof(module), "%s/module.so", directory);
	copy_file(original, module);
	free(original);
	mp_target *target = load_module(&handle);

	finish(start(target, MP_ARGS(mp_i64(41)), BY(method)), 42);
	cr_assert(rename(other, module) == 0);
	expect_no_start(target, method, "no longer the file");
	cr_assert(unlink(module) == 0);
	expect_no_start(target, method, module);
	cr_assert(rmdir(directory) == 0);
	dlclose(handle);
}

EACH_METHOD(target, in_no_file)
{
	/* As a just-in-time compiler makes them: mov eax, 7; ret. */
	static const unsigned char code[] = {0xb8, 7, 0, 0, 0, 0xc3};
	mp_process *p;

#ifndef __x86_64__
	cr_skip_test("needs x86-64");
#endif
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert(page != MAP_FAILED);
	memcpy(page, code, sizeof(code));
	cr_assert(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
	T_OK(mp_process_new((mp_target *)page, mp_nil(), BY(method), &p));
	if (method == MP_START_FORK) {
		T_OK(mp_process_start(p));
		finish(p, 7);
	} else {
		T_RESULT(mp_process_start(p), -ENOEXEC);
		T_OK(mp_process_close(p));
	}
	munmap(page, 4096);
}

static void *describe_often(void *f)
{
	struct mp__target_ref ref;
	mp__any_function *found;

	for (int i = 0; i < 2000; i++) {
		if (mp__target_describe(ANY(f), &ref) < 0 || mp__target_resolve(&ref, &found) < 0 ||
			found != ANY(f))
			return (void *)1;
	}
	return NULL;
}

Test(target, any_thread)
{
	pthread_t threads[4];
	void *result;

	for (int i = 0; i < 4; i++)
		cr_assert(pthread_create(&threads[i], NULL, describe_often,
				  (void *)(i & 1 ? return_it : hang)) == 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &result);
		cr_assert_null(result);
	}
}

/* --- build ids --------------------------------------------------------------------------------------- */

Test(target, build_id_of_hostile_notes)
{
	uint8_t id[32];
	/* name size, descriptor size, type, "GNU", descriptor */
	struct {
		uint32_t words[4];
		uint8_t desc[8];
	} note = {{4, 8, 3, 0}, "\1\2\3\4\5\6\7\10"};

	memcpy(&note.words[3], "GNU", 4);
	cr_assert_eq(mp__build_id_in_notes(&note, sizeof(note), 4, id, sizeof(id)), 8);
	cr_assert(memcmp(id, note.desc, 8) == 0);
	cr_assert_eq(mp__build_id_in_notes(&note, sizeof(note), 4, id, 3), 3);
	for (size_t cut = 0; cut < sizeof(note); cut++) {
		void *exact = malloc(cut + 1);
		memcpy(exact, &note, cut);
		cr_assert_eq(mp__build_id_in_notes(exact, cut, 4, id, sizeof(id)), 0);
		free(exact);
	}
	note.words[1] = UINT32_MAX;
	cr_assert_eq(mp__build_id_in_notes(&note, sizeof(note), 4, id, sizeof(id)), 0);
	note.words[0] = UINT32_MAX;
	note.words[1] = 8;
	cr_assert_eq(mp__build_id_in_notes(&note, sizeof(note), 8, id, sizeof(id)), 0);
}

Test(target, build_id_of_files)
{
	uint8_t id[32];

	find_module();
	cr_assert(mp__build_id_of_file(module, id, sizeof(id)) > 0);
	T_RESULT(mp__build_id_of_file("/nonexistent", id, sizeof(id)), -ENOENT);
	T_RESULT(mp__build_id_of_file("/etc/passwd", id, sizeof(id)), -ENOEXEC);
	T_RESULT(mp__build_id_of_file("/dev/null", id, sizeof(id)), -ENOEXEC);
}
