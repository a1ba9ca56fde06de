/* SPDX-License-Identifier: MIT */
/*
 * mp/map.h - a pool at work on many items: map, imap, parallel loops, and how far they are.
 *
 *	mp_pool_map(pool, square, items, n, 0, results);        all at once, results in order
 *	mp_pool_imap(pool, square, lines, file, NULL, &imap);    item by item, as results are taken
 *	mp_pool_for(pool, scale, n, array, NULL);                a loop over memory that is shared
 *
 * Threads, forks and the lack of a thread of our own: as for mp/pool.h.
 */
#ifndef MP_MAP_H
#define MP_MAP_H

#include <mp/future.h>
#include <mp/obj.h>
#include <mp/pool.h>

MP__BEGIN_DECLS

/* --- how far ------------------------------------------------------------------------------------ */

typedef struct mp_progress {
	size_t done;
	size_t total;   /* 0: not known */
	double elapsed; /* seconds since the call began */
	double rate;    /* items per second until now */
	double eta;     /* seconds that the rest will take at this rate; < 0: not known */
} mp_progress;

/*
 * Called by the thread that waits, without any lock: first when progress_ms have passed, then as
 * often as that, and at the end. It may use the pool.
 */
typedef void mp_progress_callback(const mp_progress *progress, void *data);

/*
 * One made ready: a bar on standard error, if that is a terminal, else nothing. `data` is a label (a
 * string) or NULL.
 */
void mp_progress_bar(const mp_progress *progress, void *data);

/* --- map ---------------------------------------------------------------------------------------- */

typedef struct mp_map_options {
	size_t size;    /* set by MP_MAP_OPTIONS() */
	uint64_t flags; /* none yet: others than 0 are -EINVAL */
	size_t chunk;   /* items that go to a worker at a time; 0: chosen */
	int timeout_ms; /* for all of it; 0 or less: no limit */
	bool star;      /* each item is a list: the arguments of one call */
	mp_progress_callback *progress;
	void *progress_data;
	int progress_ms; /* 0: 200 */
} mp_map_options;

#define MP_MAP_OPTIONS(...) (&(const mp_map_options){.size = sizeof(mp_map_options), __VA_ARGS__})

/*
 * Run `task` once for each of the n items, with the item as its only argument, and wait for all:
 * results[i] belongs to items[i] and is freed by the caller. `chunk` items go to a worker at a time
 * (0: chosen from n and the number of workers; one that was negative as an int is -EINVAL).
 * The first error in the order of items is returned, and then no result is; tasks that were
 * already handed out still run. Errors of mp_pool_submit() and mp_future_result().
 */
int mp_pool_map(
	mp_pool *pool, mp_task *task, const mp_obj *items, size_t n, size_t chunk, mp_obj *results);
/* The same for items that are lists of arguments. */
int mp_pool_starmap(
	mp_pool *pool, mp_task *task, const mp_obj *items, size_t n, size_t chunk, mp_obj *results);
/*
 * With options. -ETIMEDOUT: chunks that have not begun are cancelled, those that run are told.
 * -E2BIG and -EINVAL of options.
 */
int mp_pool_map_with(mp_pool *pool, mp_task *task, const mp_obj *items, size_t n,
	const mp_map_options *options, mp_obj *results);
/*
 * Hand all of it out and do not wait: the future's result is the list of results, its error the
 * first in the order of items. Cancelling it cancels the chunks. timeout_ms and progress are not for
 * it: -EINVAL.
 */
int mp_pool_map_async(mp_pool *pool, mp_task *task, const mp_obj *items, size_t n,
	const mp_map_options *options, mp_future **ret_future);

/* --- imap --------------------------------------------------------------------------------------- */

typedef struct mp_imap mp_imap;

/*
 * Where items come from: 1 and the next one in *ret_item (which libmp frees if it owns something),
 * 0 there are no more, or a negative error, which the iterator gives at that place. Called by
 * mp_pool_imap() and mp_imap_next(), in their thread, without any lock.
 */
