/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "alarm.h"
#include "clock.h"
#include "thread-private.h"

#define PROBE_INTERVAL_NS (50 * CLOCK_MS)

/* What is `whole` for all is so much for this thread. */
static uint64_t share_of(uint64_t whole, const struct thread *t)
{
	unsigned threads = t->pool.plan->threads;

	return whole / threads + (t->index < whole % threads);
}

/* How many of them the threads before this one have. */
static unsigned first_of(unsigned whole, const struct thread *t)
{
	unsigned threads = t->pool.plan->threads, rest = whole % threads;

	return whole / threads * t->index + (t->index < rest ? t->index : rest);
}

/* The requests of all threads together are at even distances. */
static int init_schedules(struct thread *t)
{
	const struct plan *plan = t->pool.plan;
	double step = 0;

	if (plan->rate > 0)
		step = 1e9 / plan->rate * plan->threads;
	else if (t->mode->paced)
		step = (double)plan->interval_ns / t->n;
	t->offset = step / plan->threads * t->index;
	int r = schedule_init(&t->schedule, &t->loop, step, thread_give, thread_spent);
	if (r == 0)
		r = schedule_init(&t->probing, &t->loop, t->mode->probes ? PROBE_INTERVAL_NS : 0,
				  thread_give, thread_spent);
	return r;
}

static int init_sessions(struct thread *t, unsigned first)
{
	unsigned depth = t->pool.plan->depth;

	t->sessions = calloc(t->n_all, sizeof(*t->sessions));
	t->requests = calloc((size_t)t->n_all * depth, sizeof(*t->requests));
	t->pool.buffer = malloc(PATTERN_WINDOW);
	t->so_far = malloc(sizeof(*t->so_far));
	if (!t->sessions || !t->requests || !t->pool.buffer || !t->so_far)
		return -ENOMEM;
	for (unsigned i = 0; i < t->n_all; i++) {
		bool probe = i == t->n;

		session_init(&t->sessions[i], &t->pool, probe ? &mode_probe : t->mode,
			     probe ? &t->probing : &t->schedule, t->requests + (size_t)i * depth,
			     depth, probe ? t->pool.plan->connections + t->index : first + i);
	}
	return 0;
}

static void init_pool(struct thread *t, const struct plan *plan, const struct pattern *pattern,
		      struct stats *stats)
{
	t->pool = (struct pool){
		.loop = &t->loop,
		.plan = plan,
		.pattern = pattern,
		.stats = stats,
		.random = plan->seed + t->index + 1,
	};
	list_init(&t->pool.queue);
	t->pool.most_connecting = (unsigned)share_of(plan->connecting, t);
	if (t->pool.most_connecting == 0)
		t->pool.most_connecting = 1;
}

int thread_init(struct thread *t, const struct plan *plan, const struct pattern *pattern,
		struct stats *stats, unsigned index, struct loop *boss)
{
	*t = (struct thread){
		.mode = mode_find(plan->mode),
		.index = index,
		.begin = INT64_MAX,
		.end = INT64_MAX,
		.start = INT64_MAX,
		.deadline = INT64_MAX,
		.clock.fd = -1,
		.boss = boss,
	};
	init_pool(t, plan, pattern, stats);
	thread_bind(t);
	t->n = (unsigned)share_of(plan->connections, t);
	t->n_all = t->n + t->mode->probes;
	t->share = plan->count ? share_of(plan->count, t) : UINT64_MAX;
	unsigned first = first_of(plan->connections, t);
	t->pool.next_address = t->pool.next_source = first;
	int r = loop_init(&t->loop);
	if (r == 0)
		r = alarm_init(&t->clock, &t->loop, thread_on_clock);
	if (r == 0)
		r = init_schedules(t);
	return r < 0 ? r : init_sessions(t, first);
}

void thread_deinit(struct thread *t)
{
	schedule_deinit(&t->probing);
	schedule_deinit(&t->schedule);
	alarm_deinit(&t->clock, &t->loop);
	loop_deinit(&t->loop);
	free(t->so_far);
	free(t->pool.buffer);
	free(t->requests);
	free(t->sessions);
}
