/* SPDX-License-Identifier: MIT */
/* The timer is set to the next request only while somebody could begin it. */
#include "alarm.h"
#include "clock.h"
#include "schedule.h"

static void on_timer(struct loop *loop, struct loop_source *source)
{
	struct schedule *schedule = container_of(source, struct schedule, timer);

	(void)loop;
	source->events = 0;
	schedule->armed = 0;
	schedule_dispatch(schedule, clock_ns());
}

int schedule_init(struct schedule *schedule, struct loop *loop, double step, schedule_give_fn *give,
		  schedule_spent_fn *spent)
{
	*schedule = (struct schedule){
		.loop = loop,
		.is_open = step > 0,
		.step = step,
		.begin = INT64_MAX,
		.end = INT64_MIN,
		.give = give,
		.spent = spent,
	};
	list_init(&schedule->free);
	loop_source_init(&schedule->timer, -1, on_timer);
	return schedule->is_open ? alarm_init(&schedule->timer, loop, on_timer) : 0;
}

void schedule_deinit(struct schedule *schedule)
{
	if (schedule->loop)
		alarm_deinit(&schedule->timer, schedule->loop);
}

static void step(struct schedule *schedule)
{
	schedule->index++;
	schedule->next = schedule->first + (int64_t)((double)schedule->index * schedule->step);
}

void schedule_advance(struct schedule *schedule)
{
	step(schedule);
	if (!schedule->left || (schedule->is_open && schedule->next >= schedule->end))
		schedule->spent(schedule);
}

void schedule_start(struct schedule *schedule, int64_t first, int64_t begin, int64_t end,
		    uint64_t most)
{
	schedule->first = schedule->next = first;
	schedule->begin = begin;
	schedule->end = end;
	schedule->left = most;
	if (!most)
		schedule->spent(schedule);
}

uint64_t schedule_stop(struct schedule *schedule, int64_t now)
{
	int64_t end = schedule->end < now ? schedule->end : now;
	uint64_t over = 0;

	while (schedule_has_more(schedule) && schedule->next < end) {
		if (schedule->next >= schedule->begin) {
			schedule->left--;
			over++;
		}
		step(schedule);
	}
	schedule->end = INT64_MIN;
	return over;
}

void schedule_dispatch(struct schedule *schedule, int64_t now)
{
	int64_t time;

	while (!list_empty(&schedule->free) && schedule_take(schedule, now, &time))
		schedule->give(schedule, list_pop(&schedule->free), time);
	if (list_empty(&schedule->free) || !schedule_has_more(schedule) ||
	    schedule->armed == schedule->next)
		return;
	alarm_set(&schedule->timer, schedule->loop, schedule->next);
	schedule->armed = schedule->next;
}
