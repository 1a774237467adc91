/* SPDX-License-Identifier: MIT */
/*
 * The percentile distribution in the columns of HdrHistogram, for the tools that plot those. They
 * split a line at its blanks into four numbers, and leave out lines that begin with #.
 *
 * The steps become finer towards the end: STEPS to each half of what is left up to 100 %.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "result-private.h"

#define STEPS 5

static double microseconds(double ns)
{
	return ns / 1000;
}

static uint64_t print_row(const struct histogram *times, double part, FILE *out)
{
	int64_t value = histogram_at(times, part);
	uint64_t count = histogram_count_to(times, value);

	fprintf(out, "%12.3f %12f %12" PRIu64 " %12.2f\n", microseconds((double)value), part, count,
		1 / (1 - part));
	return count;
}

static void print_rows(const struct histogram *times, FILE *out)
{
	double part = 0;

	if (times->count == 0)
		return;
	while (print_row(times, part, out) < times->count && part < 1)
		part += 1 / (STEPS * exp2(floor(log2(1 / (1 - part))) + 1));
}

void result_print_histogram(const struct result *result, FILE *out)
{
	const struct histogram *times = &result->total.corrected;

	fprintf(out, "%12s %12s %12s %12s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	print_rows(times, out);
	fprintf(out, "%12.3f %12f %12" PRIu64 " %12s\n",
		microseconds((double)histogram_at(times, 1)), 1.0, times->count, "inf");
	fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n",
		microseconds(histogram_mean(times)), microseconds(histogram_deviation(times)));
	fprintf(out, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n",
		microseconds((double)histogram_at(times, 1)), times->count);
	fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n",
		HISTOGRAM_POWERS - HISTOGRAM_BITS + 1, 1 << HISTOGRAM_BITS);
}
