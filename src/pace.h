/* SPDX-License-Identifier: MIT */
/*
 * A rate of bytes, kept by saying how long to wait after each piece: the pieces of a second may
 * come at once, the average is kept. Values; the owner locks.
 */
#ifndef SIMPLE_SERVER_PACE_H
#define SIMPLE_SERVER_PACE_H

#include <stdint.h>

#define PACE_BURST_MS 1000

struct pace {
	int64_t paid_until_us; /* what has come is paid for by the time that passes until then */
};

/* `bytes` have come at `now_ms`. How many ms to take no more, 0 for none. */
static inline int64_t pace_took(struct pace *pace, int64_t rate, uint64_t bytes, int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;

	if (pace->paid_until_us < now_us)
		pace->paid_until_us = now_us;
	pace->paid_until_us += (int64_t)((double)bytes / (double)rate * 1e6);
	int64_t ahead_ms = (pace->paid_until_us - now_us) / 1000 - PACE_BURST_MS;
	return ahead_ms > 0 ? ahead_ms : 0;
}

#endif
