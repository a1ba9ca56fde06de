/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "mpctl/scene.h"

#include "shm/segment.h"
#include "sync/board_layout.h"
#include "sync/lock_layout.h"
#include "sync/rwlock_layout.h"
#include "sync/semaphore_layout.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A slab has 16 MiB, or one large object. */
#define SLAB_READ_MAX (UINT64_C(64) << 20)
#define SLAB_STEP 64
#define CELL_TRIES 100

/* --- growing arrays -------------------------------------------------------------------------------- */

/* Room for one more of `size` bytes behind the n that there are; NULL, and noted. */
static void *one_more(struct scene *s, void *array, size_t n, size_t size)
{
	void *items;

	memcpy(&items, array, sizeof(items)); /* `array` points to a pointer to some struct */
	if ((n & (n - 1)) == 0) {             /* doubled at each power of two */
		items = realloc(items, (n ? 2 * n : 1) * size);
		if (!items) {
			s->no_memory = true;
			return NULL;
		}
		memcpy(array, &items, sizeof(items));
	}
	return (char *)items + n * size;
}

static void add_party(struct scene *s, struct party **array, size_t *n, struct party party)
{
	struct party *at = one_more(s, array, *n, sizeof(party));

	if (at) {
		*at = party;
		(*n)++;
	}
}

/* A node of the tree that finds an object by its place. */
struct place {
	struct object at;
	size_t index;
};

static int order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_places(const void *left, const void *right)
{
	const struct object *a = &((const struct place *)left)->at;
	const struct object *b = &((const struct place *)right)->at;
	int r = order(a->dev, b->dev);

	r = r ? r : order(a->ino, b->ino);
	r = r ? r : order(a->offset, b->offset);
	return r ? r : order((uint64_t)a->pid, (uint64_t)b->pid);
}

/* Its index, new or known; SIZE_MAX without memory. */
static size_t add_object(struct scene *s, const struct object *object)
{
	struct place *place = malloc(sizeof(*place));
	struct place **node = NULL;

	if (place) {
		*place = (struct place){*object, s->n_objects};
		node = tsearch(place, &s->places, compare_places);
	}
	if (node && *node != place) {
		free(place);
		return (*node)->index;
	}
	struct object *at = node ? one_more(s, &s->objects, s->n_objects, sizeof(*object)) : NULL;
	if (!at) {
		if (node)
			tdelete(place, &s->places, compare_places);
		free(place);
		s->no_memory = true;
		return SIZE_MAX;
	}
	*at = *object;
	return s->n_objects++;
}

static void add_holder(struct scene *s, const struct object *object, mp__stamp stamp, bool process)
{
	if (mp__stamp_tid(stamp) == 0)
		return;
	size_t index = add_object(s, object);
	if (index == SIZE_MAX)
		return;
	s->objects[index].n_holders++;
	add_party(s, &s->holders, &s->n_holders,
		(struct party){
			.object = index, .stamp = stamp & ~MP__STAMP_MARKS, .process = process});
}

/* --- objects of a managerd ----------------------------------------------------------------------------- */

/* What can have one holder; of others it is not known who will release them. */
static bool has_one_holder(const struct served *object)
{
	return strcmp(object->class_name, "lock") == 0 || strcmp(object->class_name, "rlock") == 0;
}

void scene_add_served(
	struct scene *s, const struct served *object, pid_t pid, uint32_t thread, int64_t since_ns)
{
	mp__stamp stamp = thread > 0 && thread <= INT32_MAX ? mp__stamp_of((int32_t)thread) : 0;
	struct object o = {.offset = (uint64_t)object->number};
	bool known = stamp && scene_pid(stamp) == pid;

	if (pid <= 0)
		return;
	o.served = malloc(sizeof(*o.served));
	if (!o.served) {
		s->no_memory = true;
		return;
	}
	*o.served = *object;
	size_t before = s->n_objects;
	size_t index = add_object(s, &o);
	if (index != before)
		free(o.served);
	if (index == SIZE_MAX)
		return;
	struct party party = {.object = index,
		.stamp = known ? stamp : mp__stamp_of(pid),
		.process = !known || (!since_ns && !has_one_holder(object)),
		.since_ns = since_ns};
	if (since_ns) {
		add_party(s, &s->waiters, &s->n_waiters, party);
	} else {
		s->objects[index].n_holders++;
		add_party(s, &s->holders, &s->n_holders, party);
	}
}

