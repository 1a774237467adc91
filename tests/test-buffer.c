/* SPDX-License-Identifier: MIT */
/* The byte queue holds what was put in, in order, through growing, moving and emptying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

static void empty_costs_nothing(void **state)
{
	struct buffer *queue = NULL;

	(void)state;
	assert_int_equal(buffer_size(queue), 0);
	assert_int_equal(buffer_append(&queue, "", 0), 0);
	assert_null(queue);
	assert_int_equal(buffer_append(&queue, "abc", 3), 0);
	buffer_consume(&queue, 3);
	assert_null(queue);
	buffer_free(&queue);
	assert_null(queue);
}

static void keeps_order_in_pieces(void **state)
{
	struct buffer *queue = NULL;

	(void)state;
	assert_int_equal(buffer_append(&queue, "hello ", 6), 0);
	assert_int_equal(buffer_append(&queue, "world", 5), 0);
	buffer_consume(&queue, 2);
	assert_int_equal(buffer_size(queue), 9);
	assert_memory_equal(buffer_bytes(queue), "llo world", 9);
	buffer_free(&queue);
}

/* A byte sequence runs through; sizes of 1 to 3000 make it grow, move to the front and empty often.
 */
static void random_pieces(void **state)
{
	struct buffer *queue = NULL;
	uint8_t piece[3000], in = 0, out = 0;
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)rand_r(&seed) % sizeof(piece) + 1;
		if (rand_r(&seed) % 2 && buffer_size(queue) < 100000) {
			for (size_t i = 0; i < n; i++)
				piece[i] = in++;
			assert_int_equal(buffer_append(&queue, piece, n), 0);
		} else if (buffer_size(queue) > 0) {
			n = n < buffer_size(queue) ? n : buffer_size(queue);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(buffer_bytes(queue)[i], out++);
			buffer_consume(&queue, n);
		}
	}
	buffer_free(&queue);
}

/* What is consumed at the front makes room at the end: a queue that stays short stays small. */
static void stays_small(void **state)
{
	struct buffer *queue = NULL;
	char piece[100] = { 0 };

	(void)state;
	assert_int_equal(buffer_append(&queue, piece, 1), 0);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(buffer_append(&queue, piece, sizeof(piece)), 0);
		buffer_consume(&queue, sizeof(piece));
	}
	assert_true(queue->capacity <= 1024);
	buffer_free(&queue);
}

static void too_much_changes_nothing(void **state)
{
	struct buffer *queue = NULL;

	(void)state;
	assert_int_equal(buffer_append(&queue, "abc", 3), 0);
	assert_int_equal(buffer_append(&queue, "x", SIZE_MAX / 2), -ENOMEM);
	assert_int_equal(buffer_size(queue), 3);
	assert_memory_equal(buffer_bytes(queue), "abc", 3);
	buffer_free(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_costs_nothing),
		cmocka_unit_test(keeps_order_in_pieces),
		cmocka_unit_test(random_pieces),
		cmocka_unit_test(stays_small),
		cmocka_unit_test(too_much_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
