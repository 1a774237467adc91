/* SPDX-License-Identifier: MIT */
/*
 * One thread of a run: a loop, its share of the connections, its counts. Its life is a row of
 * phases, and all threads enter them together:
 * - SETUP: the connections are opened; when all have been, or have failed, it says `ready`;
 * - READY, until `go` tells the time of the start;
 * - RUN: requests begin, first in the warm-up, then in the window;
 * - DRAIN: no request begins, those under way are awaited; then it says `drained`;
 * - DRAINED, until `close`;
 * - CLOSE: the connections end; it says `closed`, and ends.
 *
 * What is said between threads goes by messages. The rest belongs to the thread from thread_main()
 * on; the modes use it through what is below.
 */
#ifndef SIMPLE_CLIENT_THREAD_H
#define SIMPLE_CLIENT_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "loop.h"
#include "mode.h"
#include "plan.h"
#include "schedule.h"
#include "session.h"
#include "stats.h"

enum thread_phase {
	THREAD_SETUP,
	THREAD_READY,
	THREAD_RUN,
	THREAD_DRAIN,
	THREAD_DRAINED,
	THREAD_CLOSE,
};

struct thread {
	struct loop loop;
	struct pool pool;
	const struct mode *mode;
	unsigned index;
	enum thread_phase phase;
	bool is_interrupted;
	bool has_connected; /* with `ready`: some connection came about */

	struct session *sessions; /* owned; n, and behind them the probe */
	struct request *requests; /* owned; their rings */
	unsigned n;
	unsigned n_all;     /* with the probe */
	unsigned unsettled; /* SETUP: first tries that have not come to their end */
	unsigned undone;    /* DRAIN: of n_all, those that something is awaited of */
	unsigned unclosed;  /* CLOSE */

	struct schedule schedule; /* of the sessions */
	struct schedule probing;  /* of the probe */
	uint64_t share;           /* of plan->count; UINT64_MAX: the time decides */
	double offset;            /* from `start` to this thread's first request of an open loop */
	int64_t start;            /* of RUN */
	int64_t begin, end;       /* of the window */
	int64_t deadline;         /* in RUN of what is late at the end, then of DRAIN */
	struct loop_source clock; /* an alarm: the next of those */

	/* To the thread. `start` is written before `go` is posted. */
	struct loop_message go, stop, close, show;
	/* From the thread, to `boss`; made by its owner. `shown` follows `show`. */
	struct loop *boss;
	struct loop_message ready, drained, closed, shown;
	struct histogram *so_far; /* owned; a copy of `corrected`, between `show` and `shown` */
};

/* 0 or -errno. `stats` and `pattern` live longer. */
int thread_init(struct thread *t, const struct plan *plan, const struct pattern *pattern,
		struct stats *stats, unsigned index, struct loop *boss);
void thread_deinit(struct thread *t); /* accepts one whose thread_init() failed */

/* For pthread_create(); `arg` is the struct thread. */
void *thread_main(void *arg);

static inline struct thread *thread_of(const struct session *s)
{
	return container_of(s->pool, struct thread, pool);
}

/* An open session needs no place among those that connect any more, and is set up. */
void thread_settle(struct session *s);

/* The session, without a request now, takes the next one; or is done when there is none left. */
void thread_next(struct session *s, int64_t now);

/* Nothing is awaited of the session; once for each, later calls do nothing. */
void thread_done(struct session *s);

/* Nothing is under way: where no more requests come, it is done. */
static inline void thread_idle(struct session *s)
{
	if (thread_of(s)->phase == THREAD_DRAIN)
		thread_done(s);
}

/* Bytes of a stream or of an unmeasured request, which count where the window is open. */
static inline void thread_count_bytes(struct session *s, uint64_t out, uint64_t in)
{
	if (!s->pool->counting)
		return;
	stats_add(&s->pool->stats->bytes_out, out);
	stats_add(&s->pool->stats->bytes_in, in);
}

/* The first request of the session is complete: if it is measured, its times and bytes are. */
static inline void thread_record(struct session *s, int64_t now, uint64_t in)
{
	const struct request *request = session_first(s);
	struct stats *stats = s->pool->stats;

	if (unlikely(request->scheduled < s->schedule->begin)) {
		if (request->scheduled == SESSION_UNMEASURED)
			thread_count_bytes(s, request->size, in);
		return;
	}
	stats_add(&stats->requests, 1);
	stats_add(&stats->bytes_out, request->size);
	stats_add(&stats->bytes_in, in);
	histogram_record(&stats->corrected, now - request->scheduled);
	if (s->schedule->is_open)
		histogram_record(&stats->uncorrected, now - request->sent);
	s->pool->last_answer = now;
}

#endif
