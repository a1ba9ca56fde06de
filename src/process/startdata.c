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
#include "process/place.h"
#include "process/process.h"
#include "process/report.h"
#include "process/target.h"
#include "proto/process.pb-c.h"

#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC UINT32_C(0x53504d01) /* 1, "MPS" */

struct head {
	uint32_t magic;
	uint32_t size; /* of the mp.ProcessStart that follows */
};

/* More than a path, a name, an environment and some numbers come to. */
#define MAX_START_SIZE (16 << 20)

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* --- the starter's side ------------------------------------------------------------------------- */

/* Descriptors that become certain numbers in the child, and those that /dev/null becomes. */
struct placing {
	unsigned nulls;
	size_t n;
	int *fds;         /* borrowed: the handle's, or standard streams of this process */
	uint32_t *places; /* in the same block */
};

static void release_placing(struct placing *placing)
{
	free(placing->fds);
}

static int make_placing(const struct mp_process *process, struct placing *placing)
{
	const struct mp__setting *setting = &process->setting;
	size_t room = setting->n_places + MP__N_STREAMS;

	placing->nulls = mp__setting_nulls(setting);
	placing->fds = malloc(room * (sizeof(*placing->fds) + sizeof(*placing->places)));
	if (!placing->fds)
		return mp_error_set(-ENOMEM, "start: out of memory");
	placing->places = (uint32_t *)(placing->fds + room);
	for (size_t i = 0; i < setting->n_places; i++) {
		placing->fds[i] = setting->fds[i];
		placing->places[i] = (uint32_t)setting->places[i];
	}
	placing->n = setting->n_places;
	/* A spawned child has them as they are; one of the fork server's would have the server's. */
	unsigned inherits = process->method == MP_START_FORKSERVER ? setting->inherits : 0;
	for (int fd = 0; fd < MP__N_STREAMS; fd++) {
		if (!(inherits & ~placing->nulls & (1U << fd)))
			continue;
		placing->fds[placing->n] = fd;
		placing->places[placing->n++] = (uint32_t)fd;
	}
	return 0;
}

static void fill_setting(
	Mp__ProcessStart *start, const struct mp__setting *setting, const struct placing *placing)
{
	start->death = (uint32_t)setting->death;
	start->has_directory = setting->cwd != NULL;
	start->n_places = placing->n;
	start->places = placing->places;
	start->nulls = placing->nulls;
	start->blocked = setting->has_mask ? mp__sigset_to_bits(&setting->mask) : 0;
	start->has_environment = setting->env != NULL;
	if (setting->env)
		start->environment =
			(ProtobufCBinaryData){setting->env_size, (uint8_t *)setting->env[0]};
}

/* Its own, in front of those that others shall have. */
static size_t count_own_fds(uint32_t death, bool has_directory)
{
	return MP__START_LIFE + (death != 0) + has_directory;
}

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
	/* Not known yet, but not 0, which would take no room. */
	start->descriptors = UINT32_MAX;
}

/* The whole memfd's content in one block for free(). */
static int encode(const struct mp_process *process, struct mp__target_ref *ref,
	const struct placing *placing, struct mp__cargo *cargo, void **ret_data, size_t *ret_size)
{
	Mp__ProcessStart start;
	Mp__ProcessTarget target;
	struct head head = {.magic = htole32(MAGIC)};
	/* The fork server is where this process was when it launched it; a spawned child is here. */
	MP__AUTO_FREE char *directory =
		process->method == MP_START_FORKSERVER && !process->setting.cwd ? getcwd(NULL, 0)
										: NULL;

	fill_message(&start, &target, process, ref);
	fill_setting(&start, &process->setting, placing);
	if (directory)
		start.directory = (ProtobufCBinaryData){strlen(directory), (uint8_t *)directory};
	size_t size = mp__process_start__get_packed_size(&start);
	if (size > MAX_START_SIZE)
		return mp_error_set(-EMSGSIZE, "start: name and environment have %zu bytes", size);
	int r = mp__obj_encode(&process->args, sizeof(head) + size, cargo, ret_data, ret_size);
	if (r < 0)
		return r;
	start.descriptors = (uint32_t)(count_own_fds(start.death, start.has_directory) +
				       placing->n + cargo->n_fds);
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
	if (process->setting.death)
		r = add_fd(data, mp__life_acquire());
	int directory = -1;
	if (r == 0)
		r = mp__setting_open_cwd(&process->setting, &directory);
	if (r == 0 && directory >= 0)
		r = add_fd(data, directory);
	return r;
}

