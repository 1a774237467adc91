/* SPDX-License-Identifier: MIT */
/*
 * The blocking pool: threads for work that must not stop a loop. A job is embedded in what it is
 * about; it is queued, run in a thread of the pool, and its message delivered on the loop that it
 * names. Jobs begin in the order in which they came.
 *
 * The queue needs no bound of its own: a connection has one job at most and is not read while it
 * has one, so there are never more jobs than connections. The pool allocates nothing for a job.
 *
 * A job wakes one thread, the one that went to sleep last, and none where all have work: the caches
 * of few threads stay warm, and the others sleep for good. A pool without work wakes nobody.
 *
 * Main's thread starts, looks at and stops the pool, once in its life; any thread may submit. The
 * threads inherit main's signal mask. A zeroed pool is one that was never started.
 */
#ifndef SIMPLE_SERVER_POOL_H
#define SIMPLE_SERVER_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "list.h"
#include "loop.h"

struct pool_job {
	void (*work)(void *argument);
	void *argument;
	struct loop *loop;            /* on which `finished` is delivered when the work is done */
	struct loop_message finished; /* its deliver function may free the job */
	/* For the journal; they live as long as the pool. */
	const char *socket, *handler;
	uint64_t connection;
	/* The pool's own from here on. */
	struct list link;
	int64_t queued_ns, begun_ns; /* CLOCK_MONOTONIC */
	bool reported;               /* as taking too long */
};

struct pool_counts {
	unsigned threads, running, queued;
	uint64_t done;
	int64_t longest_ns;                 /* of the jobs that run now */
	int64_t queue_max_ns, queue_sum_ns; /* of all jobs that have begun */
	int64_t work_max_ns, work_sum_ns;   /* of all that are done */
};

struct pool_thread;

struct pool {
	pthread_mutex_t lock; /* of all as far as `stopping` */
	struct list queue;    /* jobs that wait, the oldest first */
	struct list idle;     /* threads that sleep, the last to go to sleep at the end */
	struct pool_thread *threads;
	struct pool_counts counts; /* all but longest_ns */
	int64_t budget_ns;         /* of the last pool_look(); 0: any time */
	bool watched, stopping;
	struct loop *main_loop;
	struct loop_message on_busy;
	void (*busy)(struct pool *pool);
};

/*
 * Starts `threads` > 0 threads, pool-0 and so on. `busy` runs on `main_loop` when there is work for
 * a pool of which pool_look() said, or at the start, that it is idle. 0 or -errno.
 */
int pool_start(struct pool *pool, unsigned threads, struct loop *main_loop,
	       void (*busy)(struct pool *pool));

/* From any thread, but not at the same time as pool_stop() or after it. Never fails. */
void pool_submit(struct pool *pool, struct pool_job *job);

/*
 * Runs what was submitted to its end, however long that takes, and joins the threads. The messages
 * have been posted then, so the loops must still be there. Accepts a pool that was never started.
 */
void pool_stop(struct pool *pool);

/*
 * Logs each job that has been running for longer than `budget_ns` (0: none), once. false: the pool
 * is idle, and there is nothing to look at until `busy`; true: look again in a second or so.
 *
 * A job that returns later than the budget of the last look, and was not logged by one, is logged
 * with the time that it took. So `busy` looks at once: before the first look there is no budget.
 */
bool pool_look(struct pool *pool, int64_t budget_ns);

/*
 * false: a job has waited for longer than `patience_ns` although a thread is free to take it. That
 * all of them are at work for long says nothing: see watchdog.h. Main's thread.
 */
bool pool_moves(struct pool *pool, int64_t patience_ns);

/* What the pool does at this moment, and what it has done. From where pool_submit() may come. */
void pool_counts(struct pool *pool, struct pool_counts *ret);

#endif
