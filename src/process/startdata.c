/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/startdata.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "obj/codec.h"
#include "process/child.h"
#include "process/kin.h"
#include "process/life.h"
#include "process/process.h"
#include "process/report.h"
#include "process/target.h"
#include "proto/process.pb-c.h"

#include <fcntl.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC UINT32_C(0x53504d01) /* 1, "MPS" */

struct head {
	uint32_t magic;
	uint32_t size; /* of the mp.ProcessStart that follows */
};

/* More than a path, a name and some numbers come to. */
#define MAX_START_SIZE (1 << 20)

#define EXIT_NOT_RUN 126

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* --- the starter's side ------------------------------------------------------------------------- */

/* The message borrows everything from its arguments. */
static void fill_message(Mp__ProcessStart *start, Mp__ProcessTarget *target,
	const struct mp_process *process, struct mp__target_ref *ref)
{
	mp__process_start__init(start);
	mp__process_target__init(target);
	target->offset = ref->offset;
	target->id_kind = ref->id_kind;
	target->id = (ProtobufCBinaryData){ref->id_size, ref->id};
	target->path = ref->path;
	start->target = target;
	start->name = (ProtobufCBinaryData){strlen(process->name), (uint8_t *)process->name};
	start->default_method = (uint32_t)mp_start_method_get();
	start->daemon = process->daemon;
	start->lineage = process->lineage;
	start->parent_name = (ProtobufCBinaryData){
		strlen(mp__kin_here()->name), (uint8_t *)mp__kin_here()->name};
	start->parent_pid = (uint32_t)getpid();
}

/* The whole memfd's content in one block for free(). */
static int encode(const struct mp_process *process, struct mp__target_ref *ref,
	struct mp__cargo *cargo, void **ret_data, size_t *ret_size)
{
	Mp__ProcessStart start;
	Mp__ProcessTarget target;
	struct head head = {.magic = htole32(MAGIC)};
	/* The fork server is where this process was when it launched it; a spawned child is here. */
	MP__AUTO_FREE char *directory =
		process->method == MP_START_FORKSERVER ? getcwd(NULL, 0) : NULL;

	fill_message(&start, &target, process, ref);
	if (directory)
		start.directory = (ProtobufCBinaryData){strlen(directory), (uint8_t *)directory};
	size_t size = mp__process_start__get_packed_size(&start);
	if (size > MAX_START_SIZE)
		return mp_error_set(-EMSGSIZE, "start: the name has %zu bytes", start.name.len);
	int r = mp__obj_encode(&process->args, sizeof(head) + size, cargo, ret_data, ret_size);
	if (r < 0)
		return r;
	head.size = htole32((uint32_t)size);
	memcpy(*ret_data, &head, sizeof(head));
	mp__process_start__pack(&start, (uint8_t *)*ret_data + sizeof(head));
	return 0;
}

static int add_fd(struct mp__startdata *data, int fd)
{
	if (fd < 0)
		return fd;
	data->fds[data->n_fds++] = fd;
	data->n_own = data->n_fds;
	return 0;
}

static int add_own_fds(struct mp__startdata *data, const struct mp_process *process,
	const void *bytes, size_t size)
{
	int ends[2];

	int r = add_fd(data, mp__memfd_sealed("mp-start", bytes, size));
	if (r == 0)
		r = mp__report_pair(ends);
	if (r < 0)
		return r;
	data->report = ends[0];
	add_fd(data, ends[1]);
	return process->daemon ? add_fd(data, mp__life_acquire()) : 0;
}

int mp__startdata_make(struct mp_process *process, struct mp__startdata *ret_data)
{
	struct mp__startdata data = {.report = -1};
	struct mp__target_ref ref;
	MP__AUTO_FREE void *bytes = NULL;
	struct mp__cargo cargo = {.n_fds = 0};
	size_t size = 0;

	int r = mp__target_describe((mp__any_function *)process->target, &ref);
	if (r == 0)
		r = encode(process, &ref, &cargo, &bytes, &size);
	if (r == 0)
		r = add_own_fds(&data, process, bytes, size);
	if (r == 0 && cargo.n_fds > MP__COUNT_OF(data.fds) - data.n_fds)
		r = mp_error_set(-EMSGSIZE,
			"start: the arguments need %zu descriptors, at most %zu fit", cargo.n_fds,
			MP__COUNT_OF(data.fds) - data.n_fds);
	if (r < 0) {
		if (data.n_own > MP__START_LIFE)
			mp__life_release();
		mp__startdata_close(&data);
		return r;
	}
	memcpy(data.fds + data.n_fds, cargo.fds, sizeof(int) * cargo.n_fds);
	data.n_fds += cargo.n_fds;
	*ret_data = data;
	return 0;
}

void mp__startdata_close(struct mp__startdata *data)
{
	mp__fds_close(data->fds, data->n_own);
	mp__fds_close(&data->report, 1);
	data->n_fds = data->n_own = 0;
}

/* --- the child's side --------------------------------------------------------------------------- */

/* Start data that is mapped, and what was found in it. */
struct received {
	const uint8_t *bytes;
	size_t size;
	Mp__ProcessStart *start;
	const uint8_t *args;
	size_t args_size;
};

