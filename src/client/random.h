/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that a seed repeats: the sequence of SplitMix64. Not for secrets. The state
 * belongs to one thread.
 */
#ifndef SIMPLE_CLIENT_RANDOM_H
#define SIMPLE_CLIENT_RANDOM_H

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* From 0 to below `end`, which is not 0; even enough for an `end` far below 2^64. */
static inline uint64_t random_below(uint64_t *state, uint64_t end)
{
	return random_next(state) % end;
}

#endif
