/* SPDX-License-Identifier: MIT */
/* What simple-client sends and compares: the pattern, chargen's texts, the answers of daytime,
 * time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "pattern.h"
#include "random.h"
#include "util.h"

#define LINE   PATTERN_CHARGEN_LINE
#define LINES  95u
#define RFC    0
#define XINETD 1

static struct pattern texts[PATTERN_CHARGENS];

static int make_texts(void **state)
{
	(void)state;
	return pattern_init_chargen(texts);
}

static int drop_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < PATTERN_CHARGENS; i++)
		pattern_deinit(&texts[i]);
	return 0;
}

static void windows_are_in_one_piece(void **state)
{
	struct pattern pattern;

	(void)state;
	assert_int_equal(pattern_init_random(&pattern, 1), 0);
	assert_true(pattern.period >= PATTERN_WINDOW);
	assert_true((pattern.period & (pattern.period - 1)) != 0);
	assert_memory_equal(pattern.bytes + pattern.period, pattern.bytes, PATTERN_WINDOW);
	for (size_t i = 0; i < PATTERN_CHARGENS; i++)
		assert_memory_equal(texts[i].bytes + texts[i].period, texts[i].bytes,
				    PATTERN_WINDOW);
	pattern_deinit(&pattern);
}

/* Byte by byte and window by window, from any place, it is the same endless text. */
static void steps_of_all_sizes_agree(void **state)
{
	struct pattern pattern;
	uint64_t random = 1;

	(void)state;
	assert_int_equal(pattern_init_random(&pattern, 7), 0);
	uint32_t place = pattern.period - 3;
	uint64_t stream = place;
	for (int i = 0; i < 200; i++) {
		size_t n = 1 + random_below(&random, PATTERN_WINDOW);
		assert_int_equal(pattern.bytes[place], pattern.bytes[stream % pattern.period]);
		assert_int_equal(pattern.bytes[place + n - 1],
				 pattern.bytes[(stream + n - 1) % pattern.period]);
		place = pattern_after(&pattern, place, n);
		stream += n;
		assert_int_equal(place, stream % pattern.period);
	}
	pattern_deinit(&pattern);
}

static void seeds_decide(void **state)
{
	struct pattern a, b, c;

	(void)state;
	assert_int_equal(pattern_init_random(&a, 1), 0);
	assert_int_equal(pattern_init_random(&b, 1), 0);
	assert_int_equal(pattern_init_random(&c, 2), 0);
	assert_memory_equal(a.bytes, b.bytes, a.period);
	assert_true(pattern_same(&a, 0, c.bytes, PATTERN_WINDOW) < 8);
	pattern_deinit(&a);
	pattern_deinit(&b);
	pattern_deinit(&c);
}

/* The next bytes of a stream are found nowhere near: one that is missing or doubled shows. */
static void neighbours_differ(void **state)
{
	struct pattern pattern;

	(void)state;
	assert_int_equal(pattern_init_random(&pattern, 1), 0);
	for (uint32_t off = 1; off < 4096; off++)
		assert_true(pattern_same(&pattern, 0, pattern.bytes + off, PATTERN_WINDOW) < 16);
	pattern_deinit(&pattern);
}

static void the_first_difference_is_found(void **state)
{
	auto_free unsigned char *bytes = malloc(PATTERN_WINDOW);
	struct pattern pattern;

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(pattern_init_random(&pattern, 1), 0);
	memcpy(bytes, pattern.bytes + 5, PATTERN_WINDOW);
	assert_int_equal(pattern_same(&pattern, 5, bytes, PATTERN_WINDOW), PATTERN_WINDOW);
	bytes[PATTERN_WINDOW - 1] ^= 1;
	assert_int_equal(pattern_same(&pattern, 5, bytes, PATTERN_WINDOW), PATTERN_WINDOW - 1);
	bytes[0] ^= 0x80;
	assert_int_equal(pattern_same(&pattern, 5, bytes, PATTERN_WINDOW), 0);
	assert_int_equal(pattern_same(&pattern, 5, bytes, 0), 0);
	pattern_deinit(&pattern);
}