static int map(int memfd, struct received *received)
{
	struct stat st;

	int seals = fcntl(memfd, F_GET_SEALS);
	if (seals < 0 || (seals & ALL_SEALS) != ALL_SEALS || fstat(memfd, &st) < 0 ||
		st.st_size < (off_t)sizeof(struct head))
		return mp_error_set(-EBADMSG, "start data: not a sealed memfd");
	received->size = (size_t)st.st_size;
	void *at = mmap(NULL, received->size, PROT_READ, MAP_PRIVATE, memfd, 0);
	if (at == MAP_FAILED)
		return mp__error_errno("mapping the start data");
	received->bytes = at;
	return 0;
}

static int unpack(struct received *received)
{
	struct head head;

	memcpy(&head, received->bytes, sizeof(head));
	size_t size = le32toh(head.size);
	if (le32toh(head.magic) != MAGIC || size > MAX_START_SIZE ||
		size > received->size - sizeof(head))
		return mp_error_set(-EBADMSG, "start data: bad header");
	received->start = mp__process_start__unpack(NULL, size, received->bytes + sizeof(head));
	if (!received->start || !received->start->target)
		return mp_error_set(-EBADMSG, "start data: no mp.ProcessStart");
	received->args = received->bytes + sizeof(head) + size;
	received->args_size = received->size - sizeof(head) - size;
	return 0;
}

static int resolve(const Mp__ProcessTarget *target, mp_target **ret_target)
{
	struct mp__target_ref ref = {.offset = target->offset, .id_kind = (uint8_t)target->id_kind};
	mp__any_function *function;

	if (target->id.len > sizeof(ref.id) || strlen(target->path) >= sizeof(ref.path) ||
		target->id_kind > UINT8_MAX)
		return mp_error_set(-EBADMSG, "start data: bad target");
	if (target->id.len > 0)
		memcpy(ref.id, target->id.data, target->id.len);
	ref.id_size = (uint8_t)target->id.len;
	strcpy(ref.path, target->path);
	int r = mp__target_resolve(&ref, &function);
	if (r == 0)
		*ret_target = (mp_target *)function;
	return r;
}

static int decode_args(const struct received *received, const int *fds, size_t n, mp_obj *ret_args)
{
	struct mp__cargo cargo = {.n_fds = n};

	memcpy(cargo.fds, fds, sizeof(int) * n);
	int r = mp__obj_decode(received->args, received->args_size, &cargo, ret_args);
	mp__fds_close(cargo.fds, cargo.n_fds); /* what no handle took */
	if (r == 0 && ret_args->type != MP_TYPE_LIST && ret_args->type != MP_TYPE_NIL)
		r = mp_error_set(-EBADMSG, "start data: the arguments are no list");
	return r;
}

/* Relative names shall mean the same as in the parent. */
static int enter(const ProtobufCBinaryData *directory)
{
	MP__AUTO_FREE char *path = strndup((const char *)directory->data, directory->len);

	if (!path)
		return mp_error_set(-ENOMEM, "start: out of memory");
	return chdir(path) < 0 ? mp__error_errno(path) : 0;
}

/* Who the child is; the strings stay as long as it runs. */
static int introduce(const Mp__ProcessStart *start, struct mp__kin *ret_kin)
{
	struct mp__kin kin = {
		.name = strndup((const char *)start->name.data, start->name.len),
		.lineage = strdup(start->lineage),
		.parent_name =
			strndup((const char *)start->parent_name.data, start->parent_name.len),
		.parent_pid = (pid_t)start->parent_pid,
		.parent_fd = mp__kin_here()->parent_fd,
		.daemon = start->daemon,
	};

	if (!kin.name || !kin.lineage || !kin.parent_name)
		return mp_error_set(-ENOMEM, "start: out of memory");
	*ret_kin = kin;
	return 0;
}

static int prepare(
	const int *fds, size_t n_fds, struct received *received, struct mp__child *ret_child)
{
	int r = map(fds[MP__START_MEMFD], received);
	if (r == 0)
		r = unpack(received);
	if (r != 0)
		return r;
	const Mp__ProcessStart *start = received->start;
	size_t n_own = start->daemon ? MP__START_LIFE + 1 : MP__START_LIFE;
	if (n_fds < n_own)
		return mp_error_set(-EBADMSG, "start data: %zu descriptors", n_fds);
	if (start->daemon)
		ret_child->life = fds[MP__START_LIFE];
	if (start->directory.len > 0)
		r = enter(&start->directory);
	if (r == 0)
		r = resolve(start->target, &ret_child->target);
	if (r == 0)
		r = decode_args(received, fds + n_own, n_fds - n_own, &ret_child->args);
	if (r == 0)
		r = mp_start_method_set((int)start->default_method);
	if (r == 0)
		r = introduce(start, &ret_child->kin);
	return r;
}

int mp__child_start(const int *fds, size_t n_fds)
{
	struct received received = {.bytes = NULL};
	struct mp__child child = {.life = -1, .args = mp_nil()};
	sigset_t none;

	if (n_fds <= MP__START_REPORT || fcntl(fds[MP__START_MEMFD], F_GET_SEALS) < 0)
		return mp_error_set(-EBADMSG, "start data: not there");
	struct mp__report_end report = mp__report_end_of(fds[MP__START_REPORT]);
	MP__TEST_POINT("process.child.entered");
	int r = prepare(fds, n_fds, &received, &child);
	if (r != 0) {
		mp__report_failed(&report, r);
		_exit(EXIT_NOT_RUN);
	}

	sigemptyset(&none);
	child.report = report.fd;
	child.sigmask = &none;
	mp__process_start__free_unpacked(received.start, NULL);
	munmap((void *)received.bytes, received.size);
	close(fds[MP__START_MEMFD]);
	mp__child_run(&child);
}
