/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/startdata.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "obj/codec.h"
#include "process/kin.h"
#include "process/life.h"
#include "process/place.h"
#include "process/process.h"
#include "process/report.h"
#include "process/target.h"
#include "proto/process.pb-c.h"

#include <endian.h>
#include <string.h>

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

/* All that one start is made of; own: memfd, life pipe and directory, as far as there are any. */
struct gathered {
	struct placing placing;
	struct mp__cargo cargo;
	void *bytes; /* head and all */
	size_t size;
	int own[3];
	size_t n_own;
	bool has_life;
};

static void release_gathered(struct gathered *g)
{
	release_placing(&g->placing);
	free(g->cargo.fds);
	free(g->bytes);
	mp__fds_close(g->own, g->n_own);
}

static bool needs_memfd(const struct gathered *g)
{
	return g->size > MP__START_MESSAGE_MAX;
}

/* Relative names shall mean the same as here. */
static int encode(const struct mp_process *process, bool there, struct gathered *g)
{
	Mp__ProcessStart start;
	Mp__ProcessTarget target;
	struct mp__target_ref ref;
	struct mp__start_head head = {.magic = htole32(MP__START_MAGIC)};
	MP__AUTO_FREE char *directory = there || process->setting.cwd ? NULL : getcwd(NULL, 0);

	int r = mp__target_describe((mp__any_function *)process->target, &ref);
	if (r < 0)
		return r;
	fill_message(&start, &target, process, &ref);
	fill_setting(&start, &process->setting, &g->placing);
	if (directory)
		start.directory = (ProtobufCBinaryData){strlen(directory), (uint8_t *)directory};
	size_t size = mp__process_start__get_packed_size(&start);
	if (size > MP__START_SIZE_MAX)
		return mp_error_set(-EMSGSIZE, "start: name and environment have %zu bytes", size);
	r = mp__obj_encode(&process->args, sizeof(head) + size, &g->cargo, &g->bytes, &g->size);
	if (r < 0)
		return r;
	head.size = htole32((uint32_t)size);
	head.n_fds = htole32((uint32_t)(needs_memfd(g) + (start.death != 0) + start.has_directory +
					g->placing.n + g->cargo.n_fds));
	memcpy(g->bytes, &head, sizeof(head));
	mp__process_start__pack(&start, (uint8_t *)g->bytes + sizeof(head));
	return 0;
}

static int add_own(struct gathered *g, int fd)
{
	if (fd < 0)
		return fd;
	g->own[g->n_own++] = fd;
	return 0;
}

static int open_own(const struct mp_process *process, struct gathered *g)
{
	int directory = -1;
	int r = 0;

	if (needs_memfd(g))
		r = add_own(g, mp__memfd_sealed("mp-start", g->bytes, g->size));
	if (r == 0)
		r = mp__setting_open_cwd(&process->setting, &directory);
	if (r == 0 && process->setting.death) {
		r = add_own(g, mp__life_acquire());
		g->has_life = r == 0;
	}
	if (directory >= 0)
		add_own(g, directory);
	return r;
}

static int gather(const struct mp_process *process, bool there, struct gathered *g)
{
	int r = make_placing(process, &g->placing);
	if (r == 0)
		r = encode(process, there, g);
	return r == 0 ? open_own(process, g) : r;
}

/* They wait for the child, which is the only one that reads from the other end. */
static int send_fds(int report, const void *bytes, size_t size, const int *fds, size_t n)
{
	size_t n_now;

	do {
		n_now = n < MP__FDS_MAX ? n : MP__FDS_MAX;
		int r = mp__socket_send(report, bytes, size, fds, n_now);
		if (r == -EAGAIN)
			return mp_error_set(-EMSGSIZE,
				"start: arguments and options have more descriptors than fit into "
				"a socket");
		if (r < 0)
			return mp_error_set(
				r, "start: passing %zu descriptors: %s", n, mp_strerror(r));
		size = 1;
		fds += n_now;
		n -= n_now;
	} while (n > 0);
	return 0;
}

static int send_all(int report, const struct gathered *g)
{
	size_t n = g->n_own + g->placing.n + g->cargo.n_fds;
	MP__AUTO_FREE int *fds = malloc(sizeof(int) * (n + 1));

	if (!fds)
		return mp_error_set(-ENOMEM, "start: out of memory");
	memcpy(fds, g->own, sizeof(int) * g->n_own);
	memcpy(fds + g->n_own, g->placing.fds, sizeof(int) * g->placing.n);
	if (g->cargo.n_fds > 0)
		memcpy(fds + g->n_own + g->placing.n, g->cargo.fds, sizeof(int) * g->cargo.n_fds);
	return send_fds(
		report, g->bytes, needs_memfd(g) ? sizeof(struct mp__start_head) : g->size, fds, n);
}

int mp__startdata_make(struct mp_process *process, bool there, struct mp__startdata *ret_data)
{
	MP__AUTO(release_gathered) struct gathered g = {.cargo.grows = true};
	int ends[2] = {-1, -1};

	int r = gather(process, there, &g);
	if (r == 0)
		r = mp__report_pair(ends);
	if (r == 0) {
		r = send_all(ends[0], &g);
		if (r < 0)
			mp__fds_close(ends, 2);
	}
	if (r < 0) {
		if (g.has_life)
			mp__life_release();
		return r;
	}
	ret_data->report = ends[0];
	ret_data->child = ends[1];
	return 0;
}

void mp__startdata_close(struct mp__startdata *data)
{
	mp__fds_close(&data->child, 1);
	mp__fds_close(&data->report, 1);
}