/* --- slabs: who has what ----------------------------------------------------------------------------- */

static size_t look_at_rwlock(
	struct scene *s, const struct object *o, const struct mp__rwlock *rw, size_t left)
{
	if (left < sizeof(*rw))
		return SLAB_STEP;
	add_holder(s, o, mp__owner_of(&rw->word), false);
	for (size_t i = 0; i < MP_RWLOCK_READERS_MAX; i++)
		add_holder(s, o, atomic_load(&rw->cells[i].stamp), false);
	return sizeof(*rw);
}

static size_t look_at_semaphore(
	struct scene *s, const struct object *o, const struct mp__semaphore *sem, size_t left)
{
	size_t cells = atomic_load(&sem->n_cells);

	if (left < sizeof(*sem) + cells * sizeof(sem->cells[0]))
		return SLAB_STEP;
	for (size_t i = 0; i < cells; i++) {
		if (atomic_load(&sem->cells[i].count) > 0)
			add_holder(s, o, atomic_load(&sem->cells[i].process), true);
	}
	return sizeof(*sem) + cells * sizeof(sem->cells[0]);
}

/* One object, if there is one: how many bytes to the next place where one may begin. */
static size_t look_at(struct scene *s, struct object *o, const void *at, size_t left)
{
	const struct mp__sync_head *head = at;
	size_t size = SLAB_STEP;

	if (left < sizeof(struct mp__lock))
		return left;
	o->magic = atomic_load(&head->magic);
	memcpy(o->name, head->name, sizeof(o->name));
	o->name[sizeof(o->name) - 1] = '\0';
	if (o->magic == MP__MAGIC_LOCK || o->magic == MP__MAGIC_RLOCK)
		add_holder(s, o, mp__owner_of(&((const struct mp__lock *)at)->word), false);
	else if (o->magic == MP__MAGIC_RWLOCK)
		size = look_at_rwlock(s, o, at, left);
	else if (o->magic == MP__MAGIC_SEMAPHORE)
		size = look_at_semaphore(s, o, at, left);
	return (size + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP;
}

static void read_slab(struct scene *s, int fd, const struct stat *st)
{
	struct mp__segment_header header;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
		header.magic != MP__SEGMENT_MAGIC || header.kind != MP__SEGMENT_SLAB)
		return;
	uint64_t size = atomic_load(&header.size);
	if (size > (uint64_t)st->st_size)
		size = (uint64_t)st->st_size;
	if (size > SLAB_READ_MAX)
		size = SLAB_READ_MAX;
	char *copy = aligned_alloc(SLAB_STEP, (size + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP);
	ssize_t n = copy ? pread(fd, copy, size, 0) : 0;
	if (!copy)
		s->no_memory = true;
	for (size_t at = sizeof(header); n > 0 && at < (size_t)n;) {
		struct object o = {.dev = st->st_dev, .ino = st->st_ino, .offset = at};
		at += look_at(s, &o, copy + at, (size_t)n - at);
	}
	free(copy);
}

/* --- boards: who waits --------------------------------------------------------------------------------- */

pid_t scene_pid(mp__stamp stamp)
{
	char path[64];
	char line[256];
	int pid = 0;

	if (!mp__stamp_is_of_here(stamp))
		return 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)mp__stamp_tid(stamp));
	FILE *file = mp__stamp_thread_dead(stamp) ? NULL : fopen(path, "re");
	while (file && fgets(line, sizeof(line), file) && sscanf(line, "Tgid: %d", &pid) != 1)
		;
	if (file)
		fclose(file);
	return pid;
}

