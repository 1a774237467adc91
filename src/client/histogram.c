/* SPDX-License-Identifier: MIT */
/*
 * A value is its highest HISTOGRAM_BITS + 1 bits, shifted: buckets of width 1 up to 255, of width 2
 * up to 511, and so on. The index of a bucket is the shift times 128 plus what is left of the
 * value, which makes the buckets of all widths follow one another without a gap.
 */
#include "histogram.h"

#include <float.h>
#include <math.h>
#include <string.h>

void histogram_init(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	histogram->min = INT64_MAX;
	histogram->max = -1;
}

int64_t histogram_highest(unsigned index)
{
	unsigned group = index >> HISTOGRAM_BITS;
	unsigned shift = group ? group - 1 : 0;

	return ((int64_t)(index - (shift << HISTOGRAM_BITS) + 1) << shift) - 1;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->beyond += from->beyond;
	into->sum += from->sum;
	into->sum_of_squares += from->sum_of_squares;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

/*
 * How many of `count` are `part` of them, rounded up. 0.07 * 100 is a little more than 7 in binary
 * fractions; that little is no reason to take one more.
 */
static uint64_t rank_of(double part, uint64_t count)
{
	double rank = ceil(part * (double)count * (1 - 2 * DBL_EPSILON));

	return rank >= (double)count ? count : (uint64_t)rank;
}

int64_t histogram_at(const struct histogram *histogram, double part)
{
	uint64_t rank, seen = 0;
	int64_t highest;
	unsigned i = 0;

	if (histogram->count == 0)
		return 0;
	if (!(part > 0))
		return histogram->min;
	rank = rank_of(part, histogram->count);
	if (rank <= 1)
		return histogram->min;
	if (rank == histogram->count)
		return histogram->max;
	while ((seen += histogram->buckets[i]) < rank)
		i++;
	highest = histogram_highest(i);
	return highest < histogram->max ? highest : histogram->max;
}

uint64_t histogram_count_to(const struct histogram *histogram, int64_t ns)
{
	uint64_t count = 0;

	if (ns < 0)
		return 0;
	if (ns >= HISTOGRAM_MAX)
		return histogram->count;
	for (unsigned i = 0, last = histogram_index(ns); i <= last; i++)
		count += histogram->buckets[i];
	return count;
}

double histogram_mean(const struct histogram *histogram)
{
	return histogram->count ? histogram->sum / (double)histogram->count : 0;
}

double histogram_deviation(const struct histogram *histogram)
{
	double mean = histogram_mean(histogram), variance;

	if (histogram->count == 0)
		return 0;
	variance = histogram->sum_of_squares / (double)histogram->count - mean * mean;
	return variance > 0 ? sqrt(variance) : 0;
}