/* They wait for the child, which is the only one that reads from the other end. */
static int send_ahead(int report, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i += MP__FDS_MAX) {
		size_t n_now = n - i < MP__FDS_MAX ? n - i : MP__FDS_MAX;
		int r = mp__socket_send(report, "", 1, fds + i, n_now);
		if (r == -EAGAIN)
			return mp_error_set(-EMSGSIZE,
				"start: arguments and options have more descriptors than fit into "
				"a socket");
		if (r < 0)
			return mp_error_set(
				r, "start: passing %zu descriptors: %s", n, mp_strerror(r));
	}
	return 0;
}

/* Those that are not this start's to close. */
static int borrow_fds(struct mp__startdata *data, const int *fds, size_t n)
{
	size_t room = MP__COUNT_OF(data->fds) - data->n_fds;
	size_t n_first = n < room ? n : room;

	if (n == 0)
		return 0;
	memcpy(data->fds + data->n_fds, fds, sizeof(int) * n_first);
	data->n_fds += n_first;
	return send_ahead(data->report, fds + n_first, n - n_first);
}

static void release_cargo(struct mp__cargo *cargo)
{
	free(cargo->fds);
}

int mp__startdata_make(struct mp_process *process, struct mp__startdata *ret_data)
{
	struct mp__startdata data = {.report = -1};
	struct mp__target_ref ref;
	MP__AUTO_FREE void *bytes = NULL;
	MP__AUTO(release_placing) struct placing placing = {.n = 0};
	MP__AUTO(release_cargo) struct mp__cargo cargo = {.grows = true};
	size_t size = 0;

	int r = mp__target_describe((mp__any_function *)process->target, &ref);
	if (r == 0)
		r = make_placing(process, &placing);
	if (r == 0)
		r = encode(process, &ref, &placing, &cargo, &bytes, &size);
	if (r == 0)
		r = add_own_fds(&data, process, bytes, size);
	if (r == 0)
		r = borrow_fds(&data, placing.fds, placing.n);
	if (r == 0)
		r = borrow_fds(&data, cargo.fds, cargo.n_fds);
	if (r < 0) {
		if (process->setting.death && data.n_own > MP__START_LIFE)
			mp__life_release();
		mp__startdata_close(&data);
		return r;
	}
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
	int *fds; /* all of them */
	size_t n_fds;
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

/* The next of those that were sent ahead. */
static int receive_more(struct received *received)
{
	size_t n = MP__FDS_MAX;

	int *fds = realloc(received->fds, sizeof(int) * (received->n_fds + n));
	if (!fds)
		return mp_error_set(-ENOMEM, "start: out of memory");
	received->fds = fds;
	int report = fds[MP__START_REPORT];
	/* They are there, before the start, or they never will be. */
	if (mp__fd_wait(report, POLLIN, mp__deadline_in(0)) < 0)
		return mp_error_set(-EBADMSG, "start data: descriptors are missing");
	ssize_t size = mp__socket_receive(report, &(char){0}, 1, fds + received->n_fds, &n);
	if (size == -EMSGSIZE)
		return mp_error_set(-EMFILE, "start: the child cannot have %u descriptors",
			received->start->descriptors);
	if (size <= 0 || n == 0)
		return mp_error_set(-EBADMSG, "start data: descriptors are missing");
	received->n_fds += n;
	return 0;
}

static int gather_fds(struct received *received, const int *fds, size_t n_fds)
{
	int r = 0;

	received->fds = malloc(sizeof(int) * n_fds);
	if (!received->fds)
		return mp_error_set(-ENOMEM, "start: out of memory");
	memcpy(received->fds, fds, sizeof(int) * n_fds);
	received->n_fds = n_fds;
	while (r == 0 && received->n_fds < received->start->descriptors)
		r = receive_more(received);
	if (r == 0 && received->n_fds > received->start->descriptors)
		r = mp_error_set(-EBADMSG, "start data: %zu descriptors", received->n_fds);
	return r;
}

static int decode_args(const struct received *received, int *fds, size_t n, mp_obj *ret_args)
{
	struct mp__cargo cargo = {.fds = fds, .n_fds = n};

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
		.parent_fd = ret_kin->parent_fd,
		.daemon = start->daemon,
	};

	if (!kin.name || !kin.lineage || !kin.parent_name)
		return mp_error_set(-ENOMEM, "start: out of memory");
	*ret_kin = kin;
	return 0;
}

