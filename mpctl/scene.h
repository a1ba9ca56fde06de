/* SPDX-License-Identifier: MIT */
/*
 * mpctl/scene.h - who has and who waits for which object of sync, read from outside.
 *
 * Holders stand in the objects themselves: those of the slabs (memfds that libmp's processes keep
 * open) are all found. Who waits stands on the boards (src/sync/board_layout.h), and tells also of
 * objects in other memory. An object is known by the file and the offset where it lies, so that it is
 * one object however many processes have it at whatever addresses.
 *
 * Everything read here was written by others, who go on writing: it is read once into private memory,
 * checked, and may be outdated when it is printed. A board is believed about the threads of those
 * processes that have it open, so nobody can make it seem that others wait.
 */
#ifndef MPCTL_SCENE_H
#define MPCTL_SCENE_H

#include "base/stamp.h"
#include "sync/head.h"

#include <stddef.h>
#include <sys/types.h>

#define SCENE_NAME_SIZE 256

struct object {
	uint32_t magic;
	char name[MP__SYNC_NAME_SIZE];
	struct served *served; /* NULL, or it is an object of a managerd */
	dev_t dev;             /* with ino: of the file; both 0 in private memory */
	ino_t ino;
	uint64_t offset; /* in the file; an address in private memory */
	pid_t pid;       /* of private memory; else 0 */
	size_t first_holder, n_holders;
};

/* What a managerd says of its object. */
struct served {
	int64_t number;
	char class_name[64];
	char name[SCENE_NAME_SIZE]; /* "": none */
};

/* A thread, or a whole process, that has an object or waits for it. */
struct party {
	size_t object; /* index */
	mp__stamp stamp;
	bool process;     /* all its threads have it */
	int64_t since_ns; /* CLOCK_MONOTONIC; 0 of holders */
};

struct scene {
	struct object *objects;
	struct party *holders; /* by object */
	struct party *waiters; /* by thread: one each */
	void *places;          /* a tree, while it is read */
	size_t n_objects, n_holders, n_waiters;
	size_t unreadable; /* processes */
	bool no_memory;
};

/* Adds what somebody else knows; nonzero ends the reading. */
typedef int scene_source(struct scene *scene, void *data);

/* 0; -1: /proc can't be read; what `more` returned, which may be NULL. */
int scene_read(struct scene *scene, scene_source *more, void *data);
void scene_free(struct scene *scene);

/*
 * For such a source: somebody has the object, or waits for it since then (0: has it). The thread is
 * the client's word for it; if that is none of the process, the process stands for it.
 */
void scene_add_served(struct scene *scene, const struct served *object, pid_t pid, uint32_t thread,
	int64_t since_ns);

/* What a thread waits for, NULL nothing. */
const struct party *scene_wait_of(const struct scene *scene, mp__stamp thread);

/* The process of a stamp's thread, 0 when it is gone. */
pid_t scene_pid(mp__stamp stamp);

#endif
