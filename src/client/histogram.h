/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times in constant memory: buckets of equal width within each power of two, so that
 * a value read back differs from the one recorded by less than 1 % (128 buckets for each power: at
 * most 1/128). What is longer than HISTOGRAM_MAX counts as that and in `beyond`.
 *
 * One thread records; when it has stopped, another may merge and read.
 */
#ifndef SIMPLE_CLIENT_HISTOGRAM_H
#define SIMPLE_CLIENT_HISTOGRAM_H

#include <stdint.h>

#include "util.h"

#define HISTOGRAM_BITS    7
#define HISTOGRAM_POWERS  42 /* of two, in ns: to 73 minutes */
#define HISTOGRAM_MAX     ((INT64_C(1) << HISTOGRAM_POWERS) - 1)
#define HISTOGRAM_BUCKETS ((HISTOGRAM_POWERS - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
	uint64_t count, beyond;
	int64_t min, max; /* exact; INT64_MAX and -1 while there is nothing */
	double sum, sum_of_squares;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *histogram);

/* The bucket of a value from 0 to HISTOGRAM_MAX, and the highest value that falls into a bucket. */
static inline unsigned histogram_index(int64_t ns)
{
	/* The values below 2 << HISTOGRAM_BITS have a bucket each. */
	unsigned shift = 63 - HISTOGRAM_BITS -
			 (unsigned)__builtin_clzll((uint64_t)ns | UINT64_C(1) << HISTOGRAM_BITS);

	return (shift << HISTOGRAM_BITS) + (unsigned)(ns >> shift);
}

int64_t histogram_highest(unsigned index);

/* A negative time counts as 0. Inline: it is called for each request. */
static inline void histogram_record(struct histogram *histogram, int64_t ns)
{
	double value;

	if (unlikely(ns < 0))
		ns = 0;
	if (unlikely(ns > HISTOGRAM_MAX)) {
		ns = HISTOGRAM_MAX;
		histogram->beyond++;
	}
	if (unlikely(ns < histogram->min))
		histogram->min = ns;
	if (unlikely(ns > histogram->max))
		histogram->max = ns;
	value = (double)ns;
	histogram->sum += value;
	histogram->sum_of_squares += value * value;
	histogram->count++;
	histogram->buckets[histogram_index(ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/*
 * The smallest recorded value such that `part` (0 to 1) of all are not above it, to the precision
 * of a bucket and never below the true one; 0 gives the exact minimum and 1 the exact maximum. 0
 * for an empty histogram.
 */
int64_t histogram_at(const struct histogram *histogram, double part);

/* How many of those recorded are not above `ns`, or in the bucket of it. */
uint64_t histogram_count_to(const struct histogram *histogram, int64_t ns);

/* Of the values as they were recorded. 0 for an empty histogram. */
double histogram_mean(const struct histogram *histogram);
double histogram_deviation(const struct histogram *histogram);

#endif
