/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "process/arrival.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "obj/codec.h"
#include "process/place.h"
#include "process/setting.h"
#include "process/target.h"

#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int map(int memfd, struct mp__arrival *a)
{
	struct stat st;

	int seals = fcntl(memfd, F_GET_SEALS);
	if (seals < 0 || (seals & ALL_SEALS) != ALL_SEALS || fstat(memfd, &st) < 0 ||
		st.st_size < (off_t)sizeof(struct mp__start_head))
		return mp_error_set(-EBADMSG, "start data: not a sealed memfd");
	void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, memfd, 0);
	if (at == MAP_FAILED)
		return mp__error_errno("mapping the start data");
	a->size = (size_t)st.st_size;
	a->bytes = at;
	return 0;
}

/* Nothing to read is no start data either: it is there before the start, or will never be. */
static ssize_t receive_message(int report, void *buffer, size_t size, int *fds, size_t *n_fds)
{
	ssize_t n = mp__socket_receive(report, buffer, size, fds, n_fds);

	if (n == -EMSGSIZE)
		return mp_error_set(
			-EMFILE, "start: no room in the child for the descriptors that it gets");
	return n > 0 ? n : mp_error_set(-EBADMSG, "start data: something is missing");
}

static int receive_more(int report, struct mp__arrival *a)
{
	size_t n = MP__FDS_MAX;
	int *old = a->fds == a->first_fds ? NULL : a->fds;

	int *fds = realloc(old, sizeof(int) * (a->n_fds + n));
	if (!fds)
		return mp_error_set(-ENOMEM, "start: out of memory");
	if (!old)
		memcpy(fds, a->first_fds, sizeof(int) * a->n_fds);
	a->fds = fds;
	ssize_t size = receive_message(report, &(char){0}, 1, fds + a->n_fds, &n);
	if (size < 0)
		return (int)size;
	if (n == 0)
		return mp_error_set(-EBADMSG, "start data: something is missing");
	a->n_fds += n;
	return 0;
}

static int receive(int report, struct mp__arrival *a)
{
	struct mp__start_head head;
	int r = 0;

	a->n_fds = MP__FDS_MAX;
	ssize_t size = receive_message(report, a->message, sizeof(a->message), a->fds, &a->n_fds);
	if (size < (ssize_t)sizeof(head)) {
		a->n_fds = 0;
		return size < 0 ? (int)size : mp_error_set(-EBADMSG, "start data: too short");
	}
	a->bytes = a->message;
	a->size = (size_t)size;
	memcpy(&head, a->bytes, sizeof(head));
	if (le32toh(head.magic) != MP__START_MAGIC)
		return mp_error_set(-EBADMSG, "start data: bad header");
	while (r == 0 && a->n_fds < le32toh(head.n_fds))
		r = receive_more(report, a);
	if (r == 0 &&
		(a->n_fds > le32toh(head.n_fds) || (a->size == sizeof(head) && a->n_fds == 0)))
		r = mp_error_set(-EBADMSG, "start data: %zu descriptors", a->n_fds);
	return r;
}

/* Large start data: the first descriptor is that of the whole. */
static int open_memfd(struct mp__arrival *a)
{
	if (a->size > sizeof(struct mp__start_head))
		return 0;
	int r = map(a->fds[0], a);
	mp__fds_close(a->fds, 1);
	return r;
}