/* The begin of the example in RFC 864, and where the ring closes. */
static void chargen_is_that_of_the_rfc(void **state)
{
	static const char first[] = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "[\\]^_`abcdefg\r\n!\"#";

	(void)state;
	assert_memory_equal(texts[RFC].bytes, first, sizeof(first) - 1);
	assert_memory_equal(texts[RFC].bytes + 24 * LINE + 70, "~ \r\n", 4);
	assert_memory_equal(texts[RFC].bytes + 94 * LINE, "~ !\"", 4);
	assert_memory_equal(texts[RFC].bytes + 95 * LINE, " !\"#", 4);
	assert_memory_equal(texts[XINETD].bytes + 22 * LINE + 70, "}!\r\n", 4);
	assert_memory_equal(texts[XINETD].bytes + 92 * LINE, "}!\"#", 4);
	assert_memory_equal(texts[XINETD].bytes + 93 * LINE, "!\"#$", 4);
	assert_memory_equal(texts[XINETD].bytes + 95 * LINE, "!\"#$", 4);
}

/* Reads `pieces` as a client does: what has come, and then the next piece. True: all is right. */
static bool is_chargen(const unsigned char *bytes, size_t length, size_t piece)
{
	const struct pattern *text = texts;
	uint32_t place = 0;

	for (size_t before = 0; before < length;) {
		size_t n = piece < length - before ? piece : length - before;
		if (pattern_is_open(before))
			text = pattern_find_line(texts, text, before, bytes + before, n, &place);
		if (!text || pattern_same(text, place, bytes + before, n) < n)
			return false;
		place = pattern_after(text, place, n);
		before += n;
	}
	return true;
}

static void any_line_may_be_the_first(void **state)
{
	/* Each piece has all candidates compared from the first byte on, which ThreadSanitizer
	 * watches byte for byte: many small pieces of a long text took it hours. */
	static const struct {
		size_t size, length;
	} pieces[] = { { 1, 2 * LINE },
		       { 2, 4 * LINE },
		       { 73, 30 * LINE },
		       { 1024, 30000 },
		       { 40000, 30000 } };

	(void)state;
	for (size_t i = 0; i < PATTERN_CHARGENS; i++)
		for (uint32_t line = 0; line < LINES; line++)
			for (size_t k = 0; k < ARRAY_SIZE(pieces); k++)
				assert_true(is_chargen(texts[i].bytes + line * LINE,
						       pieces[k].length, pieces[k].size));
}

static void a_wrong_byte_of_chargen_is_found(void **state)
{
	static const size_t places[] = { 0, 1, 71, 72, 73, 74, 5000, 16384, 29999 };
	auto_free unsigned char *bytes = malloc(30000);

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < PATTERN_CHARGENS; i++)
		for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
			memcpy(bytes, texts[i].bytes + 5 * LINE, 30000);
			bytes[places[k]] ^= 1;
			assert_false(is_chargen(bytes, 30000, 1000));
			assert_false(is_chargen(bytes, 30000, 30000));
		}
	assert_false(is_chargen((const unsigned char *)"\r\n", 2, 2));
	assert_false(is_chargen((const unsigned char *)"\x80", 1, 1));
}

/* In the midst of a line a stream does not begin. */
static void half_a_line_is_no_begin(void **state)
{
	(void)state;
	assert_false(is_chargen(texts[RFC].bytes + 10, 1000, 1000));
}

static const char *time_wrong(uint32_t seconds, time_t now)
{
	unsigned char bytes[] = { (unsigned char)(seconds >> 24), (unsigned char)(seconds >> 16),
				  (unsigned char)(seconds >> 8), (unsigned char)seconds };

	return answer_wrong_time(bytes, sizeof(bytes), now);
}

static void time_is_checked(void **state)
{
	const time_t now = 1000000000, last = 2085978495; /* 2036-02-07 06:28:15 UTC */
	const uint32_t then = 1000000000u + 2208988800u;

	(void)state;
	assert_null(time_wrong(then, now));
	assert_null(time_wrong(then - ANSWER_SKEW_S, now));
	assert_null(time_wrong(then + ANSWER_SKEW_S, now));
	assert_non_null(time_wrong(then - ANSWER_SKEW_S - 1, now));
	assert_non_null(time_wrong(then + ANSWER_SKEW_S + 1, now));
	assert_non_null(time_wrong(0, now));
	assert_null(time_wrong(UINT32_MAX, last));
	assert_null(time_wrong(0, last + 1));
	assert_null(time_wrong(UINT32_MAX, last + 1));
	assert_non_null(answer_wrong_time((const unsigned char *)"abc", 3, now));
	assert_non_null(answer_wrong_time((const unsigned char *)"abcde", 5, now));
}

