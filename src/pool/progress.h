/* SPDX-License-Identifier: MIT */
/* pool/progress.h - tell the user how far a call is, now and then, in the thread that waits. */
#ifndef MP_POOL_PROGRESS_H
#define MP_POOL_PROGRESS_H

#include "base/deadline.h"

#include <mp/map.h>

struct mp__progress {
	mp_progress_callback *callback; /* NULL: nobody asks */
	void *data;
	size_t total;
	int64_t begin_ns;
	int64_t next_ns;
	int64_t interval_ns;
};

void mp__progress_init(struct mp__progress *progress, mp_progress_callback *callback, void *data,
	int interval_ms, size_t total);
/* Not longer than until somebody has to be told. */
mp__deadline mp__progress_slice(const struct mp__progress *progress, mp__deadline deadline);
/* Call the user if it is time, or if this is the end. No lock is held. */
void mp__progress_tell(struct mp__progress *progress, size_t done, bool end);

#endif
