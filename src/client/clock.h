/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_MONOTONIC in nanoseconds: what latencies and schedules are made of. The loop's own clock is
 * a tick behind. Any thread.
 */
#ifndef SIMPLE_CLIENT_CLOCK_H
#define SIMPLE_CLIENT_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND INT64_C(1000000000)
#define CLOCK_MS     INT64_C(1000000)

static inline int64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

#endif
