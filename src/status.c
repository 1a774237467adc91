/* SPDX-License-Identifier: MIT */
/* See status.h. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

struct line {
	char *text;
	size_t used;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
	size_t room = STATUS_MAX - line->used;
	va_list args;

	va_start(args, format);
	int n = vsnprintf(line->text + line->used, room, format, args);
	va_end(args);
	if (n >= 0)
		line->used += (size_t)n < room ? (size_t)n : room - 1;
}

uint64_t status_accepted(const struct services *services)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < services->count; i++)
		sum += atomic_load(&services->list[i].accepted);
	return sum;
}

static uint64_t turned_away(const struct services *services)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < services->count; i++)
		for (int verdict = 0; verdict < SERVICE_VERDICTS; verdict++)
			sum += atomic_load(&services->list[i].turned_away[verdict]);
	return sum;
}

static void add_connections(struct line *line, const struct status *status)
{
	add(line, "%s: %u connections open", status->verb, workers_connections(status->workers));
	if (status->left_s >= 0)
		add(line, ", %d s left;", status->left_s);
	else
		add(line, " of at most %u,", status->services->capacity->max_connections);
	add(line, " %llu accepted and %llu turned away since the start; %zu sockets, %u workers",
	    (unsigned long long)status_accepted(status->services),
	    (unsigned long long)turned_away(status->services), status->n_sockets,
	    status->workers->count);
}

static void add_pool(struct line *line, struct pool *pool)
{
	struct pool_counts counts;

	pool_counts(pool, &counts);
	add(line, "; pool: %u of %u threads at work, %u jobs wait, %llu done", counts.running,
	    counts.threads, counts.queued, (unsigned long long)counts.done);
	if (counts.done)
		add(line, ", %.1f ms in the queue and %.1f ms at work on average",
		    (double)counts.queue_sum_ns / 1e6 / (double)counts.done,
		    (double)counts.work_sum_ns / 1e6 / (double)counts.done);
	if (counts.running)
		add(line, ", the longest for %.1f s", (double)counts.longest_ns / 1e9);
}

static void add_counters(struct line *line, const struct service *service,
			 const struct workers *workers)
{
	const char *const *names = service->handler->counters;

	for (unsigned i = 0; names && names[i]; i++) {
		if (i == 0)
			add(line, "; %s:", service->name);
		add(line, "%s %s %lld", i ? "," : "", names[i],
		    (long long)workers_counter(workers, service, i));
	}
}

const char *status_format(char out[STATUS_MAX], const struct status *status)
{
	struct line line = { .text = out };

	add_connections(&line, status);
	if (*status->note)
		add(&line, "; %s", status->note);
	if (status->pool)
		add_pool(&line, status->pool);
	for (size_t i = 0; i < status->services->count; i++)
		add_counters(&line, &status->services->list[i], status->workers);
	return out;
}
