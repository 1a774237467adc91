/* SPDX-License-Identifier: MIT */
/*
 * A source that is called at a time of CLOCK_MONOTONIC, to the microsecond where the loop has time:
 * a timerfd. A loop with thousands of ready descriptors comes to that one late; therefore the
 * source has the loop's own deadline too, which is looked at in each turn and some milliseconds
 * behind. The one called may come too early or once too often, and looks at the clock.
 *
 * Belongs to the thread of the loop.
 */
#ifndef SIMPLE_CLIENT_ALARM_H
#define SIMPLE_CLIENT_ALARM_H

#include <stdint.h>

#include "loop.h"

/* 0 or -errno. `ready` clears source->events. */
int alarm_init(struct loop_source *source, struct loop *loop, loop_source_fn *ready);

/* Accepts one whose alarm_init() failed, and one with fd -1 that never had it. */
void alarm_deinit(struct loop_source *source, struct loop *loop);

/* Once; setting it again moves the time. */
void alarm_set(struct loop_source *source, struct loop *loop, int64_t time);

#endif
