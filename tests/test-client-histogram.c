/* SPDX-License-Identifier: MIT */
/*
 * The histogram: what is read back is never below the truth and at most 1/128 above it, over the
 * whole range; minimum, maximum, count and sum are exact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "client/histogram.h"

#define VALUES 100000

static struct histogram histogram, other;

static uint64_t random_number(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int64_t uniform(int64_t from, int64_t to)
{
	return from + (int64_t)(random_number() % (uint64_t)(to - from + 1));
}

/* Each power of two as often as any other. */
static int64_t log_uniform(void)
{
	int power = (int)uniform(0, HISTOGRAM_POWERS - 1);

	return uniform(INT64_C(1) << power, (INT64_C(1) << (power + 1)) - 1);
}

static int64_t bimodal(void)
{
	return uniform(0, 99) < 98 ? uniform(20000, 60000) : uniform(40000000, 41000000);
}

static int64_t narrow(void)
{
	return uniform(20000, 1000000);
}

/* Not below the truth, and above it by at most 1/128. */
static void assert_near(int64_t read, int64_t truth)
{
	if (read < truth || (read - truth) > truth / 128)
		fail_msg("%lld was recorded, %lld read", (long long)truth, (long long)read);
}

static void test_buckets_follow_one_another(void **state)
{
	(void)state;
	assert_int_equal(histogram_index(0), 0);
	for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		assert_int_equal(histogram_index(histogram_highest(i)), i);
		assert_int_equal(histogram_index(histogram_highest(i) + 1), i + 1);
	}
	assert_int_equal(histogram_highest(HISTOGRAM_BUCKETS - 1), HISTOGRAM_MAX);
	assert_int_equal(histogram_index(HISTOGRAM_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_error_is_bounded(void **state)
{
	(void)state;
	for (int64_t value = 0; value < 100000; value++)
		assert_near(histogram_highest(histogram_index(value)), value);
	for (int power = 1; power < HISTOGRAM_POWERS; power++)
		for (int64_t near = -300; near <= 300; near++) {
			int64_t value = (INT64_C(1) << power) + near;

			if (value >= 0)
				assert_near(histogram_highest(histogram_index(value)), value);
		}
	for (int i = 0; i < 1000000; i++) {
		int64_t value = log_uniform();

		assert_near(histogram_highest(histogram_index(value)), value);
	}
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* `next` makes the values; a sorted array of them is what the histogram is held against. */
static void check_distribution(int64_t (*next)(void))
{
	static const double parts[] = { 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 0.99999 };
	static int64_t values[VALUES];
	double sum = 0;

	histogram_init(&histogram);
	for (int i = 0; i < VALUES; i++) {
		values[i] = next();
		sum += (double)values[i];
		histogram_record(&histogram, values[i]);
	}
	qsort(values, VALUES, sizeof(values[0]), compare);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t rank = (size_t)ceil(parts[i] * VALUES - 0.001);

		assert_near(histogram_at(&histogram, parts[i]), values[rank - 1]);
	}
	assert_true(histogram_at(&histogram, 0) == values[0]);
	assert_true(histogram_at(&histogram, 1) == values[VALUES - 1]);
	assert_true(histogram.min == values[0] && histogram.max == values[VALUES - 1]);
	assert_int_equal(histogram.count, VALUES);
	assert_true(fabs(histogram_mean(&histogram) * VALUES - sum) <= sum * 1e-12);
}

static void test_against_sorted_values(void **state)
{
	(void)state;
	check_distribution(narrow);
	check_distribution(log_uniform);
	check_distribution(bimodal);
}

static void test_rank_is_rounded_up_and_no_further(void **state)
{
	(void)state;
	histogram_init(&histogram);
	for (int64_t value = 1; value <= 100; value++)
		histogram_record(&histogram, value);
	for (int percent = 1; percent <= 100; percent++)
		assert_int_equal(histogram_at(&histogram, percent / 100.0), percent);
	assert_int_equal(histogram_at(&histogram, 0.001), 1);
	assert_int_equal(histogram_at(&histogram, 0.501), 51);
	assert_int_equal(histogram_at(&histogram, 0.9999), 100);
}

static void test_outside_of_the_range(void **state)
{
	(void)state;
	histogram_init(&histogram);
	histogram_record(&histogram, -5);
	histogram_record(&histogram, INT64_MIN);
	histogram_record(&histogram, HISTOGRAM_MAX);
	assert_int_equal(histogram.beyond, 0);
	histogram_record(&histogram, HISTOGRAM_MAX + 1);
	histogram_record(&histogram, INT64_MAX);
	assert_int_equal(histogram.beyond, 2);
	assert_int_equal(histogram.count, 5);
	assert_int_equal(histogram.min, 0);
	assert_true(histogram.max == HISTOGRAM_MAX);
	assert_int_equal(histogram.buckets[0], 2);
	assert_int_equal(histogram.buckets[HISTOGRAM_BUCKETS - 1], 3);

	assert_int_equal(histogram_at(&histogram, -1), 0);
	assert_int_equal(histogram_at(&histogram, NAN), 0);
	assert_true(histogram_at(&histogram, 2) == HISTOGRAM_MAX);
}

static void test_empty(void **state)
{
	(void)state;
	histogram_init(&histogram);
	assert_int_equal(histogram_at(&histogram, 0), 0);
	assert_int_equal(histogram_at(&histogram, 0.5), 0);
	assert_int_equal(histogram_at(&histogram, 1), 0);
	assert_true(histogram_mean(&histogram) == 0 && histogram_deviation(&histogram) == 0);
	assert_int_equal(histogram_count_to(&histogram, HISTOGRAM_MAX), 0);
}

static void test_one_value(void **state)
{
	(void)state;
	histogram_init(&histogram);
	histogram_record(&histogram, 1234567);
	assert_int_equal(histogram_at(&histogram, 0), 1234567);
	assert_int_equal(histogram_at(&histogram, 0.5), 1234567);
	assert_int_equal(histogram_at(&histogram, 1), 1234567);
	assert_true(histogram_mean(&histogram) == 1234567);
	assert_true(histogram_deviation(&histogram) < 1);
}

static void test_mean_and_deviation(void **state)
{
	(void)state;
	histogram_init(&histogram);
	for (int i = 0; i < 1000; i++) {
		histogram_record(&histogram, 1000000);
		histogram_record(&histogram, 3000000);
	}
	assert_true(fabs(histogram_mean(&histogram) - 2e6) < 1e-3);
	assert_true(fabs(histogram_deviation(&histogram) - 1e6) < 1);
}

/* Two halves merged are the same as all recorded in one; an empty one changes nothing. */
static void test_merge(void **state)
{
	static struct histogram all, empty;

	(void)state;
	histogram_init(&histogram);
	histogram_init(&other);
	histogram_init(&all);
	histogram_init(&empty);
	for (int i = 0; i < VALUES; i++) {
		int64_t value = i % 1000 ? log_uniform() : INT64_MAX;

		histogram_record(i % 3 ? &histogram : &other, value);
		histogram_record(&all, value);
	}
	histogram_merge(&histogram, &empty);
	histogram_merge(&empty, &other);
	histogram_merge(&histogram, &empty);
	assert_int_equal(histogram.count, all.count);
	assert_int_equal(histogram.beyond, all.beyond);
	assert_int_equal(histogram.beyond, VALUES / 1000);
	assert_true(histogram.min == all.min && histogram.max == all.max);
	assert_true(fabs(histogram_mean(&histogram) / histogram_mean(&all) - 1) < 1e-9);
	assert_true(fabs(histogram_deviation(&histogram) / histogram_deviation(&all) - 1) < 1e-9);
	assert_memory_equal(histogram.buckets, all.buckets, sizeof(all.buckets));
}

static void test_count_to(void **state)
{
	(void)state;
	histogram_init(&histogram);
	for (int64_t value = 0; value < 200; value++)
		histogram_record(&histogram, value);
	histogram_record(&histogram, INT64_MAX);
	assert_int_equal(histogram_count_to(&histogram, -1), 0);
	assert_int_equal(histogram_count_to(&histogram, 0), 1);
	assert_int_equal(histogram_count_to(&histogram, 99), 100);
	assert_int_equal(histogram_count_to(&histogram, 1000000), 200);
	assert_int_equal(histogram_count_to(&histogram, HISTOGRAM_MAX), 201);
	assert_int_equal(histogram_count_to(&histogram, INT64_MAX), 201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_follow_one_another),
		cmocka_unit_test(test_error_is_bounded),
		cmocka_unit_test(test_against_sorted_values),
		cmocka_unit_test(test_rank_is_rounded_up_and_no_further),
		cmocka_unit_test(test_outside_of_the_range),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_one_value),
		cmocka_unit_test(test_mean_and_deviation),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_count_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
