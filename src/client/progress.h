/* SPDX-License-Identifier: MIT */
/*
 * The line on a terminal that says how the run goes, four times a second: done so far, rate,
 * errors, p99 so far, time left. Belongs to main's thread; the threads of the run are asked by
 * messages.
 */
#ifndef SIMPLE_CLIENT_PROGRESS_H
#define SIMPLE_CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "loop.h"
#include "plan.h"
#include "thread.h"

struct progress {
	struct loop *loop;
	const struct plan *plan;
	struct thread *threads;
	struct loop_source timer; /* a timer alone */
	bool shows;               /* stderr is a terminal, and nobody wants quiet */
	unsigned awaited;         /* threads that have not said how far they are */
	uint64_t requests, bytes; /* at the time of the last line */
	int64_t shown;            /* that time, CLOCK_MONOTONIC */
	int64_t end;              /* of the window; 0: not known */
	struct histogram so_far;
};

void progress_start(struct progress *progress, struct loop *loop, const struct plan *plan,
		    struct thread *threads);

/* thread->shown, delivered to main's loop. */
void progress_heard(struct progress *progress, struct thread *thread);

/* Takes the line away; no more lines. */
void progress_stop(struct progress *progress);

#endif
