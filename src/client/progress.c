/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "progress.h"
#include "units.h"

#define INTERVAL_MS 250
#define CLEAR_LINE  "\r\033[K"

/* What all threads have counted so far. */
struct counts {
	uint64_t requests, bytes, errors;
	uint64_t done; /* of what --count is about */
	unsigned open;
};

static struct counts count(const struct progress *progress)
{
	struct counts counts = { 0 };

	for (unsigned i = 0; i < progress->plan->threads; i++) {
		const struct stats *stats = progress->threads[i].pool.stats;

		counts.requests += atomic_load_explicit(&stats->requests, memory_order_relaxed);
		counts.done += atomic_load_explicit(
			progress->plan->mode == MODE_RESET ? &stats->connects : &stats->requests,
			memory_order_relaxed);
		counts.bytes += atomic_load_explicit(&stats->bytes_out, memory_order_relaxed) +
				atomic_load_explicit(&stats->bytes_in, memory_order_relaxed);
		counts.open += atomic_load_explicit(&stats->open, memory_order_relaxed);
		for (int kind = 0; kind < STATS_ERRORS; kind++)
			counts.errors += atomic_load_explicit(&stats->errors[kind],
							      memory_order_relaxed);
	}
	return counts;
}

static void print_p99(const struct histogram *so_far)
{
	char p99[UNITS_MAX];

	if (so_far->count)
		fprintf(stderr, "  p99 %s", units_time(p99, (double)histogram_at(so_far, 0.99)));
}

static void print_left(const struct progress *progress, const struct counts *counts, int64_t now)
{
	const struct plan *plan = progress->plan;
	int64_t left = progress->end > now ? progress->end - now : 0;

	if (plan->count)
		fprintf(stderr, "  %.0f %% done", 100 * (double)counts->done / (double)plan->count);
	else if (progress->end)
		fprintf(stderr, "  %.0f s left", (double)left / 1e9);
}

static void print(struct progress *progress)
{
	char open[UNITS_MAX], rate[UNITS_MAX], bytes[UNITS_MAX], errors[UNITS_MAX];
	struct counts counts = count(progress);
	int64_t now = clock_ns();
	double seconds = (double)(now - progress->shown) / 1e9;

	fprintf(stderr, CLEAR_LINE "%s open  %s/s  %s/s  %s errors", units_count(open, counts.open),
		units_number(rate, (double)(counts.requests - progress->requests) / seconds),
		units_bytes(bytes, (double)(counts.bytes - progress->bytes) / seconds),
		units_count(errors, counts.errors));
	print_p99(&progress->so_far);
	print_left(progress, &counts, now);
	fflush(stderr);
	progress->requests = counts.requests;
	progress->bytes = counts.bytes;
	progress->shown = now;
}

/* Who has not answered the last time is not asked again: a thread may be very busy. */
static void on_timer(struct loop *loop, struct loop_source *source)
{
	struct progress *progress = container_of(source, struct progress, timer);

	source->events = 0;
	loop_arm(loop, source, INTERVAL_MS);
	if (progress->awaited)
		return;
	histogram_init(&progress->so_far);
	progress->awaited = progress->plan->threads;
	for (unsigned i = 0; i < progress->plan->threads; i++)
		loop_post(&progress->threads[i].loop, &progress->threads[i].show);
}

void progress_start(struct progress *progress, struct loop *loop, const struct plan *plan,
		    struct thread *threads)
{
	*progress = (struct progress){
		.loop = loop,
		.plan = plan,
		.threads = threads,
		.shows = !plan->quiet && isatty(STDERR_FILENO),
		.shown = clock_ns(),
	};
	loop_source_init(&progress->timer, -1, on_timer);
	if (progress->shows)
		loop_arm(loop, &progress->timer, INTERVAL_MS);
}

void progress_heard(struct progress *progress, struct thread *thread)
{
	histogram_merge(&progress->so_far, thread->so_far);
	if (--progress->awaited == 0 && progress->shows)
		print(progress);
}

void progress_stop(struct progress *progress)
{
	if (!progress->shows)
		return;
	progress->shows = false;
	loop_disarm(progress->loop, &progress->timer);
	fputs(CLEAR_LINE, stderr);
	fflush(stderr);
}