static int unpack(struct mp__arrival *a)
{
	struct mp__start_head head;

	memcpy(&head, a->bytes, sizeof(head));
	size_t size = le32toh(head.size);
	if (le32toh(head.magic) != MP__START_MAGIC || size > MP__START_SIZE_MAX ||
		size > a->size - sizeof(head))
		return mp_error_set(-EBADMSG, "start data: bad header");
	a->start = mp__process_start__unpack(NULL, size, a->bytes + sizeof(head));
	if (!a->start || !a->start->target)
		return mp_error_set(-EBADMSG, "start data: no mp.ProcessStart");
	a->args = a->bytes + sizeof(head) + size;
	a->args_size = a->size - sizeof(head) - size;
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

static int decode_args(const struct mp__arrival *a, int *fds, size_t n, mp_obj *ret_args)
{
	struct mp__cargo cargo = {.fds = fds, .n_fds = n};

	int r = mp__obj_decode(a->args, a->args_size, &cargo, ret_args);
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
	if (chdir(path) < 0)
		return mp_error_set(-errno, "start: entering the directory '%s': %s", path,
			strerrordesc_np(errno));
	return 0;
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
static int place(const Mp__ProcessStart *start, int *fds, size_t n_fds, size_t first, int *report,
	int *parent_fd)
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
		r = mp__places_clear(places, start->n_places, report, 1);
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
static int take_own_fds(const struct mp__arrival *a, struct mp__child *child)
{
	const Mp__ProcessStart *start = a->start;
	size_t life = a->bytes != a->message; /* behind the memfd */
	size_t directory = life + (start->death != 0);
	size_t n = directory + start->has_directory;

	if (a->n_fds < n || a->n_fds - n < start->n_places || start->death > INT_MAX)
		return mp_error_set(-EBADMSG, "start data: %zu descriptors", a->n_fds);
	child->death = (int)start->death;
	if (start->death != 0)
		child->life = a->fds[life];
	if (start->has_directory)
		child->directory = a->fds[directory];
	return (int)n;
}

/* The dynamic linker's part, constructors of shared objects, is not for the fork server to suffer. */
static int resolve_own(struct mp__arrival *a)
{
	const Mp__ProcessTarget *target = a->start->target;

	return *target->path ? 0 : resolve(target, &a->target);
}

int mp__arrival_receive(int report, struct mp__arrival *a)
{
	a->bytes = NULL;
	a->start = NULL;
	a->target = NULL;
	a->kin = (struct mp__kin){.name = NULL};
	a->fds = a->first_fds;
	int r = receive(report, a);
	if (r == 0)
		r = open_memfd(a);
	if (r == 0)
		r = unpack(a);
	if (r == 0)
		r = resolve_own(a);
	if (r == 0)
		r = introduce(a->start, &a->kin);
	return r;
}

static void unmap(struct mp__arrival *a)
{
	if (a->bytes && a->bytes != a->message)
		munmap((void *)a->bytes, a->size);
	a->bytes = NULL;
}

void mp__arrival_release(struct mp__arrival *a)
{
	free((char *)a->kin.name);
	free((char *)a->kin.lineage);
	free((char *)a->kin.parent_name);
	if (a->start)
		mp__process_start__free_unpacked(a->start, NULL);
	unmap(a);
	mp__fds_close(a->fds, a->n_fds);
	if (a->fds != a->first_fds)
		free(a->fds);
}

int mp__arrival_settle(struct mp__arrival *a, int *report, struct mp__child *ret_child)
{
	const Mp__ProcessStart *start = a->start;
	struct mp__child child = {
		.life = -1, .directory = -1, .null = -1, .args = mp_nil(), .kin = a->kin};
	int r = 0;

	child.kin.parent_fd = mp__kin_here()->parent_fd;
	int n_own = take_own_fds(a, &child);
	if (n_own < 0)
		return n_own;
	if (start->n_places > 0) {
		r = place(start, a->fds, a->n_fds, (size_t)n_own, report, &child.kin.parent_fd);
		take_own_fds(a, &child); /* they may have moved */
	}
	size_t n_gone = (size_t)n_own + start->n_places;
	if (r == 0)
		r = take_setting(start, &child);
	child.target = a->target;
	if (r == 0 && !child.target)
		r = resolve(start->target, &child.target);
	if (r == 0)
		r = decode_args(a, a->fds + n_gone, a->n_fds - n_gone, &child.args);
	if (r == 0)
		r = mp_start_method_set((int)start->default_method);
	child.report = *report;
	child.sigmask = mp__sigset_of_bits(start->blocked);
	if (r == 0)
		*ret_child = child;
	return r;
}

_Noreturn void mp__arrival_run(struct mp__arrival *a, int report)
{
	struct mp__child child;

	int r = mp__arrival_settle(a, &report, &child);
	unmap(a); /* of the rest not more stays than some strings */
	if (r < 0)
		mp__child_failed(report, r);
	mp__child_run(&child);
}

_Noreturn void mp__arrival_start(int report)
{
	struct mp__arrival a;

	MP__TEST_POINT("process.child.entered");
	int r = mp__arrival_receive(report, &a);
	if (r < 0)
		mp__child_failed(report, r);
	mp__arrival_run(&a, report);
}