static const char *daytime_wrong(const char *line, time_t now)
{
	struct answer_form form = { 0 };

	return answer_wrong_daytime((const unsigned char *)line, strlen(line), now, &form);
}

/* Once the form is known each letter counts. */
static void daytimes_agree(void **state)
{
	const time_t now = 1795448677; /* 2026-11-23 15:44:37 UTC */
	static const char *const wrong[] = {
		"23 OOV 2026 15:44:37 UTC\r\n", "23 NOV 2026 15:44:37 UTD\r\n",
		"23 NOV 2026 15:44:37 UT\r\n",  "2 NOV 2026 15:44:37 UTC\r\n",
		"23 NOV 2026 15:44:27 UTC\r\n", "23 NOV 2026 15:43:37 UTC\r\n",
		"Mon Nov 23 15:44:37 2026\r\n",
	};
	struct answer_form form = { 0 };

	(void)state;
	assert_null(answer_wrong_daytime((const unsigned char *)"23 NOV 2026 15:44:36 UTC\r\n", 26,
					 now, &form));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_non_null(answer_wrong_daytime((const unsigned char *)wrong[i],
						     strlen(wrong[i]), now, &form));
	assert_null(answer_wrong_daytime((const unsigned char *)"23 NOV 2026 15:44:38 UTC\r\n", 26,
					 now, &form));
	assert_non_null(daytime_wrong("Tue Nov 23 15:44:37 2026\r\n", now));
}

static void daytime_is_checked(void **state)
{
	const time_t now = 1795448677; /* 2026-11-23 15:44:37 UTC */
	char line[2 * ANSWER_DAYTIME_MAX];

	(void)state;
	assert_null(daytime_wrong("23 NOV 2026 15:44:37 UTC\r\n", now));
	assert_null(daytime_wrong("22 NOV 2026 15:44:37 XYZ\r\n", now));
	assert_null(daytime_wrong("Mon Nov 23 15:44:37 2026\r\n", now));
	assert_null(daytime_wrong("Monday, November 23, 2026 15:44:37-UTC\r\n", now));
	assert_non_null(daytime_wrong("23 NOV 2025 15:44:37 UTC\r\n", now));
	assert_non_null(daytime_wrong("Mon Nov 26 15:44:37 2026\r\n", now));
	assert_non_null(daytime_wrong("", now));
	assert_non_null(daytime_wrong("\r\n", now));
	assert_non_null(daytime_wrong("23 NOV 2026 15:44:37 UTC\n", now));
	assert_non_null(daytime_wrong("23 NOV 2026 15:44:37 UTC", now));
	assert_non_null(daytime_wrong("two lines\r\nof it\r\n", now));
	assert_non_null(daytime_wrong("23 NOV 2026 15:44:37 \xc3\xa4\r\n", now));
	assert_non_null(answer_wrong_daytime((const unsigned char *)"a\0b\r\n", 5, now,
					     &(struct answer_form){ 0 }));
	snprintf(line, sizeof(line), "%*s\r\n", ANSWER_DAYTIME_MAX - 2, "x");
	assert_null(daytime_wrong(line, now));
	snprintf(line, sizeof(line), "%*s\r\n", ANSWER_DAYTIME_MAX - 1, "x");
	assert_non_null(daytime_wrong(line, now));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_are_in_one_piece),
		cmocka_unit_test(steps_of_all_sizes_agree),
		cmocka_unit_test(seeds_decide),
		cmocka_unit_test(neighbours_differ),
		cmocka_unit_test(the_first_difference_is_found),
		cmocka_unit_test(chargen_is_that_of_the_rfc),
		cmocka_unit_test(any_line_may_be_the_first),
		cmocka_unit_test(a_wrong_byte_of_chargen_is_found),
		cmocka_unit_test(half_a_line_is_no_begin),
		cmocka_unit_test(time_is_checked),
		cmocka_unit_test(daytime_is_checked),
		cmocka_unit_test(daytimes_agree),
	};

	return cmocka_run_group_tests(tests, make_texts, drop_texts);
}
