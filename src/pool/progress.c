/* SPDX-License-Identifier: MIT */
#include <config.h>

#include "pool/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_MS 200
#define BAR_WIDTH 30

void mp__progress_init(struct mp__progress *progress, mp_progress_callback *callback, void *data,
	int interval_ms, size_t total)
{
	int64_t now = callback ? mp__now_ns() : 0;
	int64_t interval = (int64_t)(interval_ms > 0 ? interval_ms : INTERVAL_MS) * 1000000;

	*progress = (struct mp__progress){.callback = callback,
		.data = data,
		.total = total,
		.begin_ns = now,
		.next_ns = now + interval,
		.interval_ns = interval};
}

mp__deadline mp__progress_slice(const struct mp__progress *progress, mp__deadline deadline)
{
	if (progress->callback && progress->next_ns < deadline.ns)
		return (mp__deadline){progress->next_ns};
	return deadline;
}

void mp__progress_tell(struct mp__progress *progress, size_t done, bool end)
{
	if (!progress->callback)
		return;
	int64_t now = mp__now_ns();
	if (!end && now < progress->next_ns)
		return;
	progress->next_ns = now + progress->interval_ns;
	mp_progress p = {.done = done,
		.total = progress->total,
		.elapsed = (double)(now - progress->begin_ns) * 1e-9,
		.eta = -1};
	if (p.elapsed > 0)
		p.rate = (double)done / p.elapsed;
	if (p.rate > 0 && p.total >= done)
		p.eta = (double)(p.total - done) / p.rate;
	progress->callback(&p, progress->data);
}

void mp_progress_bar(const mp_progress *progress, void *data)
{
	char bar[BAR_WIDTH + 1];
	char line[256];
	const char *label = data ? data : "";

	if (!progress || !isatty(STDERR_FILENO))
		return;
	size_t total = progress->total > progress->done ? progress->total : progress->done;
	size_t filled = total ? (size_t)((double)progress->done / (double)total * BAR_WIDTH) : 0;
	for (size_t i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	bool end = progress->total > 0 && progress->done >= progress->total;
	double seconds = end ? progress->elapsed : progress->eta;
	int n = progress->total == 0
			? snprintf(line, sizeof(line), "\r%.40s%s%zu, %.0f/s\033[K", label,
				  *label ? " " : "", progress->done, progress->rate)
			: snprintf(line, sizeof(line),
				  "\r%.40s%s[%s] %zu/%zu, %.0f/s, %s %.0f s\033[K%s", label,
				  *label ? " " : "", bar, progress->done, progress->total,
				  progress->rate, end ? "took" : "left", seconds < 0 ? 0 : seconds,
				  end ? "\n" : "");
	/* A terminal that does not take it misses a picture of the past. */
	if (n > 0 && write(STDERR_FILENO, line,
			     (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
		return;
}