/* Where an address of a process lies. false: nowhere, or it can't be read. */
static bool locate(pid_t pid, uint64_t address, struct object *o)
{
	char path[64];
	char line[512];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "re");
	while (maps && !found && fgets(line, sizeof(line), maps)) {
		uint64_t start, end, offset, ino;
		unsigned major, minor;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64, &start,
			    &end, &offset, &major, &minor, &ino) != 6 ||
			address < start || address >= end)
			continue;
		found = true;
		o->ino = (ino_t)ino;
		o->dev = ino ? makedev(major, minor) : 0;
		o->pid = ino ? 0 : pid;
		o->offset = ino ? offset + (address - start) : address;
	}
	if (maps)
		fclose(maps);
	return found;
}

/* A copy that was not changed while it was made; or false. */
static bool read_cell(int fd, size_t index, struct mp__board_cell *ret)
{
	off_t at = (off_t)(offsetof(struct mp__board, cells) + index * sizeof(*ret));

	for (int tries = 0; tries < CELL_TRIES; tries++) {
		uint32_t before;
		uint32_t after;
		off_t change = at + (off_t)offsetof(struct mp__board_cell, change);
		if (pread(fd, &before, sizeof(before), change) != sizeof(before) ||
			pread(fd, ret, sizeof(*ret), at) != sizeof(*ret) ||
			pread(fd, &after, sizeof(after), change) != sizeof(after))
			return false;
		if (before == after && !(before & 1))
			return true;
	}
	return false;
}

static void add_waiter(struct scene *s, pid_t pid, const struct mp__board_cell *cell)
{
	mp__stamp thread = atomic_load(&cell->thread);
	mp__stamp owner = atomic_load(&cell->owner) & ~MP__STAMP_MARKS;
	struct object o = {.magic = atomic_load(&cell->kind)};

	if (!locate(pid, atomic_load(&cell->object), &o))
		return;
	memcpy(o.name, (const void *)cell->name, sizeof(o.name));
	o.name[sizeof(o.name) - 1] = '\0';
	size_t index = add_object(s, &o);
	if (index == SIZE_MAX)
		return;
	add_party(s, &s->waiters, &s->n_waiters,
		(struct party){.object = index,
			.stamp = thread,
			.since_ns = atomic_load(&cell->since_ns)});
	/* Of an object in other memory the board alone tells the holder. */
	if (owner != thread && s->objects[index].n_holders == 0)
		add_holder(s, &o, owner, false);
}

/*
 * The cells of this process' own threads. Others' stand there too, in a family; whether theirs are
 * true is known when the board is found among their descriptors.
 */
static void read_board(struct scene *s, pid_t pid, int fd)
{
	struct mp__board *copy = malloc(sizeof(*copy));
	struct mp__board_cell cell;

	s->no_memory = s->no_memory || !copy;
	if (copy && pread(fd, copy, sizeof(*copy), 0) == sizeof(*copy) &&
		copy->magic == MP__BOARD_MAGIC) {
		for (size_t i = 0; i < MP__BOARD_CELLS; i++) {
			if (atomic_load(&copy->cells[i].kind) == 0 ||
				scene_pid(atomic_load(&copy->cells[i].thread)) != pid)
				continue;
			if (read_cell(fd, i, &cell) && atomic_load(&cell.kind) != 0 &&
				atomic_load(&cell.thread) == atomic_load(&copy->cells[i].thread))
				add_waiter(s, pid, &cell);
		}
	}
	free(copy);
}

static int compare_waiters(const void *left, const void *right)
{
	const struct party *a = left;
	const struct party *b = right;
	int r = order(a->stamp, b->stamp);

	return r ? r : order((uint64_t)a->since_ns, (uint64_t)b->since_ns);
}

static int compare_holders(const void *left, const void *right)
{
	const struct party *a = left;
	const struct party *b = right;
	int r = order(a->object, b->object);

	return r ? r : order(a->stamp, b->stamp);
}

static int compare_threads(const void *thread, const void *party)
{
	return order(*(const mp__stamp *)thread, ((const struct party *)party)->stamp);
}

const struct party *scene_wait_of(const struct scene *s, mp__stamp thread)
{
	if (s->n_waiters == 0)
		return NULL;
	return bsearch(&thread, s->waiters, s->n_waiters, sizeof(s->waiters[0]), compare_threads);
}

