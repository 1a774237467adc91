/* SPDX-License-Identifier: MIT */
/*
 * When requests begin, and how many. In a closed loop one may begin whenever a connection is free.
 * In an open loop each has its time, at even distances from the start on, whatever the server does:
 * what is due when no connection is free waits for one, and its latency counts from its time. No
 * queue is needed for that, only the time of the next one.
 *
 * Belongs to the thread of its loop. All times are CLOCK_MONOTONIC in ns.
 */
#ifndef SIMPLE_CLIENT_SCHEDULE_H
#define SIMPLE_CLIENT_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "list.h"
#include "loop.h"

struct schedule;

/* Has the one behind `link`, which was in `free` and is no longer, begin a request. */
typedef void schedule_give_fn(struct schedule *schedule, struct list *link, int64_t scheduled);

/* The last request that may begin has begun. */
typedef void schedule_spent_fn(struct schedule *schedule);

struct schedule {
	struct loop *loop;
	struct loop_source timer; /* an alarm; in a closed loop fd -1 */
	bool is_open;
	int64_t begin, end; /* requests of the times from begin to before end are measured */
	uint64_t left;      /* of those, how many may still begin */
	int64_t next;       /* open loop: the time of the next request */
	uint64_t index;     /* open loop: and its number */
	int64_t first;      /* open loop: the time of number 0 */
	double step;        /* open loop: between two */
	int64_t armed;      /* the time that the timer is set to; 0: none */
	struct list free;   /* open loop: who could begin a request, the longest waiting first */
	schedule_give_fn *give;
	schedule_spent_fn *spent;
};

/* A `step` of 0 makes a closed loop. Nothing begins before schedule_start(). 0 or -errno. */
int schedule_init(struct schedule *schedule, struct loop *loop, double step, schedule_give_fn *give,
		  schedule_spent_fn *spent);
void schedule_deinit(struct schedule *schedule); /* accepts one whose schedule_init() failed */

/* From `first` on; measured are `most` requests from the time `begin` to before `end`. */
void schedule_start(struct schedule *schedule, int64_t first, int64_t begin, int64_t end,
		    uint64_t most);

/* No more begin. How many of the times before `now` are left over. */
uint64_t schedule_stop(struct schedule *schedule, int64_t now);

/* The open loop: a request is due before the end that has not begun. */
static inline bool schedule_has_more(const struct schedule *schedule)
{
	return schedule->is_open && schedule->left && schedule->next < schedule->end;
}

/* Where an open loop goes on, and where either has come to its last request. */
void schedule_advance(struct schedule *schedule);

/* Whether a request begins at `now`; then its time is in *ret_scheduled. */
static inline bool schedule_take(struct schedule *schedule, int64_t now, int64_t *ret_scheduled)
{
	int64_t time = schedule->is_open ? schedule->next : now;

	if (time > now || time >= schedule->end || !schedule->left)
		return false;
	*ret_scheduled = time;
	if (time >= schedule->begin)
		schedule->left--;
	if (schedule->is_open || !schedule->left)
		schedule_advance(schedule);
	return true;
}

/* A closed loop: `n` requests have come about by themselves. How many of them count. */
static inline uint64_t schedule_spend(struct schedule *schedule, uint64_t n)
{
	uint64_t counted = n < schedule->left ? n : schedule->left;

	schedule->left -= counted;
	if (counted && !schedule->left)
		schedule_advance(schedule);
	return counted;
}

/* The open loop: `link` can begin a request, and waits for its turn. */
static inline void schedule_wait(struct schedule *schedule, struct list *link)
{
	if (list_empty(link))
		list_add_tail(&schedule->free, link);
}

/* The open loop: gives what is due to those that wait, in turn. */
void schedule_dispatch(struct schedule *schedule, int64_t now);

#endif