typedef int mp_source(void *data, mp_obj *ret_item);

typedef struct mp_imap_options {
	size_t size;    /* set by MP_IMAP_OPTIONS() */
	uint64_t flags; /* none yet: others than 0 are -EINVAL */
	size_t chunk;   /* items that go to a worker at a time; 0: 1 */
	size_t window; /* chunks under way or waiting to be taken; 0: twice the number of workers */
	bool unordered; /* results as they come */
	bool star;      /* each item is a list: the arguments of one call */
	size_t total;   /* for progress; 0: not known */
	mp_progress_callback *progress;
	void *progress_data;
	int progress_ms; /* 0: 200 */
} mp_imap_options;

#define MP_IMAP_OPTIONS(...) \
	(&(const mp_imap_options){.size = sizeof(mp_imap_options), __VA_ARGS__})

/*
 * Run `task` for each item that `source` gives, and iterate over the results. Never more than `window`
 * chunks are ahead of what has been taken, so that an endless source is fine. -EINVAL, -ENOMEM,
 * -ECHILD, -E2BIG.
 */
int mp_pool_imap(mp_pool *pool, mp_task *task, mp_source *source, void *data,
	const mp_imap_options *options, mp_imap **ret_imap);
/*
 * 1 and the next result, freed by the caller; 0 there are no more. A failed item is the error of one
 * call: what mp_future_result() would return, or what the source returned; the next call goes on.
 * -ETIMEDOUT nothing was taken; errors of mp_pool_submit(). One thread at a time.
 */
int mp_imap_next(mp_imap *imap, int timeout_ms, mp_obj *ret_result);
/* Give up the rest: what has not begun is cancelled, what runs is told. NULL is allowed. Returns 0. */
int mp_imap_close(mp_imap *imap);

/* --- loops over shared memory ------------------------------------------------------------------- */

typedef struct mp_range {
	size_t begin; /* the iterations begin, ..., end - 1 */
	size_t end;
	void *context; /* as given */
	int argc;      /* the arguments, decoded once in each worker */
	const mp_obj *argv;
} mp_range;

/* One piece of the loop: >= 0, or a negative error, after which nobody begins another piece. */
typedef int mp_body(const mp_range *range);

/* A worker died in these iterations: they may have run in part, and do not run again. */
typedef void mp_lost_callback(size_t begin, size_t end, const mp_crash *crash, void *data);

typedef struct mp_for_options {
	size_t size;    /* set by MP_FOR_OPTIONS() */
	uint64_t flags; /* none yet: others than 0 are -EINVAL */
	size_t chunk;   /* iterations in a piece; 0: chosen */
	int timeout_ms; /* for all of it; 0 or less: no limit */
	mp_obj args;    /* list or nil: handles of arrays and the like */
	mp_lost_callback *lost;
	void *lost_data;
	mp_progress_callback *progress;
	void *progress_data;
	int progress_ms; /* 0: 200 */
} mp_for_options;

#define MP_FOR_OPTIONS(...) (&(const mp_for_options){.size = sizeof(mp_for_options), __VA_ARGS__})

/*
 * Run the iterations 0 to n - 1 in pieces that the workers take from a common counter, and wait for
 * all. Nothing is encoded or copied: `context` arrives as the same pointer, which means something
 * where the workers have the same memory there: mapped MAP_SHARED before the pool was made with fork,
 * or workers that are threads. Other memory goes as handles in `args`.
 * 0; the error of a body; -EOWNERDEAD a worker died, and its iterations are lost (`lost` was called
 * for each such piece), all others have run; -ETIMEDOUT pieces that run go on to their end; -EBUSY
 * 16 loops run in this pool already; -EOVERFLOW n is 2^48 or more, or
 * 2^38 pieces or more; errors of mp_pool_submit().
 */
int mp_pool_for(
	mp_pool *pool, mp_body *body, size_t n, void *context, const mp_for_options *options);

MP__END_DECLS

#endif
