/* SPDX-License-Identifier: MIT */
/* When simple-client begins requests: closed and open loop, the window, the number, who is next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "clock.h"
#include "schedule.h"
#include "util.h"

#define AT_MOST 16

static struct loop loop;
static struct schedule schedule;
static unsigned spent;

/* What was given to whom, in order. */
static struct list links[4];
static size_t n_given;
static struct {
	size_t who;
	int64_t time;
} given[AT_MOST];

static void on_spent(struct schedule *s)
{
	(void)s;
	spent++;
}

static void on_give(struct schedule *s, struct list *link, int64_t time)
{
	(void)s;
	assert_true(n_given < AT_MOST);
	assert_true(list_empty(link));
	given[n_given].who = (size_t)(link - links);
	given[n_given++].time = time;
}

static void make(double step)
{
	spent = 0;
	n_given = 0;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		list_init(&links[i]);
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(schedule_init(&schedule, &loop, step, on_give, on_spent), 0);
}

static void drop(void)
{
	schedule_deinit(&schedule);
	loop_deinit(&loop);
}

static void nothing_begins_before_the_start(void **state)
{
	int64_t time;

	(void)state;
	make(0);
	assert_false(schedule_take(&schedule, clock_ns(), &time));
	drop();
	make(100);
	schedule_wait(&schedule, &links[0]);
	schedule_dispatch(&schedule, clock_ns());
	assert_int_equal(n_given, 0);
	drop();
}

static void closed_loop_takes_in_the_window(void **state)
{
	int64_t time = 0;

	(void)state;
	make(0);
	schedule_start(&schedule, 1000, 2000, 3000, UINT64_MAX);
	assert_true(schedule_take(&schedule, 1500, &time)); /* the warm-up */
	assert_int_equal(time, 1500);
	assert_true(schedule_take(&schedule, 2999, &time));
	assert_false(schedule_take(&schedule, 3000, &time));
	assert_int_equal(spent, 0);
	assert_int_equal(schedule_stop(&schedule, 3000), 0);
	drop();
}

/* What the warm-up takes is not of the number. */
static void a_number_ends_it(void **state)
{
	int64_t time;

	(void)state;
	make(0);
	schedule_start(&schedule, 1000, 2000, INT64_MAX, 2);
	assert_true(schedule_take(&schedule, 1500, &time));
	assert_true(schedule_take(&schedule, 2000, &time));
	assert_int_equal(spent, 0);
	assert_true(schedule_take(&schedule, 2000, &time));
	assert_int_equal(spent, 1);
	assert_false(schedule_take(&schedule, 2001, &time));
	drop();
}

static void a_number_of_none_is_spent_at_once(void **state)
{
	(void)state;
	make(0);
	schedule_start(&schedule, 1000, 1000, INT64_MAX, 0);
	assert_int_equal(spent, 1);
	drop();
}

static void what_comes_by_itself_is_cut(void **state)
{
	(void)state;
	make(0);
	schedule_start(&schedule, 1000, 1000, INT64_MAX, 10);
	assert_int_equal(schedule_spend(&schedule, 7), 7);
	assert_int_equal(spent, 0);
	assert_int_equal(schedule_spend(&schedule, 7), 3);
	assert_int_equal(schedule_spend(&schedule, 7), 0);
	assert_int_equal(spent, 1);
	drop();
}

/* The times are those of the plan, however late the server is; those who wait are given in turn. */
static void open_loop_keeps_its_times(void **state)
{
	(void)state;
	make(100);
	schedule_start(&schedule, 1000, 1000, 1500, UINT64_MAX);
	schedule_wait(&schedule, &links[2]);
	schedule_wait(&schedule, &links[0]);
	schedule_wait(&schedule, &links[2]); /* once is enough */
	schedule_dispatch(&schedule, 1450);
	assert_int_equal(n_given, 2);
	assert_int_equal(given[0].who, 2);
	assert_int_equal(given[0].time, 1000);
	assert_int_equal(given[1].who, 0);
	assert_int_equal(given[1].time, 1100);
	assert_true(schedule_has_more(&schedule));
	schedule_wait(&schedule, &links[1]);
	schedule_dispatch(&schedule, 9000); /* late, behind the end */
	assert_int_equal(given[2].time, 1200);
	assert_int_equal(schedule_stop(&schedule, 9000), 2); /* 1300 and 1400 */
	assert_false(schedule_has_more(&schedule));
	drop();
}

static void open_loop_says_when_all_have_begun(void **state)
{
	(void)state;
	make(100);
	schedule_start(&schedule, 1000, 1000, 1200, UINT64_MAX);
	schedule_wait(&schedule, &links[0]);
	schedule_wait(&schedule, &links[1]);
	schedule_wait(&schedule, &links[2]);
	schedule_dispatch(&schedule, 5000);
	assert_int_equal(n_given, 2);
	assert_int_equal(spent, 1);
	assert_int_equal(schedule_stop(&schedule, 5000), 0);
	drop();
}

/* Neither the warm-up nor what an interrupt has cut off is left over. */
static void left_over_is_what_was_due_in_the_window(void **state)
{
	(void)state;
	make(100);
	schedule_start(&schedule, 1000, 1250, 2000, UINT64_MAX);
	assert_int_equal(schedule_stop(&schedule, 1550), 3); /* 1300, 1400, 1500 */
	drop();
	make(100);
	schedule_start(&schedule, 1000, 1000, INT64_MAX, 4);
	assert_int_equal(schedule_stop(&schedule, 99999), 4);
	drop();
}

/* The sum of many steps is exact: no drift. */
static void fractions_do_not_add_up(void **state)
{
	int64_t time = 0;

	(void)state;
	make(1e9 / 3);
	schedule_start(&schedule, 0, 0, INT64_MAX, UINT64_MAX);
	for (int i = 0; i <= 300000; i++)
		assert_true(schedule_take(&schedule, INT64_MAX - 1, &time));
	assert_in_range(time, 100000 * CLOCK_SECOND - 1, 100000 * CLOCK_SECOND + 1);
	drop();
}

static void the_timer_gives_what_is_due(void **state)
{
	int64_t start = clock_ns() + 20 * CLOCK_MS;

	(void)state;
	make(5e6);
	schedule_start(&schedule, start, start, start + 12 * CLOCK_MS, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		schedule_wait(&schedule, &links[i]);
	schedule_dispatch(&schedule, clock_ns());
	while (n_given < 3)
		loop_turn(&loop, 5000);
	assert_true(clock_ns() >= start + 10 * CLOCK_MS);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(given[i].who, i);
		assert_int_equal(given[i].time, start + (int64_t)i * 5 * CLOCK_MS);
	}
	assert_int_equal(spent, 1);
	drop();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_begins_before_the_start),
		cmocka_unit_test(closed_loop_takes_in_the_window),
		cmocka_unit_test(a_number_ends_it),
		cmocka_unit_test(a_number_of_none_is_spent_at_once),
		cmocka_unit_test(what_comes_by_itself_is_cut),
		cmocka_unit_test(open_loop_keeps_its_times),
		cmocka_unit_test(open_loop_says_when_all_have_begun),
		cmocka_unit_test(left_over_is_what_was_due_in_the_window),
		cmocka_unit_test(fractions_do_not_add_up),
		cmocka_unit_test(the_timer_gives_what_is_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