/* A thread waits for one thing at a time, whatever its board says. */
static void sort_waiters(struct scene *s)
{
	size_t n = 0;

	if (s->n_waiters > 0)
		qsort(s->waiters, s->n_waiters, sizeof(s->waiters[0]), compare_waiters);
	for (size_t i = 0; i < s->n_waiters; i++) {
		if (n == 0 || s->waiters[n - 1].stamp != s->waiters[i].stamp)
			s->waiters[n++] = s->waiters[i];
	}
	s->n_waiters = n;
}

/*
 * Each once, and none who waits for the object: a writer that waits for readers to leave keeps others
 * out, but does not have the rwlock yet.
 */
static void sort_holders(struct scene *s)
{
	size_t n = 0;

	if (s->n_holders > 0)
		qsort(s->holders, s->n_holders, sizeof(s->holders[0]), compare_holders);
	for (size_t i = 0; i < s->n_holders; i++) {
		const struct party *p = &s->holders[i];
		const struct party *wait = p->process ? NULL : scene_wait_of(s, p->stamp);
		if (wait && wait->object == p->object)
			continue;
		if (n == 0 || compare_holders(&s->holders[n - 1], p) != 0)
			s->holders[n++] = *p;
	}
	s->n_holders = n;
	for (size_t i = 0; i < s->n_objects; i++)
		s->objects[i].n_holders = 0;
	while (n-- > 0) {
		struct object *o = &s->objects[s->holders[n].object];
		o->first_holder = n;
		o->n_holders++;
	}
}

/* --- processes ---------------------------------------------------------------------------------------- */

enum file_kind { FILE_SLAB, FILE_BOARD };

/* Files that were read already. */
struct seen {
	dev_t dev;
	ino_t ino;
};
static struct seen *seen;
static size_t n_seen;

static bool is_new(struct scene *s, const struct stat *st)
{
	for (size_t i = 0; i < n_seen; i++) {
		if (seen[i].dev == st->st_dev && seen[i].ino == st->st_ino)
			return false;
	}
	struct seen *at = one_more(s, &seen, n_seen, sizeof(*at));
	if (!at)
		return false;
	*at = (struct seen){st->st_dev, st->st_ino};
	n_seen++;
	return true;
}

static void read_file(struct scene *s, pid_t pid, int dir, const char *name, enum file_kind kind)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (kind == FILE_BOARD)
			read_board(s, pid, fd);
		else if (is_new(s, &st))
			read_slab(s, fd, &st);
	}
	close(fd);
}

static void read_process(struct scene *s, pid_t pid, enum file_kind kind)
{
	const char *wanted = kind == FILE_SLAB ? "/memfd:mp-slab (deleted)"
					       : "/memfd:" MP__BOARD_NAME " (deleted)";
	char path[64];
	char target[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	if (!dir) {
		s->unreadable += errno == EACCES && kind == FILE_BOARD;
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target));
		if (n == (ssize_t)strlen(wanted) && memcmp(target, wanted, (size_t)n) == 0)
			read_file(s, pid, dirfd(dir), e->d_name, kind);
	}
	closedir(dir);
}

int scene_read(struct scene *scene, scene_source *more, void *data)
{
	*scene = (struct scene){0};
	/* Holders first: who waits is added to the objects that are known then. */
	for (enum file_kind kind = FILE_SLAB; kind <= FILE_BOARD; kind++) {
		DIR *proc = opendir("/proc");
		if (!proc)
			return -1;
		for (struct dirent *e; (e = readdir(proc));) {
			if (isdigit((unsigned char)e->d_name[0]))
				read_process(scene, atoi(e->d_name), kind);
		}
		closedir(proc);
	}
	int r = more ? more(scene, data) : 0;
	free(seen);
	seen = NULL;
	n_seen = 0;
	tdestroy(scene->places, free);
	scene->places = NULL;
	sort_waiters(scene);
	sort_holders(scene);
	return r;
}

void scene_free(struct scene *scene)
{
	for (size_t i = 0; i < scene->n_objects; i++)
		free(scene->objects[i].served);
	free(scene->objects);
	free(scene->holders);
	free(scene->waiters);
}