/* Before anything else takes one of the numbers. */
static int place(
	const Mp__ProcessStart *start, int *fds, size_t n_fds, size_t first, int *parent_fd)
{
	MP__AUTO_FREE int *places = malloc(sizeof(int) * (start->n_places + 1));

	if (!places)
		return mp_error_set(-ENOMEM, "start: out of memory");
	for (size_t i = 0; i < start->n_places; i++) {
		if (start->places[i] > INT_MAX)
			return mp_error_set(-EBADMSG, "start data: bad place");
		places[i] = (int)start->places[i];
	}
	int r = mp__places_clear(places, start->n_places, fds, n_fds);
	if (r == 0)
		r = mp__places_clear(places, start->n_places, parent_fd, 1);
	return r == 0 ? mp__places_take(places, start->n_places, fds + first, false) : r;
}

static int take_setting(const Mp__ProcessStart *start, struct mp__child *child)
{
	const ProtobufCBinaryData *environment = &start->environment;
	int r = start->directory.len > 0 ? enter(&start->directory) : 0;

	child->nulls = start->nulls;
	if (r < 0 || !start->has_environment)
		return r;
	if (environment->len > 0 && environment->data[environment->len - 1] != '\0')
		return mp_error_set(-EBADMSG, "start data: bad environment");
	child->env = mp__environment_of((const char *)environment->data, environment->len);
	return child->env ? 0 : mp_error_set(-ENOMEM, "start: out of memory");
}

/* Finds its own descriptors: how many there are in front of those that others shall have. */
static int take_own_fds(
	const Mp__ProcessStart *start, const int *fds, size_t n_fds, struct mp__child *child)
{
	size_t n = count_own_fds(start->death, start->has_directory);

	if (n_fds < n || n_fds - n < start->n_places || start->death > INT_MAX)
		return mp_error_set(-EBADMSG, "start data: %zu descriptors", n_fds);
	child->death = (int)start->death;
	if (start->death != 0)
		child->life = fds[MP__START_LIFE];
	if (start->has_directory)
		child->directory = fds[n - 1];
	return (int)n;
}

static int prepare(struct received *received, struct mp__child *ret_child)
{
	const Mp__ProcessStart *start = received->start;
	int *fds = received->fds;
	size_t n_fds = received->n_fds;
	int r = 0;

	ret_child->kin.parent_fd = mp__kin_here()->parent_fd;
	int n_own = take_own_fds(start, fds, n_fds, ret_child);
	if (n_own < 0)
		return n_own;
	if (start->n_places > 0) {
		r = place(start, fds, n_fds, (size_t)n_own, &ret_child->kin.parent_fd);
		take_own_fds(start, fds, n_fds, ret_child); /* they may have moved */
	}
	size_t n_gone = (size_t)n_own + start->n_places;
	if (r == 0)
		r = take_setting(start, ret_child);
	if (r == 0)
		r = resolve(start->target, &ret_child->target);
	if (r == 0)
		r = decode_args(received, fds + n_gone, n_fds - n_gone, &ret_child->args);
	if (r == 0)
		r = mp_start_method_set((int)start->default_method);
	if (r == 0)
		r = introduce(start, &ret_child->kin);
	return r;
}

int mp__startdata_take(
	int *fds, size_t n_fds, struct mp__child *ret_child, uint64_t *ret_blocked_signals)
{
	struct received received = {.bytes = NULL};
	struct mp__child child = {.life = -1, .directory = -1, .args = mp_nil()};

	if (n_fds <= MP__START_REPORT)
		return mp_error_set(-EBADMSG, "start data: not there");
	int r = map(fds[MP__START_MEMFD], &received);
	if (r == 0)
		r = unpack(&received);
	if (r == 0)
		r = gather_fds(&received, fds, n_fds);
	if (r == 0)
		r = prepare(&received, &child);
	/* They may have moved. */
	if (received.fds)
		memcpy(fds, received.fds, sizeof(int) * MP__START_LIFE);
	if (r == 0) {
		*ret_blocked_signals = received.start->blocked;
		child.report = fds[MP__START_REPORT];
		*ret_child = child;
	}
	free(received.fds);
	if (received.start)
		mp__process_start__free_unpacked(received.start, NULL);
	if (received.bytes)
		munmap((void *)received.bytes, received.size);
	mp__fds_close(&fds[MP__START_MEMFD], 1);
	return r;
}

int mp__child_start(int *fds, size_t n_fds)
{
	struct mp__child child;
	uint64_t bits = 0;

	if (n_fds <= MP__START_REPORT || fcntl(fds[MP__START_MEMFD], F_GET_SEALS) < 0)
		return mp_error_set(-EBADMSG, "start data: not there");
	MP__TEST_POINT("process.child.entered");
	int r = mp__startdata_take(fds, n_fds, &child, &bits);
	if (r != 0)
		mp__child_failed(fds[MP__START_REPORT], r);
	sigset_t blocked = mp__sigset_of_bits(bits);
	child.sigmask = &blocked;
	mp__child_run(&child);
}
