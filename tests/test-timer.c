/* SPDX-License-Identifier: MIT */
/* The wheel against a plain list: each timer expires once, in its run, neither early nor late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "timer.h"

#define N 500

struct entry {
	struct timer timer;
	int64_t due;
	int expired;
};

static int64_t now;
static struct timer_wheel wheel;

static void count(struct timer *timer, void *context)
{
	struct entry *entry = container_of(timer, struct entry, timer);

	(void)context;
	assert_true(entry->due <= now);
	assert_false(timer_armed(timer));
	entry->expired++;
}

static void arm(struct entry *entry, int64_t due)
{
	entry->due = due;
	entry->expired = 0;
	timer_arm(&wheel, &entry->timer, now, due);
}

static void empty_wheel_never_wakes(void **state)
{
	struct entry entry = { 0 };

	(void)state;
	now = 12345;
	timer_wheel_init(&wheel, now);
	timer_init(&entry.timer);
	assert_int_equal(timer_wheel_next(&wheel), INT64_MAX);
	arm(&entry, now + 10);
	assert_in_range(timer_wheel_next(&wheel), now + 1, now + 10);
	timer_disarm(&wheel, &entry.timer);
	assert_int_equal(timer_wheel_next(&wheel), INT64_MAX);
	timer_disarm(&wheel, &entry.timer);
}

static void past_means_next_run(void **state)
{
	struct entry entry = { 0 };

	(void)state;
	now = 1000;
	timer_wheel_init(&wheel, now);
	timer_init(&entry.timer);
	arm(&entry, 5);
	now++;
	timer_wheel_run(&wheel, now, count, NULL);
	assert_int_equal(entry.expired, 1);
}

/* Durations from 1 ms to 100 days; the clock advances in uneven steps and crosses every level. */
static void random_timers(void **state)
{
	static struct entry entries[N];
	unsigned seed = 7;

	(void)state;
	now = (INT64_C(1) << 36) - 5000; /* a boundary of many levels comes soon */
	timer_wheel_init(&wheel, now);
	for (int i = 0; i < N; i++)
		timer_init(&entries[i].timer);
	for (int round = 0; round < 40000; round++) {
		struct entry *entry = &entries[rand_r(&seed) % N];
		int64_t range = INT64_C(1) << (rand_r(&seed) % 33);
		int64_t in = ((int64_t)rand_r(&seed) << 2) % range + 1;

		if (rand_r(&seed) % 4 == 0 && timer_armed(&entry->timer))
			timer_disarm(&wheel, &entry->timer), entry->expired = 1;
		else
			arm(entry, now + in);
		if (rand_r(&seed) % 3 == 0)
			now += rand_r(&seed) % (1 << (rand_r(&seed) % 20));
		timer_wheel_run(&wheel, now, count, NULL);

		int64_t first = INT64_MAX;
		for (int i = 0; i < N; i++) {
			bool armed = timer_armed(&entries[i].timer);
			assert_int_equal(armed, entries[i].due > now && !entries[i].expired);
			if (armed && entries[i].due < first)
				first = entries[i].due;
		}
		assert_true(timer_wheel_next(&wheel) <= first);
		assert_true(timer_wheel_next(&wheel) > now);
	}
}

/* A timer far away costs few looks on its way down the levels. */
static void few_wakeups(void **state)
{
	struct entry entry = { 0 };
	int wakeups = 0;

	(void)state;
	now = 3;
	timer_wheel_init(&wheel, now);
	timer_init(&entry.timer);
	arm(&entry, now + 300 * 1000);
	while (!entry.expired) {
		now = timer_wheel_next(&wheel);
		timer_wheel_run(&wheel, now, count, NULL);
		wakeups++;
	}
	assert_int_equal(now, 3 + 300 * 1000);
	assert_true(wakeups <= 4);
}

static struct entry first, second;

static void disarms_the_other(struct timer *timer, void *context)
{
	count(timer, context);
	timer_disarm(&wheel, timer == &first.timer ? &second.timer : &first.timer);
}

static void callback_may_disarm_another(void **state)
{
	(void)state;
	now = 100;
	timer_wheel_init(&wheel, now);
	timer_init(&first.timer);
	timer_init(&second.timer);
	arm(&first, 110);
	arm(&second, 110);
	now = 110;
	timer_wheel_run(&wheel, now, disarms_the_other, NULL);
	assert_int_equal(first.expired + second.expired, 1);
	assert_int_equal(timer_wheel_next(&wheel), INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_wheel_never_wakes),
		cmocka_unit_test(past_means_next_run),
		cmocka_unit_test(random_timers),
		cmocka_unit_test(few_wakeups),
		cmocka_unit_test(callback_may_disarm_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
